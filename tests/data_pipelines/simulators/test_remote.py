"""Simulators in environments of their own: messages, processes that die, environments that lack."""

import io
import json
import pathlib
import signal
import subprocess
import sys

import numpy as np
import pytest

from data_pipelines.errors import DataError
from data_pipelines.simulators.behaviours import BEHAVIOURS
from data_pipelines.simulators.ogbench.simulator import OgbenchScene
from data_pipelines.simulators.pool import SimulatorPool
from data_pipelines.simulators.remote import environments, messages
from data_pipelines.simulators.remote.environments import Environment
from data_pipelines.simulators.rollout import rollout
from data_pipelines.simulators.simulator import EpisodeLost
from tests.data_pipelines.simulators.remote_lamp import FOLDER

MOMENT = messages.Moment(
    reward=0.5,
    done=False,
    success=None,
    state=np.float32([1, 2]),
)
SEEN = messages.Seen({"front": np.arange(12, dtype=np.uint8).reshape(2, 2, 3)})


class RemoteLamp(OgbenchScene):
    """A lamp in a process of the interpreter that runs the tests."""

    environment = Environment("lamp", ("a-lamp==1",), {"LAMP_COLOUR": "red"}, ("libbulb1",))
    world = "tests.data_pipelines.simulators.remote_lamp:Lamp"
    min_distinct = 0.0


@pytest.fixture
def faults(monkeypatch, tmp_path):
    """The folder whose files are the faults of the world; see remote_lamp."""
    monkeypatch.setenv("LAMP_ENV", sys.prefix)
    monkeypatch.setenv(FOLDER, str(tmp_path))
    return tmp_path


def heard(data):
    return messages.Channel(io.BytesIO(data), io.BytesIO()).receive()


@pytest.mark.parametrize(
    "message",
    [
        MOMENT,
        SEEN,
        messages.Start(64, ["front"], {"noise": 0.1}),
        messages.Act(np.float64(3)),
        messages.Consult(),
        messages.Failure("why", messages.RAISED),
    ],
)
def test_messages_arrive_as_they_were(message):
    told = heard(messages.encode(message))
    assert type(told) is type(message)
    for name, value in vars(message).items():
        np.testing.assert_equal(getattr(told, name), value)
    if message is MOMENT:
        assert told.state.dtype == np.float32
    if message is SEEN:
        assert told.frames["front"].dtype == np.uint8


def frame(**content):
    header = json.dumps(content).encode()
    return messages.MAGIC + len(header).to_bytes(4, "little") + header


@pytest.mark.parametrize(
    "data, message",
    [
        (
            b"FLS\x01" + messages.encode(MOMENT)[4:],
            r"expected a message of protocol version 2, got",
        ),
        (messages.MAGIC + b"\xff" * 4, "a header of 4294967295 bytes"),
        (messages.MAGIC + b"\x02\0\0\0{]", "a header that is none"),
        (frame(message="Shout", fields={}, arrays=[]), "no message is called 'Shout'"),
        (
            frame(message="Reset", fields={"seed": "1", "task": "a"}, arrays=[]),
            "seed should be int",
        ),
        (
            frame(message="Reset", fields={"seed": True, "task": "a"}, arrays=[]),
            "seed should be int",
        ),
        (frame(message="Reset", fields={"seed": 1}, arrays=[]), "field task should be str"),
        (frame(message="Consult", fields={"a": 1}, arrays=[]), "Consult: unknown fields a"),
        (
            frame(message="Act", fields={}, arrays=[["action", "", "|O", [1]]]),
            "a header that is none",
        ),
        (frame(message="Act", fields={}, arrays=[["action", "", "<f4", [1 << 40]]]), "more than"),
    ],
)
def test_what_is_no_message_is_refused(data, message):
    with pytest.raises(messages.ProtocolError, match=message):
        heard(data)


def test_a_message_that_breaks_off_is_an_end():
    with pytest.raises(EOFError):
        heard(messages.encode(MOMENT)[:-1])


@pytest.mark.parametrize(
    "message", [messages.Act(np.array([object()])), messages.Facts({"a": np.zeros(2)})]
)
def test_what_is_no_number_and_no_text_is_not_sent(message):
    with pytest.raises(messages.ProtocolError, match="numbers, not object|not JSON"):
        messages.encode(message)


def test_it_plays_as_any_simulator_does(faults):
    seen = []
    for _ in range(2):
        with RemoteLamp(size=16) as simulator:
            simulator.reset(4, "drawer")
            seen.append(rollout(simulator, simulator.expert(), max_steps=50))
    first, again = seen
    assert first.length == 13 and first.done and first.episode_return == 1.0
    assert first.frames.keys() == {"front_pixels", "side", "wrist"}
    assert first.frames["side"].shape == (13, 16, 16, 3)
    np.testing.assert_array_equal(first.frames["side"], again.frames["side"])
    np.testing.assert_allclose(first.state[:, 0], np.arange(13))
    np.testing.assert_allclose(first.state[:, 2], 0.1)  # of its settings
    assert first.metadata["language"] == "unlock and open the drawer" and first.metadata["success"]
    assert first.metadata["stages"] == [[0, "unlock the drawer"], [6, "open the drawer"]]


def test_random_play_has_no_phases(faults):
    with RemoteLamp(size=16, cameras=("side",)) as simulator:
        simulator.reset(4, "drawer")
        agent = BEHAVIOURS["random"].make(simulator, np.random.default_rng(0))
        assert "stages" not in rollout(simulator, agent, max_steps=5).metadata


@pytest.mark.parametrize(
    "fault, told",
    [("die", "its process was killed by SIGKILL"), ("raise", "RuntimeError: the lamp is broken .")],
)
def test_a_failure_loses_its_episode_alone(faults, fault, told):
    (faults / f"{fault} in step 3").touch()
    with RemoteLamp(size=16) as simulator:
        simulator.reset(4, "drawer")
        with pytest.raises(EpisodeLost, match=told):
            rollout(simulator, simulator.expert(), max_steps=50)
        simulator.reset(4, "drawer")
        assert rollout(simulator, simulator.expert(), max_steps=50).done


def test_in_a_pool_a_dead_process_is_a_lost_episode_and_the_next_has_a_new_one(faults):
    with SimulatorPool(RemoteLamp, slots=2, workers=1, size=16, behaviour="expert") as pool:
        ends = pool.advance({0: ("drawer", 4), 1: ("drawer", 4)}, {})
        for step in range(12):
            if step == 2:
                (faults / "die in step 3").touch()  # for whichever comes first
            live = [slot for slot, end in ends.items() if not (end.done or end.lost)]
            ends |= pool.advance({}, dict.fromkeys(live))
        assert ends[0].lost.startswith("EpisodeLost: its process was killed by SIGKILL")
        assert ends[1].done and not ends[1].lost
        assert not pool.advance({0: ("drawer", 4)}, {})[0].lost
        np.testing.assert_array_equal(pool.frames[0].shape, (16, 16, 3))


@pytest.mark.parametrize(
    "fault, told",
    [
        ("unusable", "^lamp: buy a bulb$"),
        (
            "import",
            "No module named 'a_package_that_nobody_has'; make the environment with `python",
        ),
    ],
)
def test_what_the_user_can_mend_is_one_message(faults, fault, told):
    (faults / f"{fault} of drawer").touch()
    with RemoteLamp(size=16) as simulator, pytest.raises(DataError, match=told):
        simulator.reset(0, "drawer")


def test_a_missing_environment_is_one_message_with_its_command(monkeypatch, tmp_path):
    monkeypatch.setenv("LAMP_ENV", str(tmp_path))
    message = (
        "lamp runs in a Python environment of its own, and .*bin/python does not exist; make the "
        "environment with `python -m data_pipelines.simulators.remote.environments lamp` .*LAMP_ENV"
        ".*apt-get install libbulb1"
    )
    with pytest.raises(DataError, match=message):
        RemoteLamp.sources()
    monkeypatch.setenv("OGBENCH_ENV", str(tmp_path))
    with pytest.raises(DataError, match="remote.environments ogbench"):
        OgbenchScene.sources()


@pytest.mark.parametrize(
    "python, message",
    [
        (f'exec {sys.executable} -S "$@"', "lamp: the Python environment in .* has no NumPy; make"),
        ("exit 3", "lamp: its process ended with exit code 3; .* make the environment with"),
    ],
)
def test_an_environment_that_cannot_play_is_one_message(
    monkeypatch, tmp_path, capfd, python, message
):
    """The first is what `venv` makes: nothing is installed there."""
    path = tmp_path / "bin" / "python"
    path.parent.mkdir()
    path.write_text(f"#!/bin/sh\n{python}\n")
    path.chmod(0o755)
    monkeypatch.setenv("LAMP_ENV", str(tmp_path))
    with pytest.raises(DataError, match=message):
        RemoteLamp.sources()
    assert capfd.readouterr().err == ""


class Spy(RemoteLamp):
    world = "tests.data_pipelines.simulators.remote_lamp:Spy"


def test_the_process_sees_no_package_of_ours_and_the_variables_of_its_environment(
    faults, monkeypatch
):
    monkeypatch.setenv("PYTHONPATH", str(faults))
    with Spy(size=16) as simulator:
        simulator.reset(0, "drawer")
        facts = simulator.episode_facts()
    repository = str(pathlib.Path(__file__).parents[3])
    assert not {repository, str(faults), ""} & set(facts["path"])
    assert facts["colour"] == "red"


def test_an_environment_is_made_with_pip(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("OGBENCH_ENV", str(tmp_path / "env"))
    commands = []
    monkeypatch.setattr(subprocess, "run", lambda command, check: commands.append(command))
    assert environments.main(["ogbench"]) == 0
    folder = str(tmp_path / "env")
    assert commands == [
        [sys.executable, "-m", "venv", folder],
        [f"{folder}/bin/python", "-m", "pip", "install", "ogbench==1.2.2"],
    ]
    assert folder in capsys.readouterr().out

    def fail(command, check):
        raise subprocess.CalledProcessError(1, command)

    monkeypatch.setattr(subprocess, "run", fail)
    assert environments.main(["ogbench"]) == 1
    assert "venv" in capsys.readouterr().err


def test_a_closed_simulator_leaves_no_process(faults):
    simulator = RemoteLamp(size=16)
    simulator.reset(0, "drawer")
    process = simulator._process._process
    process.send_signal(signal.SIGINT)  # Ctrl-C reaches all processes of a terminal
    simulator.step(np.zeros(5, np.float32))
    simulator.close()
    assert process.poll() == 0

"""Collecting: each episode a function of its seed, resumed where it was killed, never blank."""

import os
import pathlib
import signal
import subprocess
import sys
import time
import types

import numpy as np
import pytest

from data_pipelines.conversion.build import Engine, prepare
from data_pipelines.errors import DataError
from data_pipelines.format.manifest import open_dataset
from data_pipelines.registry import recipe_options
from data_pipelines.simulators import collector
from data_pipelines.simulators.behaviours import BEHAVIOURS, uniform_action
from data_pipelines.simulators.rollout import check_renderer, rollout
from data_pipelines.tools.validation import validate
from tests.data_pipelines.simulators.lamp import FOLDER, Lamp, played

REPOSITORY = pathlib.Path(__file__).parents[3]
LAMP = "tests.data_pipelines.simulators.lamp"
OPTIONS = ("--size=16", "--codec=raw")


def files(folder):
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder): path.read_bytes() for path in paths}


@pytest.fixture(scope="module")
def lamp(tmp_path_factory):
    out = tmp_path_factory.mktemp("lamp") / "data"
    prepare(LAMP, out, recipe_options(LAMP, *OPTIONS), engine=Engine(workers=2))
    return out


def test_views_of_an_episode_are_synchronous_and_carry_task_success_and_language(lamp):
    validate(lamp)
    info = open_dataset(lamp)
    left, right = info.datasets["push_random_left"], info.datasets["push_random_right"]
    assert left.recording == right.recording == "push_random" and left.camera == "left"
    assert info.counts["push_random_left"] == info.counts["push_random_right"]
    assert info.manifest["mixture"]["push_expert_left"] >= 80
    told = [name for name in info.datasets if name.startswith("push")]
    episodes = sum(part["episodes"] for name in told for part in info.counts[name].values())
    assert info.manifest["language"] == {"recordings": episodes, "empty": 0}
    assert info.manifest["sources"]["simulator"].endswith("lamp.Lamp")
    assert info.manifest["skipped"]["too short"] > 0  # half of the episodes of `short`


def test_a_killed_collection_goes_on_and_plays_no_episode_again(lamp, tmp_path, monkeypatch):
    """Killed twice in the middle of episodes; the result is that of an undisturbed run."""
    monkeypatch.setenv(FOLDER, str(tmp_path))
    command = [sys.executable, "-m", "data_pipelines.prepare", LAMP, *OPTIONS, "--workers=1"]
    command.append(f"--out={tmp_path / 'data'}")
    for episodes in (3, 6):
        process = subprocess.Popen(command, cwd=REPOSITORY, start_new_session=True)
        while len(played(tmp_path)) < episodes:
            assert process.poll() is None
            time.sleep(0.001)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    time.sleep(0.2)  # the worker ends when it finds its parent gone
    options = recipe_options(LAMP, *OPTIONS)
    assert prepare(LAMP, tmp_path / "data", options, engine=Engine(workers=2))
    assert files(tmp_path / "data") == files(lamp)
    seeds = played(tmp_path)
    assert len(seeds) - len(set(seeds)) <= 2  # of each kill the episode that was being played


def test_a_dead_renderer_stops_the_collection(tmp_path, monkeypatch):
    monkeypatch.setenv(FOLDER, str(tmp_path))
    (tmp_path / "dark").touch()
    options = recipe_options(LAMP, *OPTIONS)
    with pytest.raises(DataError, match="push_random episode 0, left: the renderer is lost"):
        prepare(LAMP, tmp_path / "data", options)
    assert not (tmp_path / "data").exists()
    (tmp_path / "dark").unlink()
    assert prepare(LAMP, tmp_path / "data", options)  # the same command, mended


def test_frames_of_a_living_renderer():
    picture = np.random.default_rng(0).integers(0, 255, (10, 8, 8, 3), dtype=np.uint8)
    check_renderer(picture, 0.5, "here")
    with pytest.raises(DataError, match="here: the renderer is lost: 1 of 10 frames differ"):
        check_renderer(np.repeat(picture[:1], 10, axis=0), 0.5, "here")
    picture[8:] = 0
    with pytest.raises(DataError, match="9 of 10 frames differ, the last one has contrast 0.0"):
        check_renderer(picture, 0.5, "here")


@pytest.mark.parametrize("name", BEHAVIOURS)
def test_behaviours_are_functions_of_seed_and_episode(name):
    def actions(seed):
        with Lamp(size=16, cameras=("left",)) as simulator:
            simulator.reset(0, "push")
            agent = BEHAVIOURS[name].make(simulator, np.random.default_rng([seed, 7]))
            return rollout(simulator, agent, max_steps=30).action

    np.testing.assert_array_equal(actions(1), actions(1))
    assert name == "expert" or (actions(1) != actions(2)).any()


def test_noisy_and_sticky_keep_their_shares():
    with Lamp(size=16) as simulator:
        simulator.reset(0, "push")
        made = {
            name: BEHAVIOURS[name].make(simulator, np.random.default_rng(0))
            for name in ("sticky", "noisy", "random")
        }
        acts = {name: np.array([agent({})[0] for _ in range(2000)]) for name, agent in made.items()}
    assert abs((acts["noisy"] == 2).mean() - 0.7) < 0.04
    assert abs((acts["sticky"][1:] == acts["sticky"][:-1]).mean() - 0.7) < 0.04
    assert abs(acts["random"].mean()) < 0.05 and len(set(acts["random"])) == 2000


def test_what_cannot_be_played_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(DataError, match="task one of push, short and behaviour one of random"):
        recipe_options(LAMP, "--plan=fly_random=10")
    with pytest.raises(DataError, match="--cameras is 'top'"):
        recipe_options(LAMP, "--cameras=top")
    with pytest.raises(DataError, match="Lamp has no task 'fly'; tasks: push, short"):
        Lamp().reset(0, "fly")
    with pytest.raises(DataError, match="no camera top; cameras: left, right"):
        Lamp(cameras=("top",))
    spec = Lamp.tasks()["push"].action
    unbounded = type(spec)("continuous", spec.names)
    with pytest.raises(DataError, match="force have no bounds"):
        uniform_action(unbounded, np.random.default_rng(0))


def test_episodes_of_another_version_are_not_kept(tmp_path, monkeypatch):
    monkeypatch.setenv(FOLDER, str(tmp_path))
    options = recipe_options(LAMP, "--plan=push_random=100", *OPTIONS)
    with monkeypatch.context() as patch:
        patch.setattr(Lamp, "sources", lambda: {"version": 1})
        patch.setattr("data_pipelines.conversion.build.run_stages", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            prepare(LAMP, tmp_path / "data", options, engine=Engine(workers=1))
    before = played(tmp_path)
    assert list(tmp_path.glob(".data.partial/.units/*/push_random_left/*.npz"))
    prepare(LAMP, tmp_path / "data", options, engine=Engine(workers=1))
    assert played(tmp_path) == before * 2


def test_a_build_that_an_older_version_began_goes_on(tmp_path):
    """Its marks of episodes that were too short are empty files."""
    views = {"left": types.SimpleNamespace(name="push")}
    job = collector.Job(Lamp, "push_random", "push", "random", views, tmp_path, 0, 10)
    (tmp_path / "push").mkdir()
    (tmp_path / "push" / "00000003.short-5").touch()
    assert collector.finished(job, 3) == (5, "too short", "5 frames")
    assert collector.finished(job, 2) is None

"""What every simulator keeps: the contract that collecting and evaluating build on."""

import pathlib
import subprocess
import sys

import numpy as np
import pytest

from data_pipelines.errors import DataError
from data_pipelines.loading.loader import ordered_batches
from data_pipelines.simulators.behaviours import Random, uniform_action
from data_pipelines.simulators.doom.game import Doom
from data_pipelines.simulators.simulator import Simulator, TaskSpec
from docs.examples.toy_simulator import Paddle
from tests.data_pipelines.simulators.lamp import Lamp

REPOSITORY = pathlib.Path(__file__).parents[3]
SIMULATORS = pytest.mark.parametrize("kind", [Doom, Lamp, Paddle])


def episode(simulator, task, seed, steps=12):
    """Everything that an agent may see of an episode of uniform actions."""
    simulator.reset(seed, task)
    agent, done, seen = Random(simulator, np.random.default_rng(seed)), False, []
    for _ in range(steps):
        frames = simulator.frames()
        assert tuple(frames) == simulator.views
        for frame in frames.values():
            assert frame.dtype == np.uint8 and frame.shape == (simulator.size, simulator.size, 3)
        state = simulator.state()
        assert state.dtype == np.float32 and state.shape == (len(simulator.task.state_names),)
        reward, done = simulator.step(agent(frames))
        assert isinstance(reward, float) and simulator.success() in (None, True, False)
        seen += [*(frame.tobytes() for frame in frames.values()), state.tobytes(), reward]
        if done:
            break
    return seen


@SIMULATORS
def test_an_episode_is_a_function_of_seed_and_task(kind):
    """Also after another task in the same simulator."""
    task, *others = kind.tasks()
    with kind(size=16) as simulator:
        first = episode(simulator, task, 3)
        assert episode(simulator, task, 4) != first
        for other in others[:1]:
            episode(simulator, other, 5, steps=3)
        assert episode(simulator, task, 3) == first


@SIMULATORS
def test_tasks_and_cameras_are_told_without_starting(kind):
    for name, task in kind.tasks().items():
        assert task.name == name and task.action.count > 0 and task.fps >= 0
        uniform_action(task.action, np.random.default_rng(0))
    assert kind.sources()["simulator"] and all(kind.cameras)
    with pytest.raises(DataError, match=f"has no task 'nothing'; tasks: .*{name}"):
        kind().reset(0, "nothing")


def test_normalised_score():
    spec = next(iter(Paddle.tasks().values())).action
    assert TaskSpec("a", spec).normalised_score(5.0) is None
    known = TaskSpec("a", spec, random_return=10.0, expert_return=30.0)
    assert [known.normalised_score(value) for value in (10.0, 20.0, 30.0)] == [0.0, 0.5, 1.0]


def test_a_task_without_an_expert_says_so():
    class Plain(Paddle):
        expert = Simulator.expert

    with Plain() as simulator:
        simulator.reset(0, "catch")
        with pytest.raises(DataError, match="catch: Plain has no scripted expert"):
            simulator.expert()


def test_the_toy_of_the_guide_is_prepared_and_read_back(tmp_path):
    """As its page says, by its dotted path, from the repository."""
    command = [sys.executable, "-m", "data_pipelines.prepare", "docs.examples.toy_simulator"]
    command += [f"--out={tmp_path / 'paddle'}", "--plan=catch_expert=200", "--size=32"]
    subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True)
    fields = ("action", "reward", "state")
    batches = list(ordered_batches(tmp_path / "paddle", split="train", batch_size=8, fields=fields))
    action, state, reward = (
        np.concatenate([batch[name] for batch in batches]) for name in ("action", "state", "reward")
    )
    moved = np.sign(np.round(state[:, 1, 0] - state[:, 0, 0], 5))
    inside = (state[:, 1, 0] > 0.11) & (state[:, 1, 0] < 0.89)
    np.testing.assert_array_equal(moved[inside], np.array([0, -1, 1])[action[inside, 0]])
    assert reward.sum() > 0 and set(action[:, 0]) <= {0, 1, 2}
    source = (REPOSITORY / "docs/examples/toy_simulator.py").read_text()
    assert len(source.splitlines()) < 80

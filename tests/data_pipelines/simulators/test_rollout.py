"""What a faulty simulator or agent does in an episode is told, not recorded."""

import numpy as np
import pytest

from data_pipelines.errors import DataError
from data_pipelines.simulators import collector, rollout
from tests.data_pipelines.simulators.lamp import Lamp


def begun(task):
    simulator = Lamp(size=16)
    simulator.reset(0, task)
    return simulator


@pytest.mark.parametrize(
    ("task", "action", "message"),
    [
        ("short", 2, "short: the agent gave action 2, expected a number from 0 to 1"),
        ("short", [0, 1], r"the agent gave action \[0, 1\], expected a number from 0 to 1"),
        ("push", [0.1, 0.2], "expected 1 finite numbers"),
        ("push", [np.nan], "expected 1 finite numbers"),
    ],
)
def test_actions_that_the_task_does_not_have(task, action, message):
    with pytest.raises(DataError, match=message):
        rollout.rollout(begun(task), lambda frames: action)


def test_every_camera_gives_a_picture(monkeypatch):
    simulator = begun("push")
    monkeypatch.setattr(simulator, "views", ("left", "top"))
    monkeypatch.setattr(simulator, "frames", lambda: {"left": np.zeros((16, 16, 3), np.uint8)})
    with pytest.raises(DataError, match="frames\\(\\) of Lamp gives no picture of camera top"):
        rollout.rollout(simulator, lambda frames: [0.0])


def test_a_task_that_never_ends_is_told_from_a_bounded_one(monkeypatch):
    monkeypatch.setattr(rollout, "LONGEST", 30)
    assert rollout.rollout(begun("push"), lambda frames: [0.0], max_steps=35).length == 36
    with pytest.raises(DataError, match="did not end in 30 steps; give the task's TaskSpec max_st"):
        rollout.rollout(begun("push"), lambda frames: [0.0])


def test_an_error_of_the_simulator_says_in_which_episode(monkeypatch, tmp_path):
    def broken(job, episode):
        raise ZeroDivisionError

    monkeypatch.setattr(collector, "play", broken)
    job = collector.Job(Lamp, "push_expert", "push", "expert", {}, tmp_path, 5, 10)
    with pytest.raises(ZeroDivisionError) as raised:
        collector.play_and_spool(job, 3)
    assert raised.value.__notes__ == ["while playing push_expert episode 3, seed 5"]

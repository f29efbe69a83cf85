"""A pool of simulators: what crashes is lost and told, the others go on, whatever the workers."""

import os
import signal
import subprocess
import time

import numpy as np
import pytest

from data_pipelines.errors import DataError
from data_pipelines.format.spec import ActionSpec
from data_pipelines.simulators import pool as pools
from data_pipelines.simulators.doom.suite import DoomSuite
from data_pipelines.simulators.pool import SimulatorPool
from data_pipelines.simulators.simulator import TaskSpec
from tests.data_pipelines.simulators.lamp import Lamp


class Fragile(Lamp):
    """A lamp whose tasks are called by the fault that their third step has."""

    @classmethod
    def tasks(cls):
        action = ActionSpec("discrete", ("a", "b"))
        names = ("fine", "raises", "dies", "hangs", "broken", "slow")
        return {name: TaskSpec(name, action, max_steps=4 * (name == "fine")) for name in names}

    def begin(self, seed):
        super().begin(seed)
        if self.task.name == "broken":
            raise RuntimeError("no display")

    def step(self, action):
        moment = super().step(action)
        if self.task.name == "slow":
            time.sleep(0.8)
        if self.steps == 3:
            {"raises": self.fail, "dies": self.die, "hangs": self.hang}.get(
                self.task.name, lambda: None
            )()
        return moment

    def fail(self):
        raise RuntimeError("the engine\nis gone")

    def die(self):
        subprocess.Popen(["sleep", "60"], close_fds=False)  # an engine, which outlives this process
        os.kill(os.getpid(), signal.SIGKILL)

    def hang(self):
        time.sleep(60)


class Alone(Fragile):
    """The reward is the process that it runs in."""

    one_task_per_process = True

    def step(self, action):
        return super().step(action)._replace(reward=os.getpid())


class Blind(Fragile):
    """Ends, and shows nothing then."""

    shows_end = False

    def step(self, action):
        return super().step(action)._replace(done=self.steps == 4)

    def state(self):
        assert self.steps < 4
        return super().state()


def pool_of(simulator=Fragile, **options):
    return SimulatorPool(simulator, **{"slots": 3, "workers": 2, "size": 8} | options)


def run(pool, tasks, steps, first=0):
    """Plays `steps` steps of one episode per slot; returns the last moments of all."""
    ends = dict(pool.advance({i: (task, first + i) for i, task in enumerate(tasks)}, {}))
    for _ in range(steps):
        live = [i for i, moment in ends.items() if not (moment.done or moment.lost)]
        ends |= pool.advance({}, {i: 1 for i in live})
    return ends


def test_frames_and_rewards_do_not_depend_on_the_workers():
    seen = []
    for workers in (1, 3):
        with pool_of(workers=workers) as pool:
            pool.advance({i: ("fine", 40 + i) for i in range(3)}, {})
            first = pool.frames.copy()
            moments = pool.advance({}, {0: 1, 2: 0})
            seen.append((first, pool.frames.copy(), moments))
    (first, then, moments), other = seen
    np.testing.assert_array_equal(first, other[0])
    np.testing.assert_array_equal(then, other[1])
    assert moments == other[2] and set(moments) == {0, 2}
    assert (first[1] == then[1]).all() and (first[0] != then[0]).any()
    assert (first[0] != first[1]).any()


def test_a_task_ends_at_its_horizon():
    with pool_of() as pool:
        assert not any(moment.done for moment in run(pool, ["fine"], 3).values())
        assert pool.advance({}, {0: 0})[0].done


def test_an_exception_loses_its_episode_alone():
    with pool_of(workers=1) as pool:
        ends = run(pool, ["raises", "fine"], 4)
        assert ends[0].lost.startswith("RuntimeError: the engine is gone (")
        assert "test_pool.py" in ends[0].lost
        assert ends[1].done and not ends[1].lost
        assert run(pool, ["fine"], 4)[0].done


@pytest.mark.parametrize("fault", ["dies", "hangs"])
def test_a_crash_loses_the_episodes_of_one_worker(fault):
    with pool_of() as pool:
        pool.advance({i: ("fine", i) for i in range(3)}, {})  # the workers have started
        pool.patience = 60 if fault == "dies" else 1
        ends = run(pool, [fault, "fine", "fine"], 4)
        told = {"dies": "its worker was killed by SIGKILL", "hangs": "its worker hung"}[fault]
        assert ends[0].lost.startswith(told) and ends[2].lost == ends[0].lost
        assert ends[1].done and not ends[1].lost
        pool.patience = 60
        assert run(pool, ["fine"], 4)[0].done


def test_slow_simulators_do_not_hang():
    """Together they take longer than one of them may."""
    with pool_of(workers=1) as pool:
        pool.advance({i: ("slow", i) for i in range(3)}, {})
        pool.patience = 1.5
        assert not any(
            moment.lost for moment in pool.advance({}, dict.fromkeys(range(3), 0)).values()
        )


def test_a_worker_that_crashes_again_and_again_is_one_error(monkeypatch):
    monkeypatch.setattr(pools, "CRASHES", 2)
    message = "Fragile crashed 3 times in one worker.*RuntimeError: no display"
    with pool_of() as pool, pytest.raises(DataError, match=message):
        for seed in range(3):
            assert not pool.advance({1: ("fine", seed)}, {})[1].lost  # of the other worker
            pool.advance({0: ("broken", seed)}, {})


def test_an_episode_that_ends_forgives_crashes(monkeypatch):
    monkeypatch.setattr(pools, "CRASHES", 1)
    with pool_of(workers=1) as pool:
        for _ in range(3):
            pool.advance({0: ("broken", 0)}, {})
            run(pool, ["fine"], 4)


def test_one_task_per_process_where_the_simulator_needs_that():
    with pool_of(Alone, slots=2, workers=1) as pool:
        first = run(pool, ["fine", "fine"], 4)
        again, other = run(pool, ["fine", "raises"], 2).values()
    assert len({moment.reward for moment in (*first.values(), other)}) == 3
    assert again.reward == first[0].reward


def test_several_cameras_states_language_and_success_where_they_are_asked_for():
    with pool_of(Lamp, camera=("right", "left"), asks=True) as pool:
        begun = pool.advance({1: ("push", 5), 2: ("short", 7)}, {})
        assert pool.frames is pool.views["right"] and list(pool.views) == ["right", "left"]
        np.testing.assert_array_equal(pool.views["left"][1], pool.views["right"][1][:, ::-1])
        assert (pool.views["left"][1] != pool.views["left"][2]).any()
        assert (begun[1].language, begun[2].language) == ("push the lamp", "")
        moved = pool.advance({}, {1: np.float32([1.0])})[1]
    assert moved.state.dtype == np.float32
    np.testing.assert_allclose(moved.state, begun[1].state + 1)
    assert moved.success is bool(moved.state[0] > 4)


def test_what_nobody_looks_at_is_not_drawn():
    with pool_of(Lamp, asks=True, slots=2, workers=1) as pool:
        pool.advance({0: ("push", 5), 1: ("push", 5)}, {})
        before = pool.frames[0].copy()
        action = np.float32([1.0])
        moments = pool.advance({}, {0: action, 1: action}, {0})
        np.testing.assert_array_equal(moments[0].state, moments[1].state)
        np.testing.assert_array_equal(pool.frames[0], before)
        assert (pool.frames[1] != before).any()
        pool.advance({}, {0: action, 1: action})
        np.testing.assert_array_equal(pool.frames[0], pool.frames[1])


def test_an_end_that_cannot_be_seen_has_no_state():
    with pool_of(Blind, asks=True, slots=1) as pool:
        end = run(pool, ["fine"], 4)[0]
        assert end.done and end.state is None and end.success is not None
        assert pool.advance({0: ("fine", 1)}, {})[0].state is not None


def test_behaviours_play_without_actions():
    with pool_of(Lamp, behaviour="random", slots=1) as pool:
        pool.advance({0: ("short", 5)}, {})
        first = pool.advance({}, {0: None})[0]
        pool.advance({0: ("short", 5)}, {})
        assert pool.advance({}, {0: None})[0] == first


@pytest.mark.parametrize(
    "options, starts, actions, message",
    [
        ({}, {0: ("absent", 1)}, {}, "Fragile has no task 'absent'; tasks: broken, dies"),
        ({}, {}, {0: 7}, "fine: the agent gave action 7, expected a number from 0 to 1"),
        ({"camera": "top"}, {}, {}, "Fragile has no camera 'top'; cameras: left, right"),
        ({"behaviour": "wise"}, {}, {}, "unknown behaviour 'wise'; known: random"),
        ({"workers": 0}, {}, {}, "3 slots, 0 workers"),
    ],
)
def test_what_the_user_can_mend_is_an_error(options, starts, actions, message):
    with pytest.raises(DataError, match=message), pool_of(**options) as pool:
        pool.advance({0: ("fine", 1)}, {})
        pool.advance(starts, actions)


def test_an_action_needs_an_episode():
    with pool_of() as pool, pytest.raises(ValueError, match="no episode runs in slots"):
        pool.advance({}, {0: 1})


def test_doom_is_the_same_in_any_number_of_workers():
    seen = []
    for workers in (1, 2):
        with pool_of(DoomSuite, workers=workers, slots=2, size=32) as pool:
            pool.advance({0: ("rocket_basic", 3), 1: ("my_way_home", 4)}, {})
            rewards = [pool.advance({}, {0: action, 1: 2}) for action in (5, 6, 6)]
            seen.append((rewards, pool.frames.copy()))
    np.testing.assert_array_equal(seen[0][1], seen[1][1])
    assert seen[0][0] == seen[1][0] and seen[0][1].std() > 5

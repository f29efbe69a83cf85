"""Attempts of a scripted expert: what is solved, lost, and equal when it is played again."""

import itertools

import numpy as np
import pytest

from data_pipelines.errors import DataError
from data_pipelines.format.spec import ActionSpec
from data_pipelines.simulators.attempts import attempt
from data_pipelines.simulators.simulator import EpisodeLost, Simulator, Step, TaskSpec


class Walk(Simulator):
    """Steps of up to 1 from where the seed says to 0; odd seeds begin too far away."""

    cameras = ("front",)
    drift = itertools.repeat(0.0)  # of the start, beside what the seed says
    looks = False
    drawn = 0
    lost: tuple = ()  # seeds whose second step fails
    knows = True

    @classmethod
    def tasks(cls):
        action = ActionSpec("continuous", ("x",), low=-1.0, high=1.0)
        return {"home": TaskSpec("home", action, ("x",), max_steps=6)}

    def begin(self, seed):
        self.x, self.seed = float(20 * (seed % 2) + 3 + seed / 10 + next(self.drift)), seed
        self.steps = 0

    def step(self, action):
        self.steps += 1
        if self.seed in self.lost and self.steps == 2:
            raise EpisodeLost("it broke")
        self.x += float(action[0])
        return Step(0.0, self.success() is True)

    def frames(self):
        type(self).drawn += 1
        return {"front": np.zeros((self.size, self.size, 3), np.uint8)}

    def state(self):
        return np.array([self.x], np.float32)

    def success(self):
        return abs(self.x) < 1e-6 if self.knows else None

    def episode_facts(self):
        return {"stages": [[0, "start"], [1, "walk"]], "keyframes": [[0, "step"]]}

    def expert(self):
        assert self.ground_truth

        def act(frames):
            if self.looks:
                assert frames["front"].shape == frames[next(iter(frames))].shape
                assert len(frames) == 1
            return np.clip([-self.x], -1, 1)

        return act


def kind(**facts):
    return type("Kind", (Walk,), facts)


def test_what_is_solved_comes_out_equal_again_and_nothing_is_drawn():
    walk = kind()
    found = attempt(walk, "home", [0, 1, 2], replays=9)
    told = [(one.seed, one.solved, one.length, one.replayed, one.at) for one in found]
    assert told == [
        (0, True, 3, True, ""),
        (1, False, 6, None, "walk, step"),
        (2, True, 4, True, ""),
    ]
    assert walk.drawn == 0


def test_so_many_are_played_again_and_no_more():
    assert [one.replayed for one in attempt(kind(), "home", [1, 0, 2], replays=1)] == [
        None,
        True,
        None,
    ]


def test_a_simulator_that_remembers_is_found_out():
    """Each start is a little elsewhere, as where resets before it count."""
    walk = kind(drift=itertools.count(0, 1e-3))
    assert [one.replayed for one in attempt(walk, "home", [0, 2], replays=9)] == [False, False]


def test_an_expert_may_look():
    walk = kind(looks=True)
    assert attempt(walk, "home", [0], replays=9)[0].replayed
    assert walk.drawn == 3  # once at every step of the first playing


def test_a_lost_episode_is_told_and_the_next_one_has_a_new_simulator():
    closed = []
    walk = kind(lost=(2,), close=lambda self: closed.append(self))
    found = attempt(walk, "home", [0, 2, 4], replays=9)
    assert [one.lost for one in found] == ["", "it broke", ""]
    assert [one.replayed for one in found] == [True, None, True]
    assert len(set(map(id, closed))) == len(closed) == 3  # two that played, one that played again


def test_a_task_must_say_whether_it_is_solved():
    with pytest.raises(DataError, match="does not say whether home is solved"):
        attempt(kind(knows=False), "home", [0], replays=9)

"""Playing many episodes at once: each is what it would be alone."""

from types import SimpleNamespace

import numpy as np
import pytest

from data_pipelines.simulators.pool import SimulatorPool
from flexlam_jax.acting.policy import Decision
from flexlam_jax.errors import UserError
from flexlam_jax.evaluation.decision_rules import Rule
from flexlam_jax.evaluation.rollouts import Episode, Outcome, episode_seeds, mean_returns, play
from tests.data_pipelines.simulators.lamp import Lamp

RULES = {"count": Rule("sample"), "short": Rule("sample"), "lost": Rule("argmax")}


class Counting:
    """A pool without processes: pictures show (seed, step), an episode lasts seed % 5 + 1 steps."""

    def __init__(self, slots):
        self.slots, self.frames = slots, np.zeros((slots, 2, 2, 3), np.uint8)
        self.live, self.actions = {}, {}

    def advance(self, starts, actions, unseen=()):
        moments = {}
        for slot, (task, seed) in starts.items():
            self.live[slot] = [task, seed, 0]
            self.actions[seed] = []
            moments[slot] = SimpleNamespace(reward=0.0, done=False, lost="")
        for slot, action in actions.items():
            self.live[slot][2] += 1
            task, seed, step = self.live[slot]
            self.actions[seed].append(action)
            lost = "it broke" if task == "lost" and step == 2 else ""
            moments[slot] = SimpleNamespace(
                reward=0.0 if lost else float(action), done=step > seed % 5, lost=lost
            )
        for slot, (_, seed, step) in self.live.items():
            self.frames[slot] = (seed % 251, step, 0)
        return moments


class Watched:
    """A policy that keeps what it was shown; probabilities are a function of the newest picture."""

    action_names, history, image_size = ("a", "b"), 3, (2, 2)

    def __init__(self):
        self.calls = []

    def decide(self, frames, seeds, *, predict=False):
        self.calls.append((frames.copy(), seeds.copy()))
        first = 0.2 + 0.6 * (frames[:, -1].astype(float).sum((1, 2, 3)) % 2)
        prediction = frames[:, -1] / np.float32(255) if predict else None
        return Decision(np.stack([first, 1 - first], -1).astype(np.float32), prediction)


EPISODES = [Episode("count", seed) for seed in (3, 11, 4, 7, 20, 9, 2)]


def test_an_episode_does_not_depend_on_what_is_played_beside_it():
    outcomes = {slots: play(Counting(slots), Watched(), EPISODES, RULES) for slots in (1, 3, 9)}
    assert outcomes[1] == outcomes[3] == outcomes[9]
    assert [one.episode for one in outcomes[1]] == EPISODES
    assert [one.length for one in outcomes[1]] == [e.seed % 5 + 1 for e in EPISODES]
    assert len({one.episode_return for one in outcomes[1]}) > 2


def test_the_policy_sees_the_last_pictures_of_every_slot():
    policy = Watched()
    play(Counting(2), policy, [Episode("count", 3), Episode("count", 4)], RULES)
    steps = [frames[0, :, 0, 0].tolist() for frames, _ in policy.calls[:4]]
    assert [[step for _, step, _ in window] for window in steps] == [
        [0, 0, 0], [0, 0, 1], [0, 1, 2], [1, 2, 3],
    ]  # fmt: skip
    assert all(len(frames) == len(seeds) == 2 for frames, seeds in policy.calls)
    assert len({int(seeds[1]) for _, seeds in policy.calls}) == len(policy.calls)


def test_seeds_of_decisions_are_a_function_of_the_episode():
    alone, beside = Watched(), Watched()
    play(Counting(1), alone, [Episode("count", 4)], RULES)
    play(Counting(3), beside, EPISODES[:3], RULES)
    seeds = [int(seeds[2]) for _, seeds in beside.calls]
    assert [int(seeds[0]) for _, seeds in alone.calls] == seeds


def test_a_lost_episode_is_told_and_the_others_are_played():
    told = []
    episodes = [Episode("lost", 4), *EPISODES[:3]]
    outcomes = play(Counting(2), Watched(), episodes, RULES, on_end=told.append)
    assert outcomes[0].lost == "it broke" and outcomes[0].length == 1
    assert outcomes[1:] == play(Counting(2), Watched(), EPISODES[:3], RULES)
    assert sorted(told, key=lambda one: one.episode.seed) == sorted(
        outcomes, key=lambda one: one.episode.seed
    )


def test_means_leave_lost_episodes_out():
    def outcome(value, lost=""):
        return Outcome(Episode("walk", int(value)), value, 3, lost)

    assert mean_returns([outcome(1.0), outcome(9.0, "it broke"), outcome(2.0)]) == {"walk": 1.5}
    with pytest.raises(UserError, match="all episodes of walk were lost, the first.*it broke"):
        mean_returns([outcome(9.0, "it broke")])


def test_a_watcher_sees_each_picture_beside_what_was_predicted_for_it():
    seen = []
    play(Counting(2), Watched(), EPISODES[:2], RULES, watch=lambda *one: seen.append(one))
    mine = [one for one in seen if one[0] == EPISODES[0]]
    assert [step for _, step, _, _ in mine] == [0, 1, 2, 3]
    assert mine[0][3] is None
    for (*_, before, _), (*_, predicted) in zip(mine, mine[1:], strict=False):
        np.testing.assert_allclose(predicted * 255, before)


def test_without_a_policy_the_pool_plays():
    pool = Counting(2)
    pool.advance_with = pool.advance
    pool.advance = lambda starts, actions, _: pool.advance_with(starts, dict.fromkeys(actions, 1))
    assert [one.episode_return for one in play(pool, None, EPISODES[:2], {})] == [4.0, 2.0]


class Moving(Watched):
    action_names, image_size = ("a", "b"), (8, 8)


def test_the_number_of_workers_changes_nothing():
    episodes = [Episode("short", seed) for seed in range(8)]
    outcomes = []
    for workers in (1, 3):
        with SimulatorPool(Lamp, slots=4, workers=workers, size=8) as pool:
            outcomes.append(play(pool, Moving(), episodes, RULES))
    assert outcomes[0] == outcomes[1]
    assert len({one.length for one in outcomes[0]}) > 2


def test_validation_and_test_share_no_seed():
    test, validation = episode_seeds(7, 500), episode_seeds(7, 500, validation=True)
    assert not set(test) & set(validation)
    assert len(set(test)) == 500 and not set(test) & set(episode_seeds(8, 500))
    assert episode_seeds(7, 3) == test[:3]
    with pytest.raises(UserError, match="at most 100000"):
        episode_seeds(0, 100_001)

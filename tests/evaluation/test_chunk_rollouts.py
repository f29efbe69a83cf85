"""Playing chunk policies: each episode is what it would be alone, and says whether it solved."""

from types import SimpleNamespace

import numpy as np

from flexlam_jax.evaluation.chunk_rollouts import play_chunks
from flexlam_jax.evaluation.rollouts import Episode


class Walk:
    """A pool without processes: an action moves the place, which is to reach 2 (seed % 4) in 3 steps."""

    def __init__(self, slots):
        self.slots, self.live, self.begun, self.unseen = slots, {}, [], []
        self.views = {name: np.zeros((slots, 2, 2, 3), np.uint8) for name in ("top", "side")}
        self.frames = self.views["top"]

    def advance(self, starts, actions, unseen=()):
        self.unseen.append(set(unseen))
        for slot, (task, seed) in starts.items():
            self.live[slot] = [task, seed, 0.0, 0]
            self.begun.append(seed)
        for slot, action in actions.items():
            self.live[slot][2] += float(action[0])
            self.live[slot][3] += 1
        return {slot: self.moment(slot) for slot in (*starts, *actions)}

    def moment(self, slot):
        task, seed, place, step = self.live[slot]
        self.views["side"][slot] = step
        lost = "it broke" if task == "lost" and step == 2 else ""
        solved = place >= 2 * (seed % 4)
        return SimpleNamespace(
            reward=1.0,
            done=step > 0 and (solved or step == 3),
            lost=lost,
            state=np.float32([place]),
            language=task,
            success=solved,
        )


class Actor:
    """Moves by one, and by what its seed says; looks at every step but those that are `blind`."""

    def __init__(self, blind=()):
        self.seen, self.drawn, self.blind = {}, [], blind

    @property
    def unseen(self):
        return frozenset(slot for slot, (steps, _) in self.seen.items() if steps in self.blind)

    def see(self, slot, frames, state, sentence, *, first):
        self.seen[slot] = (0 if first else self.seen[slot][0] + 1, sentence)
        assert frames["side"][0, 0, 0] == self.seen[slot][0]

    def act(self, slots, seeds):
        assert seeds.dtype == np.uint32
        self.drawn += seeds.tolist()
        return {s: np.float32([1 + seed % 2]) for s, seed in zip(slots, seeds, strict=True)}


EPISODES = [Episode(task, seed) for task in ("walk", "lost") for seed in (3, 6, 9, 4)]


def test_an_episode_does_not_depend_on_what_is_played_beside_it():
    ends = []
    outcomes = [
        play_chunks(Walk(slots), Actor(), EPISODES, on_end=ends.append) for slots in (1, 3, 20)
    ]
    assert outcomes[0] == outcomes[1] == outcomes[2] and len(ends) == 3 * len(EPISODES)
    backwards = play_chunks(Walk(2), Actor(), EPISODES[::-1])
    assert backwards[::-1] == outcomes[0]
    assert {one.success for one in outcomes[0]} == {True, False, None}
    for one in outcomes[0]:
        assert (one.success is None) == bool(one.lost)
        assert one.length == (1 if one.lost else one.episode_return)


def test_every_decision_has_a_seed_of_its_own():
    actor = Actor()
    outcomes = play_chunks(Walk(1), actor, EPISODES[:4])
    assert len(set(actor.drawn)) == len(actor.drawn) == sum(one.length for one in outcomes)


def test_what_nobody_looks_at_is_not_drawn():
    class Blind(Actor):
        def see(self, slot, frames, state, sentence, *, first):
            self.seen[slot] = (int(frames["side"][0, 0, 0]), sentence)

    pool, actor = Walk(2), Blind(blind=(0,))
    episodes = [Episode("walk", seed) for seed in (3, 7)]  # both take three steps
    outcomes = play_chunks(pool, actor, episodes)
    assert [one.length for one in outcomes] == [3, 3]
    # Known before the first step alone; what begins is seen whatever was known of its slot.
    assert pool.unseen[:2] == [set(), {0, 1}] and actor.seen[0][0] == 0
    watched = Walk(2)
    play_chunks(watched, Blind(blind=(0,)), episodes, watch=lambda *given: None)
    assert not any(watched.unseen)


def test_pictures_of_the_first_camera_are_shown():
    shown = []
    pool = Walk(1)
    pool.frames[:] = 7
    outcomes = play_chunks(
        pool,
        Actor(),
        EPISODES[:1],
        watch=lambda *given: shown.append((given[1], given[2][0, 0, 0])),
    )
    assert shown == [(step, 7) for step in range(outcomes[0].length)]

"""Chunk policies in several episodes at once: what they are asked, and what is done."""

import dataclasses

import numpy as np
import pytest

from flexlam_jax.acting import temporal_ensemble
from flexlam_jax.acting.chunk_actor import ChunkActor, Level
from flexlam_jax.errors import UserError


@dataclasses.dataclass
class Asked:
    """A policy whose chunk is what it saw: [place, first number of the skill] + step of the chunk."""

    history: int = 1
    chunk: int = 3
    width: int = 2
    cameras: tuple = ("top",)
    proprio_width: int = 1
    skill_width: int = 0
    image_size: tuple = (2, 2)
    calls: list = dataclasses.field(default_factory=list)

    def decide(self, frames, proprio, sentences, skill, *, seeds):
        self.calls.append((frames, proprio, sentences, skill, seeds))
        rows = len(seeds)
        assert all(
            x.shape[:2] == proprio.shape[:2] == (rows, proprio.shape[1]) for x in frames.values()
        )
        told = proprio[:, -1, 0] if skill is None else skill[:, -1, 0]
        now = np.stack([proprio[:, -1, 0], told], -1)[:, None]
        return np.float32(now + 0.25 * np.arange(self.chunk)[:, None])


def see(actor, slot, place, first=False, sentence="go"):
    frames = {"top": np.full((2, 2, 3), place, np.uint8), "side": np.full((2, 2, 3), 9, np.uint8)}
    actor.see(slot, frames, np.float32([-1, place]), sentence, first=first)


SEEDS = np.arange(3, dtype=np.uint32)


def test_all_rows_are_asked_every_time_each_with_its_own():
    policy = Asked()
    actor = ChunkActor([Level(policy, numbers=(1,))], slots=3)
    for slot in (0, 2):
        see(actor, slot, 10 + slot, first=True, sentence=f"go {slot}")
    done = actor.act([0, 2], SEEDS[:2])
    assert done[0].tolist() == [10, 10] and done[2].tolist() == [12, 12]
    frames, proprio, sentences, _, seeds = policy.calls[0]
    assert frames["top"].shape == (3, 1, 2, 2, 3) and frames["top"][:, 0, 0, 0, 0].tolist() == [
        10,
        12,
        10,
    ]
    assert (proprio[:, 0, 0].tolist(), list(seeds)) == ([10, 12, 10], [0, 1, 0])
    assert sentences == ["go 0", "go 2", "go 0"]
    assert actor.decisions == 2


def test_what_is_done_is_the_ensemble_of_the_episode_alone():
    policy, other = Asked(), Asked()
    actor = ChunkActor([Level(policy, numbers=(1,))], slots=2)
    first = ChunkActor([Level(other, numbers=(1,))], slots=2, ensemble=False)
    state = temporal_ensemble.start(1, 3, 2)
    for step in range(5):
        for one in (actor, first):
            see(one, 1, step * step, first=step == 0)
            if step in (2, 4):  # begins again beside it
                see(one, 0, 7, first=True)
        slots = [0, 1] if step in (2, 4) else [1]
        done = actor.act(slots, SEEDS[: len(slots)])
        chunk = step * step + 0.25 * np.arange(3)[None, :, None] + np.zeros((1, 3, 2))
        state, expected = temporal_ensemble.push(state, chunk)
        np.testing.assert_allclose(done[1], expected[0], rtol=1e-6)
        if 0 in done:
            assert done[0].tolist() == [7, 7]
        assert first.act(slots, SEEDS[: len(slots)])[1].tolist() == [step * step] * 2


def test_a_history_begins_with_the_episode():
    policy = Asked(history=3)
    actor = ChunkActor([Level(policy, numbers=(1,))], slots=2)
    see(actor, 0, 1, first=True)
    actor.act([0], SEEDS[:1])
    see(actor, 0, 2)
    see(actor, 1, 8, first=True)
    policy.calls.clear()
    done = actor.act([0, 1], SEEDS[:2])
    assert [call[1][0, :, 0].tolist() for call in policy.calls] == [[8], [1, 2]]
    assert done[1].tolist() == [8, 8]
    for place in (3, 4):
        see(actor, 0, place)
        actor.act([0], SEEDS[:1])
    assert policy.calls[-1][1][0, :, 0].tolist() == [2, 3, 4]
    assert policy.calls[-1][0]["top"][0, :, 0, 0, 0].tolist() == [2, 3, 4]


def test_the_low_level_is_told_the_skill_of_every_step():
    high = Asked(width=4, chunk=1, cameras=("frames",))
    low = Asked(history=2, skill_width=4)
    levels = [Level(high, {"frames": "side"}, (1,)), Level(low, numbers=(0,))]
    actor = ChunkActor(levels, slots=1, ensemble=False)
    high.decide = lambda frames, proprio, *rest, seeds: np.float32(
        10 * proprio[:, -1:, :1] + frames["frames"][:, -1:, 0, 0, :1] * np.ones(4)
    )
    see(actor, 0, 3, first=True)
    assert actor.act([0], SEEDS[:1])[0].tolist() == [-1, 39]
    see(actor, 0, 4)
    assert actor.act([0], SEEDS[:1])[0].tolist() == [-1, 49]
    assert low.calls[-1][3][0, :, 0].tolist() == [39, 49]


def test_actions_of_a_chunk_are_done_before_the_next_is_decided():
    policy = Asked()
    actor = ChunkActor([Level(policy, numbers=(1,))], slots=3, ensemble=False, execute=2)
    see(actor, 0, 5, first=True)
    assert actor.act([0], SEEDS[:1])[0].tolist() == [5, 5]
    assert actor.unseen == {0}
    see(actor, 1, 8, first=True)  # begins while the other has an action left
    done = actor.act([0, 1], SEEDS[:2])
    assert done[0].tolist() == [5.25, 5.25] and done[1].tolist() == [8, 8]
    assert actor.unseen == {1} and len(policy.calls) == 2 and actor.decisions == 2
    assert policy.calls[1][1][0, 0, 0] == 8 and list(policy.calls[1][4])[0] == SEEDS[1]
    see(actor, 1, 3, first=True)  # what was left of the episode before is forgotten
    see(actor, 0, 6)
    done = actor.act([0, 1], SEEDS[:2])
    assert done[0].tolist() == [6, 6] and done[1].tolist() == [3, 3]


@pytest.mark.parametrize(
    "policy, ensemble, told",
    [
        (Asked(chunk=2), False, "the policy's chunks have 2"),
        (Asked(history=2), False, "reads each of the last 2 steps"),
        (Asked(), True, "temporal ensembling decides at every step"),
    ],
)
def test_chunks_that_cannot_be_done_whole(policy, ensemble, told):
    with pytest.raises(UserError, match=told):
        ChunkActor([Level(policy)], slots=1, ensemble=ensemble, execute=3)


def test_warming_up_leaves_nothing_behind():
    policy = Asked(history=2)
    actor = ChunkActor([Level(policy, {"top": "side"}, (1,))], slots=2)
    actor.warm_up()
    assert [call[1].shape[1] for call in policy.calls] == [1, 2]
    assert actor.decisions == 0 and actor.seconds == 0
    see(actor, 0, 5, first=True)
    assert actor.act([0], SEEDS[:1])[0] == pytest.approx([5, 5])

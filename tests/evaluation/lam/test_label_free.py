"""Rows that need no label, of models whose codes are known."""

import numpy as np
import pytest

from flexlam_jax.evaluation.evaluator import evaluate
from flexlam_jax.evaluation.lam.code_agreement import agreement, linear_agreement, strangers
from flexlam_jax.evaluation.lam.evaluators import EVALUATORS
from flexlam_jax.evaluation.lam.fields import FIELDS
from flexlam_jax.evaluation.lam.settings import Settings

SIDE, STEP = 16, 5


class Codes:
    """One slot, kept or not; the code is what `read` says of the two frames."""

    slots, slot_width, codebook_size, bits_per_slot = 1, 1, None, None
    budgets, null, chooses = (1,), np.zeros(1, np.float32), False

    def encode_with_ids(self, o_t, o_next):
        return self.read(o_t.astype(np.float32), o_next.astype(np.float32))[:, None], None

    def null_fill(self, codes, keep):
        return codes if keep else np.zeros_like(codes)

    def decode(self, o_t, codes):
        return self.show(o_t.astype(np.float32), np.asarray(codes)[:, 0]) / 255


class Change(Codes):
    """How much brighter it gets: an additive code of the action, and nothing else."""

    def read(self, o_t, o_next):
        return (o_next - o_t)[:, 0, 0]

    def show(self, o_t, code):
        return o_t + code[:, None, None]


class Shown(Change):
    """The next frame itself."""

    def read(self, o_t, o_next):
        return o_next.reshape(len(o_t), -1)

    def show(self, o_t, code):
        return code.reshape(o_t.shape)


class Ignored(Change):
    """The same code, and a decoder that does not look at it."""

    def show(self, o_t, code):
        return o_t


class Nothing(Change):
    """A collapsed code."""

    def read(self, o_t, o_next):
        return np.ones((len(o_t), 1), np.float32)


def clips(episodes=12, length=12, seed=0, gap=1):
    """Pictures that get brighter or darker by one step at a time, in batches of 50."""
    rng = np.random.default_rng(seed)
    rows = []
    for episode in range(episodes):
        picture = rng.integers(100, 150, (SIDE, SIDE, 1))
        walk = STEP * np.cumsum(rng.choice([-2, -1, 1, 2], length))
        frames = (picture + walk[:, None, None, None]).astype(np.uint8)
        rows += [(frames[t : t + gap + 1 : gap], episode, t) for t in range(length - gap)]
    frames, episode, t = map(np.array, zip(*rows, strict=True))
    for first in range(0, len(t), 50):
        some = slice(first, first + 50)
        zeros = np.zeros(len(t[some]), np.int32)
        yield {
            "frames": frames[some],
            "episode": episode[some],
            "t": t[some],
            "dataset": zeros,
            "gap": zeros + gap,
        }


def row_of(lam, batches):
    measured = evaluate([EVALUATORS["label_free"]], {"m": lam}, FIELDS, batches, None, Settings())
    (row,) = measured["label_free"]["m"].rows
    return row


@pytest.fixture(scope="module")
def rows():
    return {kind: row_of(kind(), clips()) for kind in (Change, Shown, Ignored, Nothing)}


def test_an_additive_code_of_the_action_passes_everything(rows):
    row = rows[Change]
    for key in ("cycle", "transfer", "additivity", "reversibility"):
        assert row[key].mean == pytest.approx(1) and row[key].low > 0.999
    for key in ("additivity_linear", "reversibility_linear"):
        assert row[key].mean > 0.99
    assert row["cut_carried"].mean < 0.3 and row["cycle"].n == 12


def test_a_code_that_is_the_next_picture_is_told_by_the_cut(rows):
    assert rows[Shown]["cut_carried"].mean == pytest.approx(1)
    assert rows[Shown]["cut_shuffled"].high < 0.5
    assert rows[Shown]["transfer"].mean == pytest.approx(1)  # Which alone would be no proof.
    assert rows[Shown]["additivity"].high < 0.5 and rows[Shown]["reversibility"].high < 0.5


def test_a_decoder_that_ignores_the_code_is_told_by_the_cycle(rows):
    for key in ("cycle", "transfer"):
        assert rows[Ignored][key].mean == pytest.approx(0, abs=0.15)
    assert rows[Ignored]["cut_carried"].mean == pytest.approx(0, abs=1e-6)


def test_a_collapsed_code_passes_nothing(rows):
    for key in ("cycle", "transfer", "additivity", "reversibility", "additivity_linear"):
        assert rows[Nothing][key].mean == 0, key


def test_discrete_codes_tell_the_share_of_equal_ids(world):
    row = evaluate(
        [EVALUATORS["label_free"]],
        {"m": world.ExactLam()},
        FIELDS,
        world.batches(world.transitions(200, 1)),
        None,
        Settings(budgets=(2,)),
    )["label_free"]["m"].rows[0]
    assert row["transfer_ids"].mean == 1 and row["cycle_ids"].mean == 1
    assert row["transfer_ids_shuffled"].mean == pytest.approx(0.25, abs=0.08)
    assert "additivity" not in row  # No gap is known, so no next step.


@pytest.mark.parametrize("gap", [1, 3])
def test_additivity_is_of_steps_that_follow_one_another(gap):
    row = row_of(Change(), clips(gap=gap))
    assert row["additivity"].mean == pytest.approx(1) and row["additivity"].n == 12


def test_vectors_are_encoded_again_as_they_are():
    class Moved(Codes):
        def read(self, o_t, o_next):
            return (o_next - o_t)[:, :1, 0, 0]

        def decode(self, o_t, codes):
            return o_t + np.asarray(codes)[:, 0, 0][:, None, None, None]

    rng = np.random.default_rng(3)
    state = np.cumsum(rng.normal(size=(10, 9, 1)), 1)  # Ten episodes of one column.
    t = np.tile(np.arange(8), 10)
    batch = {
        "frames": np.stack([state[:, :-1], state[:, 1:]], 2).reshape(80, 2, 1, 1, 1),
        "episode": np.repeat(np.arange(10), 8),
        "t": t,
        "dataset": 0 * t,
        "gap": 0 * t + 1,
    }
    batch["frames"] = batch["frames"].astype(np.float32)
    row = row_of(Moved(), [batch])
    for key in ("cycle", "transfer", "additivity", "reversibility"):
        assert row[key].mean == pytest.approx(1), key


def test_neighbours_of_another_gap_or_episode_are_none():
    batches = list(clips(episodes=2, length=3))
    read = FIELDS["later"].read(None, batches[0])
    assert list(read["there"]) == [True, False, True, False]
    np.testing.assert_array_equal(read["frame"][0], batches[0]["frames"][1, 1])
    batches[0]["gap"] = batches[0]["gap"] * [1, 2, 1, 1]
    assert list(FIELDS["later"].read(None, batches[0])["there"]) == [False, False, True, False]


@pytest.mark.parametrize("sizes", [(5, 5, 5), (1, 2, 3, 6), (10, 1)])
def test_strangers_are_of_other_episodes_where_there_are_enough(sizes):
    episode = np.repeat(np.arange(len(sizes)), sizes)
    for seed in range(4):
        partner = strangers(episode, seed)
        assert (
            sorted(partner) == list(range(len(episode))) and (partner != range(len(episode))).all()
        )
        if max(sizes) <= len(episode) / 2:
            assert (episode[partner] != episode).all()
    with pytest.raises(ValueError, match="at least two"):
        strangers(np.zeros(1), 0)


def test_agreement_is_1_for_equal_codes_and_0_for_those_of_nobody():
    rng = np.random.default_rng(0)
    codes, episode = rng.normal(size=(600, 4)), np.repeat(np.arange(30), 20)
    partner = strangers(episode, 0)
    assert agreement(codes, codes, partner, episode).mean == 1
    noise = agreement(codes, rng.normal(size=codes.shape), partner, episode)
    assert noise.low < 0 < noise.high
    turned = codes @ np.linalg.qr(rng.normal(size=(4, 4)))[0] + 3
    assert agreement(codes, turned, partner, episode).mean < 0.5
    assert linear_agreement(turned, codes, episode).mean > 0.99
    assert linear_agreement(rng.normal(size=codes.shape), codes, episode).high < 0.05
    assert linear_agreement(codes, codes, np.zeros(600)) is None

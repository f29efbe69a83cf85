"""Cuts of a given number: how many, where, and not in padding."""

import jax
import numpy as np
import pytest

from flexlam_jax.evaluation.cuts import (
    chunk_counts,
    equal_cuts,
    highest_cuts,
    jump_cuts,
    random_cuts,
)

LENGTHS = np.array([12, 7, 1, 10])
VALID = np.arange(12) < LENGTHS[:, None]
VALID[3] = np.roll(VALID[3], 2)  # Padding in front.
COUNTS = np.array([5, 7, 1, 4])
LATENTS = np.random.default_rng(0).normal(size=(4, 12, 3))


@pytest.mark.parametrize(
    "cut",
    [
        equal_cuts(VALID, COUNTS),
        random_cuts(jax.random.key(0), VALID, COUNTS),
        jump_cuts(LATENTS, VALID, COUNTS),
    ],
)
def test_as_many_as_asked_for_the_first_step_among_them(cut):
    assert cut.dtype == bool and cut.shape == VALID.shape
    np.testing.assert_array_equal(cut.sum(axis=1), COUNTS)
    np.testing.assert_array_equal(chunk_counts(cut, VALID), COUNTS)
    assert not cut[~VALID].any()
    assert cut[:3, 0].all() and cut[3, 2]


def test_equal_chunks_differ_by_one_step_at_most():
    for length in range(1, 20):
        for count in range(1, length + 1):
            cut = equal_cuts(np.ones((1, length), bool), np.array([count]))
            lengths = np.diff([*np.flatnonzero(cut[0]), length])
            assert len(lengths) == count and np.ptp(lengths) <= 1


def test_random_cuts_are_of_their_key_and_everywhere():
    valid, counts = np.ones((4000, 6), bool), np.full(4000, 3)
    cut = random_cuts(jax.random.key(0), valid, counts)
    np.testing.assert_array_equal(cut, random_cuts(jax.random.key(0), valid, counts))
    np.testing.assert_allclose(cut[:, 1:].mean(axis=0), 2 / 5, atol=0.04)


def test_jumps_are_the_largest_that_are_far_enough_apart():
    z = np.zeros((1, 12, 1))
    z[0, 4:] += 5
    z[0, 5:] += 4  # Next to a larger one.
    z[0, 9:] += 1
    z[0, 1:] += 9  # Next to the first step.
    valid = np.ones((1, 12), bool)
    assert np.flatnonzero(jump_cuts(z, valid, np.array([3]))).tolist() == [0, 4, 9]
    assert np.flatnonzero(jump_cuts(z, valid, np.array([3]), gap=1)).tolist() == [0, 1, 4]
    # Where the jump into padding is largest it is none.
    valid[0, 9:] = False
    assert np.flatnonzero(jump_cuts(z, valid, np.array([2]))).tolist() == [0, 4]


def test_steps_without_a_score_are_never_taken():
    score = np.array([[-np.inf, 1.0, 3.0, -np.inf, 2.0, -np.inf]])
    cut = highest_cuts(score, np.ones((1, 6), bool), np.array([6]))
    assert np.flatnonzero(cut).tolist() == [0, 1, 2, 4]
    cut = highest_cuts(score, np.array([[True] * 4 + [False] * 2]), np.array([2]), gap=1)
    assert np.flatnonzero(cut).tolist() == [0, 2]


def test_more_jumps_than_the_gap_has_room_for():
    z = np.arange(8, dtype=float)[None, :, None] ** 2
    cut = jump_cuts(z, np.ones((1, 8), bool), np.array([6]), gap=4)
    assert cut.sum() == 6 and cut[0, 7]


@pytest.mark.parametrize(
    "counts, message",
    [([5, 8, 1, 4], "row 1 has 7 steps"), ([0, 7, 1, 4], "row 0"), ([3], "for 4 rows: give")],
)
def test_counts_that_no_row_has(counts, message):
    with pytest.raises(ValueError, match=message):
        equal_cuts(VALID, np.array(counts))

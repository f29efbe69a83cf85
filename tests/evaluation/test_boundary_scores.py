"""Boundaries are paired one to one, as many as can be, and never over rows."""

import itertools

import numpy as np
import pytest

from flexlam_jax.evaluation.boundary_scores import boundary_f1, boundary_matches


def marks(*steps, length=12):
    return np.isin(np.arange(length), steps)[None]


ALL = np.ones((1, 12), bool)


@pytest.mark.parametrize(
    "found, true, expected",
    [
        ((3, 9), (3, 9), (1, 1, 1)),
        ((1, 11), (3, 9), (1, 1, 1)),  # Within two steps.
        ((2, 3, 4), (3,), (1 / 3, 1, 1 / 2)),  # A run is one hit.
        ((6,), (3, 9), (0, 0, 0)),
        ((), (3,), (0, 0, 0)),
        ((3,), (), (0, 0, 0)),
        ((0, 3), (0, 3, 7), (1, 1 / 2, 2 / 3)),  # The first step counts nowhere.
    ],
)
def test_scores(found, true, expected):
    np.testing.assert_allclose(boundary_f1(marks(*found), marks(*true), ALL), expected)


def test_tolerance():
    assert boundary_f1(marks(4), marks(5), ALL, tolerance=0).f1 == 0
    assert boundary_f1(marks(4), marks(5), ALL, tolerance=1).f1 == 1


def test_padding_and_rows_are_apart():
    found = np.concatenate([marks(3, 10), marks(5)])
    true = np.concatenate([marks(4, 9), marks(9)])
    valid = np.concatenate([np.arange(12)[None] < 9, ALL])
    np.testing.assert_array_equal(boundary_matches(found, true, valid), [[1, 0], [1, 1], [1, 1]])
    assert boundary_f1(found, true, valid) == (0.5, 0.5, 0.5)
    # Padding in front: the first step that is valid counts nowhere.
    np.testing.assert_array_equal(
        boundary_matches(marks(4, 8), marks(4, 8), np.arange(12)[None] >= 4), [[1], [1], [1]]
    )


def test_no_pairing_has_more_pairs():
    rng = np.random.default_rng(0)
    for _ in range(50):
        a, b = np.sort(rng.choice(np.arange(1, 12), (2, 4)), axis=1)
        a, b = np.unique(a), np.unique(b)
        longer, shorter = (a, b) if len(a) >= len(b) else (b, a)
        best = max(
            sum(abs(x - y) <= 2 for x, y in zip(order, shorter, strict=False))
            for order in itertools.permutations(longer, len(shorter))
        )
        assert boundary_matches(marks(*a), marks(*b), ALL).matched[0] == best

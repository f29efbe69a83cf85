"""What counts as new in a state."""

import numpy as np
import pytest

from flexlam_jax.evaluation.lam.state_changes import changes

LENGTH = 4000


def pairs(series):
    return np.stack([series[:-1], series[1:]], 1)


def walk(rng, size=64):
    """A position that wraps around an edge, and the move that brought it there."""
    moves = rng.choice([-4, 0, 0, 0, 4], LENGTH)
    return np.cumsum(moves) % size, moves


def test_a_jump_around_the_edge_counts_as_a_step():
    rng = np.random.default_rng(0)
    x = walk(rng)[0][:, None].astype(float)
    found = changes(pairs(x), pairs(x)[:50], ["x"])
    assert set(np.unique(found.train["x"])) == {-4, 0, 4} and len(found.test["x"]) == 49 + 1


def test_a_rare_event_is_not_cut_away():
    door = np.zeros((LENGTH, 1))
    door[LENGTH // 2 :] = 1
    assert changes(pairs(door), pairs(door), ["door"]).train["door"].max() == 1


def test_velocities_beside_their_positions_and_constants_are_left_out_and_told():
    rng = np.random.default_rng(1)
    x, dx = walk(rng)
    state = np.stack([dx, x, np.full(LENGTH, 3)], 1).astype(float)
    found = changes(pairs(state), pairs(state), ["dx", "x", "size"])
    assert list(found.train) == ["x"]
    assert found.left_out == {"size": "never changes", "dx": "is the rate of x"}


@pytest.mark.parametrize("memory, expected", [(0.0, "level"), (0.9, "change")])
def test_what_is_drawn_anew_counts_by_its_level(memory, expected):
    rng = np.random.default_rng(2)
    series = np.zeros((LENGTH, 1))
    for t in range(1, LENGTH):
        series[t] = memory * series[t - 1] + rng.normal()
    both = pairs(series)
    found = changes(both, both, ["light"]).train["light"]
    wanted = both[:, 1, 0] if expected == "level" else both[:, 1, 0] - both[:, 0, 0]
    assert np.corrcoef(found, wanted)[0, 1] > 0.98

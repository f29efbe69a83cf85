"""How distractors move: as strongly tied to the actions as they are told, with the memory they have."""

import numpy as np
import pytest

from data_pipelines.distractors.moves import Moves, action_directions
from data_pipelines.errors import DataError
from data_pipelines.format.spec import ActionSpec

TURNS = ActionSpec("discrete", ("a", "b", "c", "d", "e"))
FORCE = ActionSpec("continuous", ("x", "y", "z"), low=-2.0, high=4.0)
STEPS = 20_000


def directions(spec=TURNS):
    rng = np.random.default_rng(0)
    if spec.kind == "discrete":
        return action_directions(rng.integers(spec.count, size=STEPS), spec)
    return action_directions(rng.uniform(spec.low, spec.high, (STEPS, spec.count)), spec)


@pytest.mark.parametrize("spec", [TURNS, FORCE, ActionSpec("continuous", ("x",), low=0, high=1)])
def test_directions_are_of_mean_square_one(spec):
    u = directions(spec)
    assert u.shape == (STEPS, 2)
    assert abs(np.square(u).sum(1).mean() - 1) < 0.02 and np.abs(u.mean(0)).max() < 0.02


def test_every_action_has_a_direction_of_its_own():
    u = action_directions(np.arange(5), TURNS)
    assert len(np.unique(u.round(6), axis=0)) == 5
    np.testing.assert_allclose(np.hypot(*u.T), 1)
    one = np.eye(3) * 3 + 1  # an end of one dimension, the middle of the others
    assert len(np.unique(action_directions(one, FORCE).round(6), axis=0)) == 3


@pytest.mark.parametrize("chi", [0.0, 0.3, 0.8, 1.0])
@pytest.mark.parametrize("memory", [0.0, 0.6])
def test_correlation_and_memory_are_those_asked_for(chi, memory):
    """<e_t, u(a_t)> averages chi; speeds forget all but `memory` of themselves in a frame."""
    u = directions()
    speeds = Moves(u, chi, memory).speeds(np.random.default_rng(1))
    assert speeds.shape == (STEPS + 1, 2) and abs(np.square(speeds).sum(1).mean() - 1) < 0.04
    driven = (speeds[1:] - memory * speeds[:-1]) / np.sqrt(1 - memory**2)
    assert abs((driven * u).sum(1).mean() - chi) < 0.02
    # The actions before and after have nothing to do with it.
    assert abs((driven[1:] * u[:-1]).sum(1).mean()) < 0.02
    assert abs((driven[:-1] * u[1:]).sum(1).mean()) < 0.02
    assert abs((speeds[1:] * speeds[:-1]).sum(1).mean() - memory) < 0.03
    if chi == 1:
        np.testing.assert_allclose(driven, u)


def test_at_no_correlation_actions_are_not_looked_at():
    one = Moves(directions(), 0.0, 0.5).speeds(np.random.default_rng(1))
    other = Moves(np.zeros((STEPS, 2)), 0.0, 0.5).speeds(np.random.default_rng(1))
    np.testing.assert_array_equal(one, other)


def test_actions_without_bounds_cannot_be_followed():
    with pytest.raises(DataError, match="actions x have no bounds.*--distractor-correlation=0"):
        action_directions(np.zeros((3, 1)), ActionSpec("continuous", ("x",)))

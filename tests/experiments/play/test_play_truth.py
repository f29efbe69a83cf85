"""The simulator beside a world: the same episode again after going back, and its loss."""

import numpy as np
import pytest

from experiments.play.truth import SimulatorLost, TrueWorld
from tests.experiments.play.mortal_lamp import FATAL_SEED, FATAL_STEP, LENGTH, MortalLamp


@pytest.fixture(scope="module")
def truth():
    with TrueWorld(MortalLamp, "push", size=16) as one:
        yield one


def test_an_episode_starts_with_pictures_of_a_player_that_waits(truth):
    frames = truth.begin(seed=5, still=1, count=3)
    assert frames.shape == (3, 16, 16, 3) and truth.steps == 0
    again = truth.begin(seed=5, still=1, count=3)
    np.testing.assert_array_equal(frames, again)
    assert (truth.begin(seed=6, still=1, count=3) != frames).any()


def test_going_back_is_the_same_episode_with_the_same_actions(truth):
    truth.begin(seed=5, still=1, count=2)
    first = [truth.act(action) for action in (1, 0, 1)]
    truth.rewind(1)
    assert truth.steps == 1
    np.testing.assert_array_equal(truth.act(0), first[1])
    np.testing.assert_array_equal(truth.act(1), first[2])


def test_after_its_end_an_episode_shows_nothing_until_it_goes_back(truth):
    truth.begin(seed=5, still=1, count=1)
    shown = [truth.act(1) is not None for _ in range(LENGTH + 1)]
    assert shown == [True] * (LENGTH - 1) + [False] * 2 and "over" in truth.why
    truth.rewind(1)
    assert truth.act(1) is not None


def test_a_lost_process_is_told_and_the_next_episode_runs(truth):
    truth.begin(seed=FATAL_SEED, still=1, count=1)
    for _ in range(FATAL_STEP):
        truth.act(1)
    with pytest.raises(SimulatorLost, match="exit code 3"):
        truth.act(1)
    assert truth.act(1) is None
    assert truth.begin(seed=5, still=1, count=1).shape == (1, 16, 16, 3)

"""The decoder of a latent action model as a world, on a tiny untrained checkpoint."""

import numpy as np
import pytest

from flexlam_jax.errors import UserError
from flexlam_jax.world.lam_world import LamWorld
from flexlam_jax.world.opening import lam_of, open_world
from flexlam_jax.world.world import World
from tests.untrained import MODEL, SIZE, save_run

FRAMES = np.random.default_rng(0).integers(0, 256, (3, 1, SIZE, SIZE, 3), dtype=np.uint8)
CODES = np.random.default_rng(1).standard_normal((3, 3, 2)).astype(np.float32)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return save_run(tmp_path_factory.mktemp("run"), MODEL, steps=(2, 5))


@pytest.fixture(scope="module")
def world(runs):
    return open_world(runs)


def test_it_is_a_world_of_its_model(world, runs):
    assert isinstance(world, LamWorld) and isinstance(world, World)
    assert (world.frame_shape, world.slots, world.slot_width) == ((SIZE, SIZE, 3), 3, 2)
    assert (world.history, world.sampling_steps, world.budgets) == (1, 0, (1, 2, 3))
    assert lam_of(world) is world.latent_actions and world.step_number == 5
    assert lam_of(world, str(runs)).fingerprint() == world.lam["fingerprint"]


def test_a_step_is_the_decoders_frame_and_the_next_goes_on_from_it(world):
    lam = lam_of(world)
    shown, state = world.step(start := world.start(FRAMES), CODES, 2)
    expected = np.rint(255 * lam.decode(FRAMES[:, 0], lam.null_fill(CODES, 2)))
    np.testing.assert_allclose(shown, expected, atol=1)  # Of ties that two programs round apart.
    assert shown.dtype == np.uint8
    again, _ = world.step(state, CODES)
    np.testing.assert_allclose(again, np.rint(255 * lam.decode(shown, CODES)), atol=1)
    np.testing.assert_array_equal(start.frames, FRAMES[:, 0])


def test_slots_that_are_not_kept_change_nothing_and_rows_have_their_own_keep(world):
    other = CODES + np.float32([[0], [1], [1]])
    state = world.start(FRAMES)
    one, _ = world.step(state, CODES, np.array([1, 1, 3]))
    two, _ = world.step(state, other, np.array([1, 1, 3]))
    np.testing.assert_array_equal(one[:2], two[:2])
    assert (one[2] != two[2]).any()


@pytest.mark.parametrize(
    ("frames", "told"),
    [
        (FRAMES.astype(np.float32), "float32"),
        (FRAMES[:, :, :8], r"\(3, 1, 8, 16, 3\)"),
        (np.repeat(FRAMES, 2, 1), "1 to 1"),
        (FRAMES[:0], "at least one row"),
    ],
)
def test_wrong_frames_are_told(world, frames, told):
    with pytest.raises(ValueError, match=told):
        world.start(frames)


@pytest.mark.parametrize(
    ("codes", "keep", "told"),
    [
        (CODES[:2], None, r"\(2, 3, 2\)"),
        (CODES.astype(int), None, "int64"),
        (np.full_like(CODES, np.nan), None, "NaN"),
        (CODES, 4, "from 0 to 3"),
        (CODES, 1.0, "whole numbers"),
        (CODES, np.array([1, 2]), "one or 3"),
    ],
)
def test_wrong_codes_are_told(world, codes, keep, told):
    with pytest.raises(ValueError, match=told):
        world.step(world.start(FRAMES), codes, keep)


def test_another_model_than_the_worlds_is_refused(world, tmp_path):
    other = save_run(tmp_path, MODEL, steps=(9,))
    with pytest.raises(UserError, match="step 9; give the model"):
        lam_of(world, str(other))

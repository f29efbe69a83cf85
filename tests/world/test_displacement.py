"""Displacement of pictures whose shift is known."""

import numpy as np
import pytest
from scipy import ndimage

from flexlam_jax.world.displacement import displacement, mean_motion

SHIFTS = [(0, 0), (5, 0), (-5, 0), (0, 4), (3, -4), (9, 2)]  # x, y


@pytest.fixture(scope="module")
def scene():
    """A smooth picture, larger than a frame, through which a window moves."""
    noise = np.random.default_rng(0).normal(size=(96, 96, 3))
    smooth = ndimage.gaussian_filter(noise, (2, 2, 0))
    return np.interp(smooth, (smooth.min(), smooth.max()), (0, 255)).astype(np.uint8)


def window(scene, x, y):
    return scene[y : y + 48, x : x + 64]


def test_a_view_that_turns_is_found(scene):
    """What the picture shows moves against the window."""
    before = np.stack([window(scene, 16, 24)] * len(SHIFTS))
    after = np.stack([window(scene, 16 - x, 24 - y) for x, y in SHIFTS])
    found = displacement(before, after)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, SHIFTS, atol=1.0)
    assert (found[0] == 0).all()


def test_a_small_thing_before_a_still_background_is_found(scene):
    def picture(x, y):
        frame = window(scene, 16, 24).copy()
        frame[y : y + 8, x : x + 8] = [255, 40, 0]
        return frame

    places = [(24 + x, 16 + y) for x, y in SHIFTS]
    before, after = (
        np.stack([picture(24, 16)] * len(places)),
        np.stack([picture(*p) for p in places]),
    )
    found = displacement(before, after)
    assert (found[0] == 0).all()
    true = np.array(SHIFTS[1:])
    along = (found[1:] * true).sum(-1) / np.hypot(*found[1:].T) / np.hypot(*true.T)
    # What the thing covers and uncovers is matched too, somewhere: the arrow points within 45 degrees.
    assert (along > np.sqrt(0.5)).all(), found


def test_larger_pictures_move_in_their_own_pixels(scene):
    large = [window(scene, x, 24).repeat(3, 0).repeat(3, 1)[None] for x in (16, 12)]
    np.testing.assert_allclose(displacement(*large), [[12, 0]], atol=3)


def test_pictures_that_show_nothing_or_stand_still_do_not_move():
    flat = np.full((2, 16, 16, 3), 90, np.uint8)
    flicker = flat + np.random.default_rng(0).integers(0, 2, flat.shape, np.uint8)
    assert (displacement(flat, flat) == 0).all() and (displacement(flat, flicker) == 0).all()
    assert displacement(flat[:0], flat[:0]).shape == (0, 2)


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match="same shape"):
        displacement(np.zeros((2, 8, 8, 3)), np.zeros((1, 8, 8, 3)))


def test_motion_to_and_fro_has_a_length_and_no_mean():
    shift = np.array([[3, 4], [-3, -4], [2, 0], [9, 9]])
    mean, length = mean_motion(shift, np.array([0, 0, 2, -1]), 3)
    np.testing.assert_allclose(mean, [[0, 0], [np.nan, np.nan], [2, 0]])
    np.testing.assert_allclose(length, [5, np.nan, 2])

"""Displacement of pictures whose shift is known."""

import numpy as np
import pytest
from scipy import ndimage

from flexlam_jax.world.displacement import displacement, mean_motion


@pytest.fixture(scope="module")
def scene():
    """A smooth picture, larger than a frame, through which a window moves."""
    noise = np.random.default_rng(0).normal(size=(96, 96, 3))
    smooth = ndimage.gaussian_filter(noise, (2, 2, 0))
    return np.interp(smooth, (smooth.min(), smooth.max()), (0, 255)).astype(np.float32)


def window(scene, x, y, height=48, width=64):
    """The frame at a place of the scene, which need not be whole."""
    rows = np.arange(height)[:, None] + y
    columns = np.arange(width)[None] + x
    grid = np.broadcast_arrays(rows, columns)
    return np.stack([ndimage.map_coordinates(scene[..., c], grid, order=1) for c in range(3)], -1)


@pytest.mark.parametrize("shift", [(0, 0), (5, 0), (-5, 0), (0, 7), (3, -4), (11, 2)])
def test_a_shift_of_whole_pixels_is_found(scene, shift):
    """What the picture shows moves against the window."""
    before, after = window(scene, 16, 24), window(scene, 16 - shift[0], 24 - shift[1])
    found = displacement(before[None], after[None])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [shift], atol=0.5)


def test_rows_are_their_own_and_fractions_lie_between(scene):
    before = np.stack([window(scene, 16, 24)] * 3)
    after = np.stack([window(scene, 16 - x, 24) for x in (2, 2.5, 3)])
    x = displacement(before, after)[:, 0]
    assert x[0] < x[1] < x[2]


def test_pictures_that_show_nothing_do_not_move(scene):
    flat = np.full((2, 16, 16, 3), 90, np.uint8)
    assert (displacement(flat, flat) == 0).all()


def test_other_shapes_are_refused(scene):
    with pytest.raises(ValueError, match="same shape"):
        displacement(np.zeros((2, 8, 8, 3)), np.zeros((1, 8, 8, 3)))


def test_motion_to_and_fro_has_a_length_and_no_mean():
    shift = np.array([[3, 4], [-3, -4], [2, 0], [9, 9]])
    mean, length = mean_motion(shift, np.array([0, 0, 2, -1]), 3)
    np.testing.assert_allclose(mean, [[0, 0], [np.nan, np.nan], [2, 0]])
    np.testing.assert_allclose(length, [5, np.nan, 2])

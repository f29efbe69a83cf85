import jax
import numpy as np
import pytest

from flexlam_jax.models.motion import motion_features, shift_distribution, shift_errors
from flexlam_jax.models.motion_decoder import shift_columns, shift_rows

RADIUS = (2, 3)


def moved(dy, dx, seed=0):
    """A grey picture (16, 32) and the same moved by (dy, dx), with fresh content at the border."""
    big = np.random.default_rng(seed).random((32, 48)).astype(np.float32)
    return big[8:24, 8:40], big[8 - dy : 24 - dy, 8 - dx : 40 - dx]


@pytest.mark.parametrize("shift", [(0, 0), (1, -3), (-2, 2)])
def test_the_profile_finds_a_known_shift_in_every_window(shift):
    errors = shift_errors(*moved(*shift), windows=(2, 4), radius=RADIUS)
    assert errors.shape == (2, 4, 5 * 7)
    best = np.asarray(errors).argmin(-1)
    assert np.all(best == (shift[0] + 2) * 7 + shift[1] + 3)
    assert np.all(np.asarray(shift_distribution(errors)).argmax(-1) == best)


def test_a_window_without_texture_stays_undecided():
    flat = np.full((16, 32), 0.5, np.float32)
    noise = 1e-4 * np.random.default_rng(0).random((2, 16, 32)).astype(np.float32)
    share = shift_distribution(shift_errors(flat + noise[0], flat + noise[1], (2, 4), RADIUS))
    np.testing.assert_allclose(np.asarray(share).sum(-1), 1.0, rtol=1e-5)
    assert np.asarray(share).max() < 1.1 / 35


def test_features_pass_no_gradient_and_batch_axes_are_free():
    first, second = (np.stack([x] * 3, -1) for x in moved(0, 2))
    features = motion_features(first[None, None], second[None, None], (2, 4), (1, 2), 2)
    assert features.shape == (1, 1, 2, 4, 15)
    total = jax.jit(jax.grad(lambda x: motion_features(x, second, (2, 4), (1, 2), 2).sum()))
    gradient = total(first)
    assert np.all(gradient == 0.0)


def test_shifting_by_one_hot_weights_moves_pixels():
    picture = np.random.default_rng(0).random((1, 4, 6, 2)).astype(np.float32)
    weights = np.zeros((1, 2, 6, 5), np.float32)
    weights[:, 0, :, 2 + 1] = 1.0  # upper half: take the right neighbour
    weights[:, 1, :, 2 - 2] = 1.0  # lower half: take two to the left
    out = np.asarray(shift_columns(picture, weights))
    np.testing.assert_allclose(out[:, :2, :-1], picture[:, :2, 1:], rtol=1e-6)
    np.testing.assert_allclose(out[:, :2, -1], picture[:, :2, -1], rtol=1e-6)
    np.testing.assert_allclose(out[:, 2:, 2:], picture[:, 2:, :-2], rtol=1e-6)
    turned = shift_rows(picture.swapaxes(1, 2), weights)
    np.testing.assert_allclose(np.asarray(turned).swapaxes(1, 2), out, rtol=1e-6)

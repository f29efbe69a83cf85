import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flexlam_jax.frames import to_float
from flexlam_jax.models.patches import (
    Positions,
    grid_of,
    patchify,
    sincos_positions,
    unpatchify,
)


def test_patches_are_row_major_and_invert():
    image = np.arange(2 * 4 * 6 * 3, dtype=np.float32).reshape(2, 4, 6, 3)
    tokens = patchify(image, 2)
    assert tokens.shape == (2, 6, 12)
    np.testing.assert_array_equal(tokens[1, 4], image[1, 2:4, 2:4].reshape(-1))
    np.testing.assert_array_equal(unpatchify(tokens, (2, 3), 2), image)


def test_sizes_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match="patch 5.*16x16"):
        grid_of(16, 5)
    with pytest.raises(ValueError, match="2x2"):
        unpatchify(jnp.zeros((3, 12)), (2, 2), 2)


def test_uint8_maps_to_the_unit_interval():
    np.testing.assert_allclose(to_float(np.array([0, 51, 255], np.uint8)), [0, 0.2, 1], rtol=1e-6)


def test_positions_are_distinct():
    table = sincos_positions((4, 5), 16)
    assert table.shape == (20, 16)
    assert len(np.unique(table.round(5), axis=0)) == 20
    tokens = jnp.zeros((2, 20, 16))
    fixed = Positions((4, 5), "sincos")
    np.testing.assert_allclose(fixed.apply(fixed.init(jax.random.key(0), tokens), tokens)[1], table)
    with pytest.raises(ValueError, match="rotary"):
        Positions((4, 5), "rotary").init(jax.random.key(0), tokens)

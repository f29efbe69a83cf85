"""Image encoders of policies: what they read, where maps are large, and what FiLM changes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flexlam_jax.config.sections import build_kind
from flexlam_jax.errors import ConfigError
from flexlam_jax.models.film import Film, spatial_softmax
from flexlam_jax.models.image_encoders import IMAGE_ENCODERS
from tests.models.tiny_lam import randomised

TINY = {
    "film_resnet": {"kind": "film_resnet", "channels": 16, "points": 4},
    "light": {"kind": "light", "patch": 4, "channels": 8, "blocks": 1, "points": 4},
}
PICTURES = np.random.default_rng(0).random((3, 32, 32, 3), np.float32)
CONDITION = np.random.default_rng(1).standard_normal((3, 5)).astype(np.float32)


def built(kind, dtype=jnp.float32):
    return build_kind("model.encoder", TINY[kind], IMAGE_ENCODERS, width=6, dtype=dtype)


@pytest.fixture(scope="module", params=TINY)
def encoder(request):
    """(jitted function of pictures and condition, variables)."""
    module = built(request.param)
    variables = randomised(jax.jit(module.init)(jax.random.key(0), PICTURES, CONDITION))
    return jax.jit(module.apply), variables


def test_it_reads_each_picture_by_itself_and_its_condition(encoder):
    apply, variables = encoder
    out = apply(variables, PICTURES, CONDITION)
    assert out.shape == (3, 6) and out.dtype == jnp.float32
    turned = apply(variables, PICTURES[::-1], CONDITION[::-1])
    np.testing.assert_allclose(turned[::-1], out, rtol=1e-4, atol=1e-5)
    other = np.array(CONDITION)
    other[1] += 1.0
    changed = np.abs(apply(variables, PICTURES, other) - out).max(axis=1)
    assert changed[1] > 1e-3 and changed[0] < 1e-5 and changed[2] < 1e-5


@pytest.mark.parametrize("kind", TINY)
def test_a_new_encoder_is_not_changed_by_a_condition_and_can_do_without(kind):
    module = built(kind)
    variables = jax.jit(module.init)(jax.random.key(0), PICTURES, CONDITION)
    apply = jax.jit(module.apply)
    np.testing.assert_array_equal(
        apply(variables, PICTURES, CONDITION), apply(variables, PICTURES, 0 * CONDITION)
    )
    alone = jax.eval_shape(module.init, jax.random.key(0), PICTURES)
    assert not [name for name in alone["params"] if name.startswith("film")]


def test_the_resnet_has_the_published_sizes():
    module = build_kind(
        "model.encoder", {"kind": "film_resnet"}, IMAGE_ENCODERS, width=512, dtype=jnp.float32
    )
    frames = jax.ShapeDtypeStruct((1, 128, 128, 3), jnp.float32)
    params = jax.eval_shape(module.init, jax.random.key(0), frames)["params"]
    assert params["stem"]["kernel"].shape == (7, 7, 3, 64)
    blocks = [params[f"block_{i}"]["conv_2"]["kernel"].shape[-1] for i in range(4)]
    assert blocks == [64, 64, 128, 128] and "block_4" not in params
    # Up to the stage of 128 channels torchvision's resnet18 has 683,072 parameters, of BatchNorm
    # as of GroupNorm.
    body = {name: part for name, part in params.items() if name != "key_points"}
    assert sum(leaf.size for leaf in jax.tree.leaves(body)) == 683_072


def test_half_precision_computes_in_it():
    module = built("film_resnet", jnp.bfloat16)
    out = jax.eval_shape(lambda: module.init_with_output(jax.random.key(0), PICTURES, CONDITION)[0])
    assert out.dtype == jnp.bfloat16


def test_film_scales_and_shifts():
    film = Film()
    features = np.ones((1, 2, 2, 1), np.float32)
    params = {"film": {"kernel": np.array([[[2.0], [0.5]]]), "bias": np.zeros((2, 1))}}
    out = film.apply({"params": params}, features, np.ones((1, 1), np.float32))
    np.testing.assert_allclose(out, 3.5)  # 1 (1 + 2) + 0.5


def test_spatial_softmax_finds_a_peak():
    maps = np.zeros((1, 5, 9, 2), np.float32)
    maps[0, 4, 0, 0] = maps[0, 2, 8, 1] = 100.0
    np.testing.assert_allclose(spatial_softmax(maps), [[1, 0, -1, 1]], atol=1e-5)


def test_pictures_that_do_not_split_into_cells():
    with pytest.raises(ConfigError, match="model.encoder.patch=4 does not fit 30x32 frames"):
        built("light").init(jax.random.key(0), PICTURES[:, :30])

"""The MMDiT's sizes, positions and shards; what it computes is compared in
tests/loading/test_pretrained.py."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flexlam_jax.errors import ConfigError
from flexlam_jax.models.autoencoder_kl import AutoencoderKL
from flexlam_jax.models.mmdit import MMDiT, cropped_positions, mmdit_variant
from flexlam_jax.models.transformer import BlockSettings
from flexlam_jax.parallel.axes import AXES
from flexlam_jax.parallel.sharding import check_divides, leaf_spec, path_name, tree_bytes


def abstract(model, *shapes):
    key = jax.eval_shape(lambda: jax.random.key(0))
    inputs = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    return jax.eval_shape(model.init, key, *inputs)["params"]


def of_variant(name):
    return abstract(mmdit_variant(name), (1, 8, 8, 16), (1,), (1, 4, 4096), (1, 2048))


@pytest.mark.parametrize(
    "name, billions", [("sd3_medium", 2.03), ("sd35_medium", 2.24), ("sd35_large", 8.06)]
)
def test_published_sizes(name, billions):
    assert tree_bytes(of_variant(name)) / 4e9 == pytest.approx(billions, abs=0.005)


def test_every_large_parameter_is_split():
    """Heads and hidden units over `model` by the rules, the rest over `fsdp`."""
    tree = of_variant("sd35_medium")
    mesh = jax.sharding.AbstractMesh(
        tuple({"fsdp": 16, "model": 2}.get(axis, 1) for axis in AXES), AXES
    )
    check_divides(tree, mesh)
    specs = {
        path_name(path): tuple(leaf_spec(path_name(path), leaf.shape, mesh))
        for path, leaf in jax.tree.leaves_with_path(tree)
    }
    assert specs["dual/image/self_attention/qkv/kernel"] == (None, "fsdp", "model")
    assert specs["joint/context/attention/qkv/bias"][1] == "model"
    assert specs["joint/image/attention/out/kernel"] == (None, "model", "fsdp")
    assert specs["joint/context/mlp/up/kernel"] == (None, "fsdp", "model")
    assert specs["joint/context/mlp/up/bias"][1] == "model"
    assert "fsdp" in specs["dual/image/modulation/dense/kernel"]


def test_the_autoencoder_has_no_heads_to_split():
    tree = abstract(AutoencoderKL(), (1, 8, 8, 3))
    assert tree_bytes(tree) / 4e6 == pytest.approx(83.8, abs=0.1)
    mesh = jax.sharding.AbstractMesh(tuple(2 if axis == "model" else 1 for axis in AXES), AXES)
    check_divides(tree, mesh)


def test_positions_are_the_middle_of_one_table():
    whole = cropped_positions((12, 12), 12, 8, 16).reshape(12, 12, 16)
    part = cropped_positions((4, 7), 12, 8, 16).reshape(4, 7, 16)
    np.testing.assert_array_equal(part, whole[4:8, 2:9])
    # Columns first: the first quarter is their sines.
    assert (whole[:, 3, :8] == whole[0, 3, :8]).all() and (whole[3, :, 8:] == whole[3, 0, 8:]).all()
    np.testing.assert_allclose(whole[0, :, 0], np.sin(np.arange(12) * 8 / 12), rtol=1e-6)
    with pytest.raises(ConfigError, match="13x4 patches is larger than the table of 12x12"):
        cropped_positions((13, 4), 12, 8, 16)


@pytest.mark.parametrize(
    "fields, told",
    [
        ({"width": 18}, "must be a multiple of 4"),
        ({"width": 20}, "and of heads=8"),
        ({"width": 16, "layers": 2, "dual_layers": 3}, "dual_layers=3 are more than layers=2"),
    ],
)
def test_sizes_that_do_not_go_together(fields, told):
    model = MMDiT(BlockSettings(heads=8, mlp_hidden=8), **fields)
    with pytest.raises(ConfigError, match=told):
        abstract(model, (1, 4, 4, 16), (1,), (1, 1, 4096), (1, 2048))


def test_unknown_variants_and_odd_pictures():
    with pytest.raises(ConfigError, match="'sd4' is unknown; choose one of"):
        mmdit_variant("sd4")
    with pytest.raises(ConfigError, match="pictures of 12x8 have no latents of 8 pixels"):
        abstract(AutoencoderKL(), (1, 12, 8, 3))
    with pytest.raises(ConfigError, match="groups=32 do not divide"):
        abstract(AutoencoderKL(channels=(48,)), (1, 8, 8, 3))

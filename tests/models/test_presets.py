import math

import jax
import jax.numpy as jnp
import pytest

from flexlam_jax.models.lam import build_lam
from flexlam_jax.models.presets import PRESETS, model_preset

NAMED = {"base": 60e6, "large": 300e6, "xl": 1e9}


@pytest.mark.parametrize("size", [64, 224])
@pytest.mark.parametrize("name", [n for n in PRESETS if n != "debug"])
def test_presets_build_at_both_sizes_and_have_the_size_of_their_name(name, size):
    config = model_preset(name, size)
    model = build_lam(config)
    frames = jax.ShapeDtypeStruct((1, 2, size, size, 3), jnp.uint8)
    variables = jax.eval_shape(model.init, jax.random.key(0), frames)
    output = jax.eval_shape(model.apply, variables, frames)
    assert output.prediction.shape == (1, 1, size, size, 3)
    assert output.slots.shape[2] == config["slots"]
    count = sum(math.prod(x.shape) for x in jax.tree.leaves(variables["params"]))
    if name in NAMED:
        assert abs(count / NAMED[name] - 1) < 0.15
    else:
        # A slot of `video` has weights for every place of the picture.
        assert count < (15e6 if name == "video" else 3.2e6)


def test_the_debug_preset_uses_every_part():
    config = model_preset("debug")
    assert config["quantizer"]["kind"] == "vq" and config["encoder"]["pair_blocks"] > 1
    model = build_lam(config)
    frames = jax.ShapeDtypeStruct((1, 2, 64, 64, 3), jnp.uint8)
    variables = jax.eval_shape(model.init, jax.random.key(0), frames)
    assert set(variables) == {"params", "codebook"}


def test_unknown_preset():
    with pytest.raises(ValueError, match="huge.*doom"):
        model_preset("huge")

"""Tokenizers: what a token tells of which frames, and what cannot be built."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.configs import tokenizer as preset
from flexlam_jax.config.settings import keys_of
from flexlam_jax.errors import ConfigError
from flexlam_jax.models.tokenizer import DECODERS, ENCODERS, build_tokenizer
from tests.models.tiny_lam import random_frames, randomised
from tests.models.tiny_tokenizers import LIGHT, MODELS, SPACETIME

T = 4
FRAMES = random_frames((2, T, 16, 16, 3))


@pytest.fixture(scope="module", params=MODELS)
def built(request):
    """(kind, model, variables, tokens, frames of them)."""
    model = build_tokenizer(MODELS[request.param])
    variables = randomised(jax.jit(model.init)(jax.random.key(0), FRAMES[:1, :1]), scale=0.3)
    output = jax.jit(model.apply)(variables, FRAMES)
    return request.param, model, variables, output.tokens, output.prediction


def test_frames_become_a_grid_of_ids_and_frames_again(built):
    kind, model, variables, tokens, frames = built
    assert model.grid == (2, 2) and model.window == {"light": 1, "spacetime": 3}[kind]
    assert tokens.ids.shape == (2, T, 4) and tokens.ids.dtype == jnp.int32
    assert frames.shape == FRAMES.shape and frames.dtype == jnp.float32
    values = model.apply(variables, tokens.ids, method="values_of")
    np.testing.assert_allclose(values, tokens.values, atol=1e-6)


def test_frame_by_frame_is_drawn_what_a_clip_is(built):
    """Four frames, more than the window of 3 sees, from a start of two."""
    _, model, variables, tokens, frames = built
    read = jax.jit(functools.partial(model.apply, method="decode_read"))
    step = jax.jit(functools.partial(model.apply, method="decode_step"))
    drawn, past = read(variables, tokens.values[:, :2])
    np.testing.assert_allclose(drawn, frames[:, :2], atol=1e-4)
    for time in range(2, T):
        drawn, past = step(variables, tokens.values[:, time, None], past)
        np.testing.assert_allclose(drawn[:, 0], frames[:, time], atol=1e-4)


def test_what_a_frame_depends_on(built):
    """Of a light tokenizer itself alone; else those before, and never those after."""
    kind, model, variables, tokens, _ = built

    def drawn(values):
        return model.apply(variables, values, method="decode").sum((0, 2, 3, 4))

    def read(frames):
        return model.apply(variables, frames, method="encode").values.sum((0, 2, 3))

    before = np.eye(T) if kind == "light" else np.tri(T)
    for function, x in ((drawn, tokens.values[:1]), (read, jnp.float32(FRAMES[:1]) / 255)):
        felt = np.abs(jax.jit(jax.jacobian(function))(x)).reshape(T, T, -1).max(-1) > 0
        np.testing.assert_array_equal(felt, before)


def test_the_codebook_moves_in_training_alone():
    model = build_tokenizer({**LIGHT, "quantizer": {"kind": "vq", "codes": 16, "width": 4}})
    variables = jax.jit(model.init)(jax.random.key(0), FRAMES[:1, :1])

    def moved(train):
        rngs = {"revive": jax.random.key(1)}
        apply = functools.partial(model.apply, train=train, rngs=rngs, mutable=["codebook"])
        _, new = jax.jit(apply)(variables, FRAMES)
        before, after = (tree["codebook"]["quantizer"]["embedding"] for tree in (variables, new))
        return float(jnp.abs(after - before).max())

    assert moved(True) > 0 and moved(False) == 0


def half(**change):
    return {**LIGHT["encoder"], **change}


@pytest.mark.parametrize(
    "change, message",
    [
        ({"encoder": half(patch=5)}, "encoder.patch=5 does not divide config.model.image_size, 16"),
        ({"decoder": half(cell=3)}, "decoder.cell=3 does not divide config.model.decoder.patch=8"),
        ({"decoder": half(patch=4)}, "encoder.patch=8 makes 2x2 tokens .* draws one of 4x4"),
        ({"encoder": half(blocks=0)}, "encoder.blocks=0 is out of range"),
        (
            {"encoder": {**SPACETIME["encoder"], "heads": 3}},
            "encoder.width=16 does not split into config.model.encoder.heads=3 heads of an even",
        ),
        ({"quantizer": {"kind": "fsq", "levels": (1,)}}, "quantizer.levels=.1,. is out of range"),
        ({"quantizer": {"kind": "none"}}, "quantizer.kind='none' is not one of fsq, vq"),
        ({"image_size": 12}, "encoder.patch=8 does not divide config.model.image_size, 12x12"),
        ({"colours": 3}, "unknown config key config.model.colours"),
    ],
)
def test_what_cannot_be_built(change, message):
    with pytest.raises(ConfigError, match=message):
        build_tokenizer({**LIGHT, **change})


def test_halves_of_one_role_agree_on_the_range_of_a_key():
    for kinds in (ENCODERS, DECODERS):
        told = {}
        for kind in kinds.values():
            for name, key in keys_of(kind).items():
                assert told.setdefault(name, key.range.text) == key.range.text, name


@pytest.mark.parametrize("variant, grid, window", [("", (8, 8), 1), ("st", (16, 16), 16)])
def test_the_presets(variant, grid, window):
    model = build_tokenizer(preset.get_config(variant).model)
    assert (model.grid, model.window) == (grid, window)
    assert model.quantizer.codebook_size in (1000, 1024)

"""The loss and metrics of tokenizers against formulas, and that pictures are learned from them."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from flexlam_jax.errors import ConfigError
from flexlam_jax.models.tokenizer import build_tokenizer
from flexlam_jax.objectives.tokenizer import tokenizer_objective
from tests.models.tiny_lam import random_frames
from tests.models.tiny_tokenizers import LIGHT

KEY = jax.random.key(0)
VQ = {**LIGHT, "quantizer": {"kind": "vq", "codes": 8, "width": 4}}
BATCH = {"frames": random_frames((4, 3, 16, 16, 3))}


def objective_of(config, loss=None):
    return tokenizer_objective(build_tokenizer(config), config, loss, clip_length=3)


def test_loss_and_metrics():
    objective = objective_of(VQ)
    assert objective.transitions_per_row == 2
    variables = jax.jit(objective.init)(KEY, BATCH)
    params, extra = variables["params"], {"codebook": variables["codebook"]}
    outcome = jax.jit(objective.outcome)(params, extra, BATCH, KEY)
    values = objective.values(outcome)

    output = build_tokenizer(VQ).apply(variables, BATCH["frames"])
    target = BATCH["frames"] / 255
    error = np.square(output.prediction - target)
    np.testing.assert_allclose(values["reconstruction"], error.mean(), rtol=1e-5)
    commitment = output.tokens.losses["commitment"].mean()
    np.testing.assert_allclose(values["commitment"], commitment, rtol=1e-5)
    np.testing.assert_allclose(values["loss"], error.mean() + commitment, rtol=1e-5)
    clipped = np.square(np.clip(output.prediction, 0, 1) - target).mean((2, 3, 4))
    np.testing.assert_allclose(values["psnr"], -10 * np.log10(clipped).mean(), rtol=1e-5)
    shares = np.bincount(np.ravel(output.tokens.ids), minlength=8) / output.tokens.ids.size
    np.testing.assert_allclose(values["code_usage"], (shares > 0).mean(), rtol=1e-6)
    entropy = -sum(p * np.log(p) for p in shares if p)
    np.testing.assert_allclose(values["code_perplexity"], np.exp(entropy), rtol=1e-5)
    moved = jnp.abs(
        outcome.extra["codebook"]["quantizer"]["counts"] - extra["codebook"]["quantizer"]["counts"]
    )
    assert moved.max() > 0 and "codes_revived" in values


def test_a_picture_is_learned_from_its_tokens():
    """One square at one of four places, which the mean picture, at 0.047, does not tell."""
    frames = np.zeros((4, 1, 16, 16, 3), np.uint8)
    for row in range(4):
        y, x = 8 * (row // 2), 8 * (row % 2)
        frames[row, :, y : y + 8, x : x + 8] = 128
    objective, batch = objective_of(LIGHT), {"frames": frames}
    params = jax.jit(objective.init)(KEY, batch)["params"]
    optimizer = optax.adam(1e-2)

    def loss(params):
        outcome = objective.outcome(params, {}, batch, KEY)
        return objective.loss(outcome.terms)

    @jax.jit
    def learn(params):
        def step(carry, _):
            params, state = carry
            value, gradient = jax.value_and_grad(loss)(params)
            change, state = optimizer.update(gradient, state)
            return (optax.apply_updates(params, change), state), value

        return jax.lax.scan(step, (params, optimizer.init(params)), None, length=200)[1]

    losses = learn(params)
    assert losses[-1] < 0.02 < 0.047 < losses[0]


def test_coarse_levels_and_what_they_need():
    plain, coarse = objective_of(LIGHT), objective_of(LIGHT, {"multiscale": 2.0})
    params = jax.jit(plain.init)(KEY, BATCH)["params"]
    fine, both = (
        o.outcome(params, {}, BATCH, KEY).terms["reconstruction"] for o in (plain, coarse)
    )
    assert both.value > fine.value
    small = {**LIGHT, "image_size": 12}
    for half in ("encoder", "decoder"):
        small[half] = {**LIGHT[half], "patch": 4, "cell": 2}
    with pytest.raises(ConfigError, match="divisible by 8, not 12x12"):
        objective_of(small, {"multiscale": 1.0})


def test_frames_of_other_channels_and_unknown_keys():
    grey = {"frames": BATCH["frames"][..., :1]}
    with pytest.raises(ConfigError, match="channels=3 but the data has frames of 1"):
        jax.eval_shape(objective_of(LIGHT).init, KEY, grey)
    with pytest.raises(ConfigError, match="unknown config key config.loss.lpips"):
        objective_of(LIGHT, {"lpips": 1.0})

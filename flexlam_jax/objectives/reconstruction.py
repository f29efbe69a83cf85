"""Reconstruction losses on predicted frames: pure functions, float32.

Dimension keys: ... batch axes, H W C image in [0, 1].
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from flexlam_jax.errors import ConfigError
from flexlam_jax.models.motion import average_pool
from flexlam_jax.objectives.objective import Mean

LEVELS = 3  # of `multiscale`


def squared_error(prediction: jax.Array, target: jax.Array) -> jax.Array:
    """Of every element, float32."""
    return jnp.square(prediction.astype(jnp.float32) - target.astype(jnp.float32))


def absolute_error(prediction: jax.Array, target: jax.Array) -> jax.Array:
    """Of every element, float32."""
    return jnp.abs(prediction.astype(jnp.float32) - target.astype(jnp.float32))


def mse(prediction: jax.Array, target: jax.Array, mask: jax.Array | None = None) -> Mean:
    """Mean squared error over everything, or where `mask`, broadcast to it, is true."""
    return Mean.of(squared_error(prediction, target), mask)


def l1(prediction: jax.Array, target: jax.Array, mask: jax.Array | None = None) -> Mean:
    """Mean absolute error over everything, or where `mask`, broadcast to it, is true."""
    return Mean.of(absolute_error(prediction, target), mask)


ERRORS = {"mse": squared_error, "l1": absolute_error}
PIXEL_LOSSES = {"mse": mse, "l1": l1}


def multiscale(
    loss: Callable[..., Any], prediction: jax.Array, target: jax.Array, levels: int = LEVELS
) -> jax.Array:
    """Mean of `loss` over average-pooled copies at 1/2, 1/4, ... (`levels` of them), scalar.

    Coarse levels reward moving large structures the right way before the pixels match.

    Raises ConfigError when H or W is not divisible by 2^levels.
    """
    check_levels(prediction.shape[-3:-1], levels)
    total = 0.0
    for _ in range(levels):
        prediction, target = average_pool(prediction, 2), average_pool(target, 2)
        total = total + loss(prediction, target).value
    return total / levels


def check_levels(sides: Sequence[int], levels: int = LEVELS) -> None:
    """Raises ConfigError for frames of (H, W) that cannot be halved so often."""
    H, W = sides
    if H % 2**levels or W % 2**levels:
        raise ConfigError(
            f"loss.multiscale: {levels} levels need an image divisible by {2**levels}, not {H}x{W}"
        )


def psnr(prediction: jax.Array, target: jax.Array) -> Mean:
    """Over images, of -10 log10(MSE), dB, with the prediction clipped to [0, 1]."""
    error = jnp.square(jnp.clip(prediction, 0.0, 1.0) - target.astype(jnp.float32))
    # The floor (100 dB) only matters for identical images.
    logs = Mean.of(jnp.log10(jnp.maximum(jnp.mean(error, axis=(-3, -2, -1)), 1e-10)))
    return Mean(-10.0 * logs.sum, logs.weight)

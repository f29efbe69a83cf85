"""The error of predicted pixels of own and partners' frames, by `loss.pixel`, `.multiscale`, `.mask`.

Dimension keys: B rows, T frames of a clip, P prefixes, H W C image.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp

from flexlam_jax.objectives.objective import Batch, Mean
from flexlam_jax.objectives.reconstruction import ERRORS, PIXEL_LOSSES, multiscale, psnr
from flexlam_jax.objectives.remedies.mask import target_weights, weighted_reconstruction
from flexlam_jax.objectives.remedies.partners import partners
from flexlam_jax.objectives.terms import Term

CROSS = "cross"


def pixel_loss(
    settings: Any, prediction: jax.Array, target: jax.Array, weight: jax.Array | None = None
) -> Mean:
    """Of frames (..., H, W, C); weight (..., H, W, 1), None for equal ones."""
    if weight is not None:
        error = ERRORS[settings.pixel]
        return weighted_reconstruction(error, prediction, target, weight, settings.multiscale)
    pixel = PIXEL_LOSSES[settings.pixel]
    fine = pixel(prediction, target)
    if not settings.multiscale:
        return fine
    coarse = multiscale(pixel, prediction, target)
    images = jnp.float32(math.prod(target.shape[:-3]))  # Of one size: means of them add up.
    return Mean(images * (fine.value + settings.multiscale * coarse), images)


def pixel_weights(settings: Any, batch: Batch) -> jax.Array | None:
    """What the pixels of the next frames count, (B, T-1, H, W, 1); None where all count the same."""
    if not settings.mask:
        return None
    return target_weights(batch[f"frames_{settings.mask}"], settings.mask, settings.mask_weight)


def cross_term(settings: Any) -> Term:
    """The error of partners' next frames, of outputs `LamResult`; see partners.py."""

    def compute(params: Any, outputs: Any, batch: Batch, key: jax.Array) -> Mean:
        # Masks of the agent serve both partners.
        weight = pixel_weights(settings, batch)
        return pixel_loss(settings, outputs.cross, partners(outputs.next_frames), weight)

    return Term(CROSS, compute, coefficient=settings.cross)


def cross_psnr(outputs: Any) -> Mean:
    """dB, of the partners' next frames from these codes."""
    return psnr(outputs.cross, partners(outputs.next_frames))

"""Mask-weighted reconstruction: the loss counts the agent's pixels (MaskLAM, arXiv 2602.02259).

    L = sum_p w_p l(o^_{t+1}, o_{t+1})_p / sum_p w_p,    w_p = 1 where p is the agent's, else `outside`

with the mask of o_{t+1}. At `outside` = 0 no gradient comes from other pixels. It removes what is
exogenous as far as that is elsewhere in the picture; the decoder may still use it where it covers
the agent, and whatever the agent moves counts only if the mask holds it.

Dimension keys: B rows, T frames of a clip, P prefixes, H W C image.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from flexlam_jax.frames import to_float
from flexlam_jax.models.motion import average_pool
from flexlam_jax.objectives.objective import Mean
from flexlam_jax.objectives.reconstruction import LEVELS, check_levels
from flexlam_jax.objectives.remedies.settings import EXOGENOUS_MASK

ErrorOf = Callable[[jax.Array, jax.Array], jax.Array]


def target_weights(masks: jax.Array, view: str, outside: float) -> jax.Array:
    """What each pixel of the frames to predict counts, float32 (B, T-1, H, W, 1).

    Args:
      masks: of all frames of the clip, uint8 (B, T, H, W, 1), 255 where they hold.
      view: what they mean, `agent_mask` or `exogenous_mask`.
      outside: weight of a pixel that is not the agent's.
    """
    inside = to_float(masks[:, 1:]) > 0.5
    if view == EXOGENOUS_MASK:
        inside = ~inside
    return jnp.where(inside, 1.0, outside)


def weighted_reconstruction(
    error: ErrorOf,
    prediction: jax.Array,
    target: jax.Array,
    weight: jax.Array,
    multiscale: float = 0.0,
) -> Mean:
    """`mse` or `l1` with weights, and `multiscale` times the same on pooled frames.

    Pooled pixels are means by weight, so that they hold nothing that does not count, and weigh what
    went into them: with equal weights this is the loss without a mask.

    Args:
      error: of elements; see reconstruction.ERRORS.
      prediction, target: (..., H, W, C).
      weight: (..., H, W, 1), or with fewer axes P before H.

    Raises:
      ConfigError: as `reconstruction.multiscale`.
    """
    weight = jnp.broadcast_to(weight, (*target.shape[:-1], 1))
    fine = Mean.weighted(error(prediction, target), weight)
    if not multiscale:
        return fine
    check_levels(target.shape[-3:-1])
    total = jnp.float32(0)
    for level in range(1, LEVELS + 1):
        factor = 2**level
        held = average_pool(weight, factor)
        divisor = jnp.where(held > 0, held, 1.0)
        pooled = [average_pool(weight * x, factor) / divisor for x in (prediction, target)]
        total = total + factor**2 * jnp.sum(held * error(*pooled))
    return Mean(fine.sum + multiscale * total / LEVELS, fine.weight)

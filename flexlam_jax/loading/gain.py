"""The head of a LAM that tells how many slots a transition needs, as a checkpoint holds it.

Dimension keys: B batch, N budgets, K slots, D slot width, H W C image.
"""

import functools
import math
import numbers
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from flexlam_jax.checkpoints.subtrees import with_subtree
from flexlam_jax.errors import CheckpointError
from flexlam_jax.models.gain_head import PATH, GainHead, shortfall
from flexlam_jax.models.lam import LatentActionModel

NEEDED = (
    "the model was trained without the head that tells what a longer prefix gains; train it with "
    "--config.loss.gain=True, or fit the head alone to the model as it is (docs/adaptive_budgets.md)"
)


def expected_params(
    config: Mapping[str, Any], model: LatentActionModel, image: tuple[int, int, int], params: Any
) -> Any:
    """Abstract parameters of a checkpoint: those of the model and, where trained, of the head."""
    if not (config.get("loss") or {}).get("gain"):
        return params
    slots = jax.ShapeDtypeStruct((1, model.slots, model.quantizer.width), jnp.float32)
    frame = jax.ShapeDtypeStruct((1, *image), jnp.uint8)
    head = jax.eval_shape(GainHead().init, jax.random.key(0), slots, frame, frame)["params"]
    return with_subtree(params, PATH, head)


@functools.partial(jax.jit, static_argnums=0)
def predicted_shortfall(
    budgets: tuple[int, ...],
    params: Any,
    slots_BKD: jax.Array,
    o_t: jax.Array,
    o_next: jax.Array,
) -> jax.Array:
    """See `LoadedLam.shortfall`; every architecture shares this program."""
    log_mse = GainHead().apply({"params": params}, slots_BKD, o_t, o_next)
    return shortfall(log_mse[..., np.asarray(budgets)])


def check_tolerance(tolerance: Any) -> None:
    """Raises ValueError for what is no number of dB from 0; traced values pass."""
    if isinstance(tolerance, jax.core.Tracer):
        return
    if not isinstance(tolerance, numbers.Real) or not 0 <= tolerance < math.inf:
        raise ValueError(
            f"tolerance={tolerance!r}: give the dB of PSNR that a transition may lose, from 0"
        )


def check_head(params: Any) -> None:
    """Raises CheckpointError for a checkpoint without the head."""
    if params is None:
        raise CheckpointError(f"keep='auto': {NEEDED}, or give keep a number of slots")

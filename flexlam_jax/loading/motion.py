"""The head of `loss.motion`, which a checkpoint holds and nothing needs after training."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from flexlam_jax.checkpoints.subtrees import split, with_subtree, within
from flexlam_jax.models.lam import LatentActionModel
from flexlam_jax.models.motion_head import PATH, MotionHead


def expected_params(config: Mapping[str, Any], model: LatentActionModel, params: Any) -> Any:
    """Abstract parameters of a checkpoint: `params` and, where trained, those of the head."""
    if not (config.get("loss") or {}).get("motion"):
        return params
    slots = jax.ShapeDtypeStruct((1, model.slots, model.quantizer.width), jnp.float32)
    keep = jax.ShapeDtypeStruct((1,), jnp.int32)
    head = jax.eval_shape(MotionHead().init, jax.random.key(0), slots, keep)["params"]
    return with_subtree(params, PATH, head)


def without_head(params: Mapping[str, Any]) -> Any:
    """The parameters without those of the head."""
    return split(params, lambda path: within(path, [PATH]))[0]

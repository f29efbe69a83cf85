"""Local motion as a second target of a code.

Squared errors of pixels pay for contrast: a turn in a bright room counts more than the same turn in
the dark, and a weapon that fires in a corner hardly at all. Where each window of the picture moved
(models/motion.py) is the same question for all of them. The target is a fixed function of the two
frames, needs no labels, and its head reads the code alone, so that what it rewards is in the code.
The idea of predicting motion beside pixels is common; this form of it is ours, and no paper's.
"""

from typing import Any

import jax
import jax.numpy as jnp

from flexlam_jax.frames import to_float
from flexlam_jax.models.motion_head import MotionHead
from flexlam_jax.objectives.objective import Batch, Mean
from flexlam_jax.objectives.terms import Term

NAME = "motion"


def motion_term(head: MotionHead, coefficient: float) -> Term:
    """The term of `head`, of outputs `LamResult`: KL(motion || predicted), nats per window.

    Its head's init raises ConfigError for frames that the head's windows do not divide.
    """

    def init(key: jax.Array, outputs: Any, batch: Batch) -> Any:
        head.check(batch["frames"].shape[-3:-1])
        slots = outputs.output.slots
        return head.init(key, slots, jnp.zeros(slots.shape[:-2], jnp.int32))["params"]

    def compute(params: Any, outputs: Any, batch: Batch, key: jax.Array) -> Mean:
        frames, slots, keep = to_float(batch["frames"]), outputs.output.slots, outputs.keep
        target = head.target(frames[:, :-1], frames[:, 1:])
        if keep.ndim == 3:  # Several prefixes of each code.
            slots = jnp.broadcast_to(slots[:, :, None], (*keep.shape, *slots.shape[2:]))
            target = target[:, :, None]
        logs = head.apply({"params": params}, slots, keep)
        entropy = jnp.where(target > 0, target * jnp.log(jnp.where(target > 0, target, 1)), 0)
        return Mean.of((entropy - target * logs).sum(-1))

    return Term(NAME, compute, init=init, coefficient=coefficient)

"""Trains the head that says what a longer prefix would gain, beside a model that never feels it.

Every step decodes random prefixes for the reconstruction loss; their errors are what the head is
regressed on, so it costs no decoding of its own. Squared error on logarithms: the head learns the
mean logarithm, so that differences of its outputs are mean differences of PSNR.
"""

from typing import Any

import jax
import jax.numpy as jnp

from flexlam_jax.models.gain_head import LEAST_MSE, GainHead
from flexlam_jax.objectives.objective import Batch, Mean
from flexlam_jax.objectives.terms import Term

NAME = "gain"
PAIRED = 10.0  # How much less noise differences between prefixes of one code have than their mean.


def gain_term(head: GainHead) -> Term:
    """The term of `head`, of outputs `LamResult`; its metric is in squared nats of the MSE, of which
    differences between prefixes of one code count PAIRED times."""

    def init(key: jax.Array, outputs: Any, batch: Batch) -> Any:
        return head.init(key, *_inputs(outputs, batch))["params"]

    def compute(params: Any, outputs: Any, batch: Batch, key: jax.Array) -> Mean:
        predicted = head.apply({"params": params}, *_inputs(outputs, batch))
        error, keep = transition_errors(outputs)
        if keep.ndim == 3:  # Several prefixes of each code.
            predicted = predicted[:, :, None]
        chosen = (predicted * jax.nn.one_hot(keep, predicted.shape[-1])).sum(-1)
        found = jnp.log(jnp.maximum(error, LEAST_MSE))
        return Mean.of(_squared(chosen - found))

    return Term(NAME, compute, init=init, detached=True)


def _squared(residual: jax.Array) -> jax.Array:
    """Of (B, T-1), or of P prefixes of each code: -> (B, T-1), least squares for their noise.

    What the head cannot know of a transition shifts the errors of all its prefixes alike.
    """
    if residual.ndim == 2:
        return jnp.square(residual)
    shared = residual.mean(-1, keepdims=True)
    apart = jnp.square(residual - shared).mean(-1)
    return jnp.square(shared[..., 0]) + PAIRED * apart


def transition_errors(outputs: Any) -> tuple[jax.Array, jax.Array]:
    """(MSE on the [0, 1] scale of every prediction, slots that it was decoded from), (B, T-1), or
    (B, T-1, P) of P prefixes."""
    guess = jnp.clip(outputs.output.prediction, 0, 1)
    return jnp.mean(jnp.square(guess - outputs.target), (-3, -2, -1)), outputs.keep


def _inputs(outputs: Any, batch: Batch) -> tuple[jax.Array, jax.Array, jax.Array]:
    frames = batch["frames"]
    return outputs.output.slots, frames[:, :-1], frames[:, 1:]

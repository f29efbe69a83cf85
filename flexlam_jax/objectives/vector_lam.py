"""The objective of a latent action model on vectors: that on frames, told what they are.

Dimension keys: B batch, T instants of a clip, S columns, H history.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from flexlam_jax.models.vector_windows import now, windows
from flexlam_jax.models.vectors import Units
from flexlam_jax.objectives.objective import Batch, Mean, Objective, Outcome, Variables
from flexlam_jax.objectives.remedies.settings import AGENT_MASK, EXOGENOUS_MASK

STATE = "state"  # What a batch has vectors under.
RECONSTRUCTION = "reconstruction"
_OF_PICTURES = ("psnr", "copy_psnr")


@dataclasses.dataclass(frozen=True)
class Framing:
    """How batches of vectors become the frames of a model.

    Attributes:
      units: what the model sees; those of no columns change nothing.
      columns: positions among the batch's, S of them; () for all as they are.
      history: H.
      exogenous: which of the S columns the agent does not control, from 0. They are the pixels of
        the masks that `loss.mask` names: with weight 0 the loss is of an endogenous representation
        (arXiv 2605.20223), of which all columns remain inputs.
    """

    units: Units
    columns: tuple[int, ...]
    history: int
    exogenous: tuple[int, ...] = ()

    def framed(self, batch: Batch) -> dict[str, Any]:
        """With `frames` (B, T, S, H, 1) and their masks, of `state` float32 (B, T, columns), raw."""
        state = batch[STATE]
        if self.columns:
            state = state[..., jnp.asarray(self.columns)]
        if self.units.scale:
            state = self.units.of(state, jnp)
        frames = windows(state.astype(jnp.float32), self.history)
        outside = jnp.zeros(frames.shape[2], bool).at[jnp.asarray(self.exogenous, int)].set(True)
        masks = {
            f"frames_{name}": jnp.broadcast_to(
                jnp.where(where, jnp.uint8(255), jnp.uint8(0))[:, None, None], frames.shape
            )
            for name, where in ((EXOGENOUS_MASK, outside), (AGENT_MASK, ~outside))
        }
        return {**batch, **masks, "frames": frames}


def vector_objective(lam: Objective, framing: Framing) -> Objective:
    """`lam_objective` of a model with vector encoder and decoder, on batches of vectors.

    Returns:
      Objective whose loss reads batch["state"], see `Framing`. Errors are means over the S columns of
      the instant that is predicted. Metrics: those of `lam` without PSNR, and `copy`, the error of
      predicting no change: about 1 in units of changes, so that `reconstruction` is the share of the
      changes' variance that is left.
    """

    def init(key: jax.Array, batch: Batch) -> Variables:
        return lam.init(key, framing.framed(batch))

    def outcome(params: Any, extra: Any, batch: Batch, key: jax.Array) -> Outcome:
        given = framing.framed(batch)
        found = lam.outcome(params, extra, given, key)
        # All instants of a window but the last are copied without error.
        error = found.terms[RECONSTRUCTION]
        error = Mean(error.sum, error.weight / framing.history)
        vectors = now(given["frames"])
        metrics = {k: v for k, v in found.metrics.items() if k not in _OF_PICTURES}
        metrics["copy"] = Mean.of(jnp.square(vectors[:, 1:] - vectors[:, :-1]))
        return dataclasses.replace(
            found, terms={**found.terms, RECONSTRUCTION: error}, metrics=metrics
        )

    return dataclasses.replace(lam, init=init, outcome=outcome)


def with_framed(objective: Objective, framing: Framing, streams: Sequence[str]) -> Objective:
    """An objective of streams that reads frames of some of them, on vectors."""

    def framed(batch: Batch) -> dict[str, Any]:
        return {**batch, **{name: framing.framed(batch[name]) for name in streams}}

    def init(key: jax.Array, batch: Batch) -> Variables:
        return objective.init(key, framed(batch))

    def outcome(params: Any, extra: Any, batch: Batch, key: jax.Array) -> Outcome:
        return objective.outcome(params, extra, framed(batch), key)

    return dataclasses.replace(objective, init=init, outcome=outcome)

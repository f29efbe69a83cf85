"""The objective of a chunk policy: the targets of the next C steps, masked after the episode's end.

Dimension keys: B batch, T steps of history, C steps of a chunk, H W C image, A numbers of a target.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from flexlam_jax.models.baku import ChunkPolicy
from flexlam_jax.objectives.objective import Batch, Mean, Objective
from flexlam_jax.objectives.terms import Report, Term, objective_of

BESIDE = ("text", "proprio", "skill")  # of an observation, beside its frames


def chunk_policy_objective(
    policy: ChunkPolicy, frames: Sequence[str] = ("frames",), *, dtype: str = "float32"
) -> Objective:
    """Builds the Objective of `models.baku.build_chunk_policy`.

    It reads of a batch the frames uint8 (B, T, H, W, C) of each camera, what else the policy
    observes, `target` float32 (B, T - 1 + C, A), the targets from the first step on, and
    `target_mask` bool (B, T - 1 + C), false after the last of the episode. Every step of the
    history learns its own chunk.

    Metrics (float32 scalars): the loss `chunk`, as the head defines it; on targets scaled to -1..1
    `squared_error` of what would be done, `first_error` of the first step of chunks alone, and
    `constant_error` of always the mean target of the batch.

    Args:
      frames: the fields that hold the frames of the cameras, in their order.
      dtype: name of the type that the policy computes in.
    """

    def init(key: jax.Array, batch: Batch) -> dict[str, Any]:
        row = {name: x[:1] for name, x in batch.items()}
        return dict(policy.init(key, *_arguments(row), key, method="losses"))

    def apply(params: Any, extra: Any, batch: Batch, key: jax.Array) -> tuple[Any, Any]:
        return policy.apply({"params": params}, *_arguments(batch), key, method="losses"), extra

    def _arguments(batch: Batch) -> tuple[dict[str, jax.Array], jax.Array, jax.Array]:
        return observed(batch, frames), *chunks(batch, policy.head.chunk)

    def chunk(params: Any, outputs: Any, batch: Batch, key: jax.Array) -> Mean:
        losses, _ = outputs
        return Mean.of(losses, chunks(batch, policy.head.chunk)[1])

    def report(outputs: Any, batch: Batch) -> Report:
        target, mask = chunks(batch, policy.head.chunk)
        scaled = policy.target.apply(target)
        errors, masked = jnp.square(outputs[1] - scaled), mask[..., None]
        kept = jnp.where(masked, scaled, 0.0)
        return Report(
            {
                "squared_error": Mean.of(errors, masked),
                "first_error": Mean.of(errors[..., 0, :], masked[..., 0, :]),
            },
            {
                "count": masked.sum(dtype=jnp.float32),
                "sum": kept.sum(axis=(0, 1, 2)),
                "squares": jnp.square(kept).sum(axis=(0, 1, 2)),
            },
        )

    return objective_of(
        init,
        apply,
        [Term("chunk", chunk)],
        report=report,
        summary=_variance,
        transitions_per_row=policy.body.history,
        dtype=dtype,
    )


def observed(batch: Mapping[str, jax.Array], frames: Sequence[str]) -> dict[str, jax.Array]:
    """The observation of a batch, as `models.baku.ChunkPolicy` takes it."""
    seen = {"frames": jnp.stack([batch[name] for name in frames], axis=2)}
    return seen | {name: batch[name] for name in BESIDE if name in batch}


def chunks(batch: Mapping[str, jax.Array], length: int) -> tuple[jax.Array, jax.Array]:
    """(targets (B, T, C, A), masks (B, T, C)): the chunk that begins at each step of the history."""
    target, mask = batch["target"], batch["target_mask"]
    steps = jnp.arange(target.shape[1] - length + 1)[:, None] + jnp.arange(length)
    return target[:, steps], mask[:, steps]


def _variance(totals: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
    count = jnp.maximum(totals["count"], 1.0)
    mean, square = totals["sum"] / count, totals["squares"] / count
    return {"constant_error": jnp.mean(square - jnp.square(mean))}

"""The objective of behaviour cloning: the true action at the times whose frames a clip holds.

Dimension keys: B batch, T frames of a clip, S frames of a stack, N = T - S decisions of a clip,
H W C image, A actions, or dimensions of one.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from flexlam_jax.config.settings import read
from flexlam_jax.errors import ConfigError
from flexlam_jax.models.behaviour_cloning import BehaviourCloning, BehaviourCloningSettings
from flexlam_jax.objectives.objective import Batch, Mean, Objective
from flexlam_jax.objectives.terms import Report, Term, objective_of
from flexlam_jax.random import fold_name


def behaviour_cloning_objective(
    model: BehaviourCloning, config: Mapping[str, Any], *, clip_length: int
) -> Objective:
    """Builds the Objective of `build_behaviour_cloning(config)`.

    It reads batch["frames"] uint8 (B, T, H, W, C) and batch["action"], int32 (B, T-1) of discrete
    actions, float32 (B, T-1, A) of others: the action taken at each frame but the last. Learned are
    the last N: those before lack frames that the policy sees when it acts.

    Metrics (float32 scalars) of discrete actions: the loss `cross_entropy`, `accuracy`, and
    `majority_accuracy` of always the commonest action of the batch; of continuous ones: the loss
    `squared_error` and `constant_error`, that of always the mean action of the batch.

    Args:
      config: the `model` section.
      clip_length: frames T per batch row.

    Raises:
      ConfigError: a key that is unknown or out of range, or clips without a decision.
    """
    settings = read("model", config, BehaviourCloningSettings)
    decisions = clip_length - model.trunk.stack
    if decisions < 1:
        raise ConfigError(
            f"config.data.clip_length={clip_length} is too short for a decision from "
            f"{model.trunk.stack} frames and what follows; give {model.trunk.stack + 1} or more"
        )
    term, report, summary = _DISCRETE if settings.discrete else _CONTINUOUS

    def init(key: jax.Array, batch: Batch) -> dict[str, Any]:
        channels = batch["frames"].shape[-1]
        if channels != settings.channels:
            raise ConfigError(
                f"model.channels={settings.channels} but the data has frames of {channels}"
            )
        # One frame of one row is enough to fix every shape.
        return dict(model.init(fold_name(key, "params"), batch["frames"][:1, :1]))

    def apply(params: Any, extra: Any, batch: Batch, key: jax.Array) -> tuple[jax.Array, Any]:
        return model.apply({"params": params}, batch["frames"][:, :-1], last=decisions), extra

    return objective_of(
        init,
        apply,
        [term],
        report=report,
        summary=summary,
        transitions_per_row=decisions,
        dtype=settings.dtype,
    )


def _taken(outputs_BNA: jax.Array, batch: Batch) -> jax.Array:
    """The actions that the outputs are about, (B, N) or (B, N, A)."""
    return batch["action"][:, -outputs_BNA.shape[1] :]


def _cross_entropy(params: Any, logits: jax.Array, batch: Batch, key: jax.Array) -> Mean:
    taken = _taken(logits, batch)
    return Mean.of(-jnp.take_along_axis(jax.nn.log_softmax(logits), taken[..., None], axis=-1))


def _hits(logits: jax.Array, batch: Batch) -> Report:
    taken = _taken(logits, batch)
    one_hot = jax.nn.one_hot(taken, logits.shape[-1])
    return Report(
        {"accuracy": Mean.of(logits.argmax(-1) == taken)},
        {"action_counts": one_hot.sum(axis=(0, 1))},
    )


def _majority(totals: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
    counts = totals["action_counts"]
    return {"majority_accuracy": counts.max() / counts.sum()}


def _squared_error(params: Any, action: jax.Array, batch: Batch, key: jax.Array) -> Mean:
    return Mean.of(jnp.square(action - _taken(action, batch)))


def _moments(action: jax.Array, batch: Batch) -> Report:
    taken = _taken(action, batch)
    count = jnp.float32(taken.shape[0] * taken.shape[1])
    return Report(
        totals={
            "count": count,
            "sum": taken.sum(axis=(0, 1)),
            "squares": jnp.square(taken).sum(axis=(0, 1)),
        }
    )


def _variance(totals: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
    mean, square = totals["sum"] / totals["count"], totals["squares"] / totals["count"]
    return {"constant_error": jnp.mean(square - jnp.square(mean))}


_DISCRETE = Term("cross_entropy", _cross_entropy), _hits, _majority
_CONTINUOUS = Term("squared_error", _squared_error), _moments, _variance

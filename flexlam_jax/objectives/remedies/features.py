"""Endogenous targets: the code predicts features of o_{t+1} beside its pixels, or instead of them.

    L = |g(phi(o_t), z) - sg phi'(o_{t+1})|^2

Where phi keeps nothing exogenous, the code has no use for it: in the linear case, with phi U_xi = 0,
only the action's innovation is left (arXiv 2605.20223, on representations of endogenous parts).
What phi is, is `loss.feature_space`:

  a column  frame-aligned features that somebody supplied (data.sidecars): states, or what another
            network makes of frames. As good as they are, and of their scale.
  inverse   phi' = phi, learned from labelled actions alone (inverse_dynamics.py).
  ema       phi is trained with this loss, phi' is its moving average (LAOM, arXiv 2502.00379; as BYOL,
            arXiv 2006.07733). Without labels; phi may drop noise, and nothing makes it.

Under ema, features could all become equal: a hinge keeps their deviations over the batch at 1
(VICReg, arXiv 2105.04906, eq. 1-2), and the metric `feature_std` tells.

Dimension keys: B rows, T frames of a clip, P prefixes, F features, K slots, D slot width.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from flexlam_jax.errors import ConfigError
from flexlam_jax.frames import to_float
from flexlam_jax.models.feature_head import FeatureEncoder, FeaturePredictor
from flexlam_jax.models.heads import HEAD_STATE, HEADS
from flexlam_jax.objectives.objective import Batch, Mean, Objective, Outcome, Variables
from flexlam_jax.objectives.remedies.settings import EMA, RemedySettings
from flexlam_jax.objectives.terms import Term

FEATURE, VARIANCE = "feature", "feature_variance"
ENCODER, PREDICTOR = "encoder", "predictor"
_SUMS = "feature_sums"


def feature_terms(settings: RemedySettings) -> list[Term]:
    """Of outputs `LamResult`; none where `loss.feature` is 0."""
    if not settings.feature:
        return []
    encoder, predictor = FeatureEncoder(settings.feature_width), FeaturePredictor()

    def init(key: jax.Array, outputs: Any, batch: Batch) -> Any:
        slots, params = outputs.slots, {}
        if settings.learned_space:
            _check_sides(outputs.o_t.shape[-3:-1], encoder.patch)
            params[ENCODER] = encoder.init(key, outputs.o_t)["params"]
            features = jnp.zeros((*slots.shape[:-2], settings.feature_width))
        else:
            features = _supplied(settings.column, batch)[0][:, :-1]
        keep = jnp.zeros(slots.shape[:-2], jnp.int32)
        return {**params, PREDICTOR: predictor.init(key, features, slots, keep)["params"]}

    def compute(params: Any, outputs: Any, batch: Batch, key: jax.Array) -> Mean:
        held = None
        if settings.column:
            features, held = _supplied(settings.column, batch)
            given, wanted = features[:, :-1], features[:, 1:]
        else:
            own = params[ENCODER]
            still = outputs.head_state[HEADS][FEATURE] if settings.feature_space == EMA else own
            given = encoder.apply({"params": own}, outputs.o_t)
            wanted = encoder.apply({"params": still}, outputs.next_frames)
            if settings.feature_space != EMA:  # Actions alone shape the space.
                given = jax.lax.stop_gradient(given)
        wanted = jax.lax.stop_gradient(wanted)
        slots, keep = outputs.slots, outputs.keep
        if keep.ndim == 3:  # Several prefixes of each code.
            slots = jnp.broadcast_to(slots[:, :, None], (*keep.shape, *slots.shape[2:]))
            given = jnp.broadcast_to(given[:, :, None], (*keep.shape, given.shape[-1]))
            wanted = wanted[:, :, None]
        predicted = predictor.apply({"params": params[PREDICTOR]}, given, slots, keep)
        error = jnp.square(predicted - wanted).mean(-1)
        return Mean.of(error, None if held is None else held.reshape(-1, *[1] * (error.ndim - 1)))

    def spread(params: Any, outputs: Any, batch: Batch, key: jax.Array) -> Mean:
        features = encoder.apply({"params": params[ENCODER]}, outputs.o_t)
        features = features.reshape(-1, features.shape[-1])
        deviation = jnp.sqrt(jnp.var(features, axis=0) + 1e-4)
        return Mean.of(jax.nn.relu(1.0 - deviation))

    terms = [Term(FEATURE, compute, init=init, coefficient=settings.feature)]
    if settings.feature_space == EMA and settings.feature_variance:
        terms.append(
            Term(
                VARIANCE,
                spread,
                coefficient=settings.feature_variance,
                splittable=False,
                head=FEATURE,
            )
        )
    return terms


def _check_sides(sides: tuple[int, int], patch: int) -> None:
    if any(side % patch for side in sides):
        raise ConfigError(
            f"config.loss.feature: learned features are of frames whose sides are multiples of {patch}, "
            f"not {sides[0]}x{sides[1]}; change config.model.image_size, or name a column of features"
        )


def _supplied(column: str, batch: Batch) -> tuple[jax.Array, jax.Array | None]:
    """(features (B, T, F) float32 of every frame; bool (B,) which rows have them, None for all)."""
    if column not in batch:
        raise ConfigError(
            f"config.loss.feature_space={column!r} is no column of the batch: name a sidecar of the "
            f"frames, config.data.sidecars.{column}=FOLDER, or give 'ema' or 'inverse'"
        )
    features, frames = batch[column], batch["frames"]
    if features.shape[:2] != frames.shape[:2] or features.ndim < 3:
        raise ConfigError(
            f"config.loss.feature_space={column!r}: the column is {features.shape[1:]} in each row "
            f"of {frames.shape[1]} frames; features need a row of numbers for every frame"
        )
    features = features.reshape(*features.shape[:2], -1).astype(jnp.float32)
    return features, batch.get(f"has_{column}")


def with_moving_targets(objective: Objective, settings: RemedySettings) -> Objective:
    """Keeps the average of the feature encoder beside the parameters, and tells `feature_std`.

    It moves once per micro-batch, as a VQ codebook does. The objective reads the collection
    HEAD_STATE, which is not there yet in its `init`, and returns the others.
    """
    encoder, decay = FeatureEncoder(settings.feature_width), settings.feature_decay

    def init(key: jax.Array, batch: Batch) -> Variables:
        variables = objective.init(key, batch)
        own = variables["params"][HEADS][FEATURE][ENCODER]
        return {**variables, HEAD_STATE: {HEADS: {FEATURE: jax.tree.map(jnp.copy, own)}}}

    def outcome(params: Any, extra: Any, batch: Batch, key: jax.Array) -> Outcome:
        found = objective.outcome(params, extra, batch, key)
        own = jax.lax.stop_gradient(params[HEADS][FEATURE][ENCODER])
        before = extra[HEAD_STATE][HEADS][FEATURE]
        after = jax.tree.map(lambda old, new: decay * old + (1 - decay) * new, before, own)
        features = encoder.apply({"params": before}, to_float(batch["frames"][:, 0]))
        count = jnp.full(features.shape[-1:], len(features), jnp.float32)
        sums = jnp.stack([count, features.sum(0), jnp.square(features).sum(0)])
        return dataclasses.replace(
            found,
            totals={**found.totals, _SUMS: jax.lax.stop_gradient(sums)},
            extra={**found.extra, HEAD_STATE: {HEADS: {FEATURE: after}}},
        )

    def summary(totals: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
        count, total, squares = totals[_SUMS]
        variance = squares / count - jnp.square(total / count)
        rest = {name: value for name, value in totals.items() if name != _SUMS}
        deviation = jnp.sqrt(jnp.maximum(variance, 0.0)).mean()
        return {**objective.summary(rest), "feature_std": deviation}

    return dataclasses.replace(objective, init=init, outcome=outcome, summary=summary)

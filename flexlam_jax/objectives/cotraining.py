"""Dynamics and the latent action model whose codes they obey, trained together.

The model learns from its own loss as ever. The dynamics read the slots that it makes of the same
frames, and a share of the gradient of their loss passes these slots, straight through the
quantiser, to the encoder. Genie stops it (arXiv 2402.15391, section 2). Passed from the first
update on, it reaches codes that mean nothing yet and to dynamics that read none, and the codebook
collapses; so it waits until the model has learned alone for a while, as do the dynamics.

Dimension keys: B rows, T frames, K slots, D slot width.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from flexlam_jax.config.ranges import COUNT_OR_NONE, SWITCH, Range, real
from flexlam_jax.config.settings import setting
from flexlam_jax.models.lam import LatentActionModel
from flexlam_jax.models.token_policy import LamSource
from flexlam_jax.objectives.dynamics import NULL, SLOTS
from flexlam_jax.objectives.frozen_lam import MODEL
from flexlam_jax.objectives.lam import LamResult, lam_objective
from flexlam_jax.objectives.objective import Batch, Mean, Objective, Outcome, Variables
from flexlam_jax.random import fold_name

SHARE = "lam_gradient"  # The metric that says what share of the gradient passes.
_SECTION = Range("a section of settings", lambda value: isinstance(value, Mapping))


@dataclasses.dataclass(frozen=True)
class DynamicsLamSettings(LamSource):
    """The `lam` section of a config of dynamics: whose codes they obey, and whether these learn too."""

    train: bool = setting(
        False, range=SWITCH, help="trains the model with the dynamics, from lam.checkpoint on"
    )
    model: Mapping[str, Any] = setting(
        {},
        range=_SECTION,
        help="its `model` section, to train it from scratch, without a checkpoint",
    )
    loss: Mapping[str, Any] = setting(
        {}, range=_SECTION, help="its `loss` section, likewise; a checkpoint brings both along"
    )
    weight: float = setting(1.0, range=real(0), help="of its own loss beside the dynamics' one")
    gradient: float = setting(
        1.0, range=real(0), help="share of the dynamics' gradient that its codes pass in the end"
    )
    warmup_steps: int = setting(
        1000,
        range=COUNT_OR_NONE,
        help="updates in which they pass nothing, and its own loss trains it",
    )
    ramp_steps: int = setting(
        0, range=COUNT_OR_NONE, help="updates after these in which that share rises from 0"
    )


def passed_share(step: jax.Array, settings: DynamicsLamSettings) -> jax.Array:
    """What share of the dynamics' gradient update number `step`, from 0, passes on: float32 ()."""
    risen = (step - settings.warmup_steps + 1) / (settings.ramp_steps + 1)
    return settings.gradient * jnp.clip(risen, 0.0, 1.0).astype(jnp.float32)


def passing(x: Any, share: jax.Array | float) -> Any:
    """The same arrays; of a gradient they pass that share."""

    def one(x: jax.Array) -> jax.Array:
        still = jax.lax.stop_gradient(x)
        return still + jnp.asarray(share, x.dtype) * (x - still)

    return jax.tree.map(one, x)


def sharing_objective(
    model: LatentActionModel,
    model_config: Mapping[str, Any],
    loss_config: Mapping[str, Any],
    *,
    clip_length: int,
) -> Objective:
    """`lam_objective` of a model that shares its slots, for `cotraining_objective`."""

    def slots(result: LamResult) -> jax.Array | None:
        return result.slots

    return lam_objective(model, model_config, loss_config, clip_length=clip_length, share=slots)


def cotraining_objective(
    dynamics: Objective, lam: Objective, settings: DynamicsLamSettings
) -> Objective:
    """The objective of dynamics and of the model whose codes they obey.

    Args:
      dynamics: `dynamics_objective` of a model of latent actions, without a frozen one that makes
        them.
      lam: `sharing_objective`.

    Returns:
      Objective whose loss reads batch["frames"] uint8 (B, T, H, W, C), and batch["ids"] where
      `dynamics` has no tokenizer. Terms, metrics and summaries are those of both, `settings.weight`
      times the coefficients of `lam`; in training also `lam_gradient`, see `passed_share`. Parameters
      and collections of the model lie under "lam", beside those of `dynamics`.
    """

    def init(key: jax.Array, batch: Batch) -> Variables:
        inner = lam.init(fold_name(key, MODEL), batch)
        return _beside(dynamics.init(key, batch), inner)

    def outcome(share: Any, params: Any, extra: Any, batch: Batch, key: jax.Array) -> Outcome:
        own = {name: tree[MODEL] for name, tree in extra.items() if MODEL in tree}
        learned = lam.outcome(params[MODEL], own, batch, fold_name(key, MODEL))
        codes = passing({SLOTS: learned.shared, NULL: params[MODEL]["null"]}, share)
        led = dynamics.outcome(params, extra, {**batch, **codes}, key)
        return Outcome(
            {**led.terms, **learned.terms},
            {**led.metrics, **learned.metrics},
            {**led.totals, **{f"{MODEL}/{name}": x for name, x in learned.totals.items()}},
            _beside(led.extra, learned.extra),
        )

    def outcome_at(step: jax.Array) -> Any:
        share = passed_share(step, settings)

        def at_step(*given: Any) -> Outcome:
            told = outcome(share, *given)
            metrics = {**told.metrics, SHARE: Mean(share, jnp.float32(1))}
            return dataclasses.replace(told, metrics=metrics)

        return at_step

    def summary(totals: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
        top = f"{MODEL}/"
        own = {name[len(top) :]: x for name, x in totals.items() if name.startswith(top)}
        rest = {name: x for name, x in totals.items() if not name.startswith(top)}
        return {**dynamics.summary(rest), **lam.summary(own)}

    return dataclasses.replace(
        dynamics,
        init=init,
        outcome=functools.partial(outcome, settings.gradient),
        outcome_at=outcome_at,
        summary=summary,
        coefficients={
            **dynamics.coefficients,
            **{name: settings.weight * value for name, value in lam.coefficients.items()},
        },
        unsplittable=(*dynamics.unsplittable, *lam.unsplittable),
        detached=(*dynamics.detached, *lam.detached),
        flops_per_row=_both(dynamics.flops_per_row, lam.flops_per_row),
    )


def _both(one: Any, other: Any) -> float | None:
    """FLOPs of both; None where those of one are counted on the traced program, as then all are."""
    return None if one is None or other is None else float(one + other)


def _beside(collections: Mapping[str, Any], lam: Mapping[str, Any]) -> dict[str, Any]:
    """The collections with those of the model where they belong, whatever lay there."""
    nested = {name: {**collections.get(name, {}), MODEL: tree} for name, tree in lam.items()}
    return {**collections, **nested}

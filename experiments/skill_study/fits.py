"""Trains skills of one setting on many sets of sequences and seeds at once, and cuts with them.

Dimension keys: L fits, E sequences, T steps of one, S steps of a training row, F numbers of a
latent action.
"""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.skill_study.changes import Change
from experiments.skill_study.sequences import Sequences
from flexlam_jax.evaluation.small_fits import SmallFit, fit
from flexlam_jax.models.hilam import HiLam, build_hilam, segmentation
from flexlam_jax.objectives.hilam import hilam_objective
from flexlam_jax.objectives.objective import Objective


@dataclasses.dataclass(frozen=True)
class Budget:
    """How long each is trained: updates of `batch` rows of `steps_of_row` steps at most."""

    updates: int = 400
    batch: int = 16
    steps_of_row: int = 64
    learning_rate: float = 5e-3


@dataclasses.dataclass(frozen=True)
class Cut:
    """What one fit says of the sequences of a split.

    Attributes:
      boundaries: bool (E, T) of each stage.
      metrics: those of the objective, and the loss, over the whole split.
    """

    boundaries: tuple[np.ndarray, ...]
    metrics: dict[str, float]


def fit_and_cut(
    change: Change,
    sets: Sequence[Mapping[str, Sequences]],
    seeds: Sequence[int],
    splits: Sequence[str],
    budget: Budget,
) -> list[dict[str, Cut]]:
    """One fit of every set, of equal shapes, with the seed beside it; what each cuts, by split.

    Raises:
      ConfigError: settings that no model can be built of.
    """
    size = sets[0]["train"].latents.shape[-1]
    codes = {"slots": 1, "codebook_size": 0, "slot_width": size, "gap": 1}
    # What is read was brought to mean 0 and deviation 1 already.
    model = build_hilam({**change.model, "normalise": False}, codes, {})
    steps = min(budget.steps_of_row, sets[0]["train"].latents.shape[1])
    objective = hilam_objective(model, change.model["targets"], change.loss, length=steps)
    data = _stacked([one["train"] for one in sets])
    count = len(sets[0]["train"].latents)
    rows = np.arange(len(sets))[:, None] * count + np.arange(count)
    params, _ = fit(
        _problem(objective, change.rates, steps, budget.batch),
        {name: x.reshape(-1, *x.shape[2:]) for name, x in data.items()},
        rows,
        count,
        np.asarray(seeds),
        steps=budget.updates,
        learning_rate=budget.learning_rate,
    )
    cuts = {
        split: _cut(model, objective, params, _stacked([one[split] for one in sets]))
        for split in splits
    }
    return [{split: of[i] for split, of in cuts.items()} for i in range(len(sets))]


def _stacked(of: Sequence[Sequences]) -> dict[str, jax.Array]:
    """(L, E, T, F) and (L, E, T)."""
    return {
        "latents": jnp.asarray(np.stack([one.latents for one in of])),
        "valid": jnp.asarray(np.stack([one.valid for one in of])),
    }


def _batch(latents: jax.Array, valid: jax.Array) -> dict[str, jax.Array]:
    return {"slots_chunk": latents[..., None, :], "slots_chunk_mask": valid}


def _problem(objective: Objective, rates: Mapping[str, float], steps: int, batch: int) -> SmallFit:
    """Rows are pieces of `steps` steps that begin anywhere, as long as there are so many."""

    def init(key: jax.Array, data: Any, rows: jax.Array, count: jax.Array) -> tuple[Any, Any]:
        some = _batch(data["latents"][:1], data["valid"][:1])
        return objective.init(key, some)["params"], ()

    def loss(params: Any, fixed: Any, batch: Any) -> jax.Array:
        outcome = objective.outcome(params, {}, batch, jax.random.key(0))  # Nothing is drawn.
        return objective.loss(outcome.terms)

    def piece(latents: jax.Array, valid: jax.Array, key: jax.Array) -> dict[str, jax.Array]:
        latest = jnp.maximum(jnp.sum(valid) - steps, 0)
        first = jax.random.randint(key, (), 0, latest + 1)
        return _batch(*(jax.lax.dynamic_slice_in_dim(x, first, steps) for x in (latents, valid)))

    def draw(data: Any, rows: jax.Array, key: jax.Array) -> dict[str, jax.Array]:
        keys = jax.random.split(key, len(rows))
        return jax.vmap(piece)(data["latents"][rows], data["valid"][rows], keys)

    def rate(path: str) -> float:
        return next((rates[of] for of in rates if re.search(of, path)), 1.0)

    return SmallFit(init, loss, draw, batch_size=batch, rates=rate)


def _cut(
    model: HiLam, objective: Objective, params: Any, data: Mapping[str, jax.Array]
) -> list[Cut]:
    """What each fit says of its own sequences."""

    @jax.jit
    @jax.vmap
    def of_fit(params: Any, latents: jax.Array, valid: jax.Array) -> tuple[Any, Any]:
        stages = model.apply({"params": params}, latents, valid).stages
        outcome = objective.outcome(params, {}, _batch(latents, valid), jax.random.key(0))
        return segmentation(stages).boundaries, objective.values(outcome)

    boundaries, metrics = jax.device_get(of_fit(params, data["latents"], data["valid"]))
    return [
        Cut(
            tuple(stage[i] for stage in boundaries),
            {name: float(value[i]) for name, value in metrics.items()},
        )
        for i in range(len(data["valid"]))
    ]

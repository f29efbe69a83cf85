"""Trains the models of many conditions and seeds as one program, and scores them.

Dimension keys: L models, N transitions of one, B batch.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.grid_world.conditions import Condition
from flexlam_jax.evaluation.small_fits import SmallFit, fit
from flexlam_jax.grid_world import world
from flexlam_jax.grid_world.loss import Batch, loss
from flexlam_jax.grid_world.model import GridLam, initial_params
from flexlam_jax.grid_world.scores import decoded, scores

CODES = 5  # of the paper


@dataclasses.dataclass(frozen=True)
class Budget:
    """How long each is trained: updates of `batch` of its `transitions`, at one rate throughout.

    Updates are the paper's; the rest is ours. The weight of labels is 1 where a labelled sample
    counts as one over its share: so is the mean over labelled samples, whatever their share.
    """

    updates: int = 16_000
    batch: int = 16
    transitions: int = 8192
    channels: int = 16
    learning_rate: float = 1e-3


FAST = Budget(updates=20, batch=8, transitions=64, channels=4)


def fit_and_score(
    conditions: Sequence[Condition], seeds: Sequence[int], budget: Budget
) -> list[dict[str, Any]]:
    """A row per condition, seed and prefix: {"condition", "seed", "keep", and of `scores`}.

    All conditions have the same number of slots.
    """
    of = [(condition, seed) for condition in conditions for seed in seeds]
    model = GridLam(slots=conditions[0].slots, codes=CODES, channels=budget.channels)
    params, _ = fit(
        problem(model, budget.batch),
        data_of(of, budget),
        np.arange(len(of) * budget.transitions).reshape(len(of), -1),
        budget.transitions,
        np.array([seed for _, seed in of]),
        steps=budget.updates,
        learning_rate=budget.learning_rate,
    )
    rows = []
    for number, (condition, seed) in enumerate(of):
        mine = jax.tree.map(lambda x, number=number: x[number], params)
        for keep in range(1, model.slots + 1):
            found = _decoded(model)(mine, jnp.float32(condition.intensity), keep)
            upper, noise, ids = jax.device_get(found)
            told = scores(upper, noise, ids[:, :keep], condition.intensity, CODES)
            rows.append({"condition": condition.name, "seed": seed, "keep": keep, **told})
    return rows


def data_of(of: Sequence[tuple[Condition, int]], budget: Budget) -> dict[str, Any]:
    """The transitions of all models one after the other; `settings` (L,) of each, `owner` (L N,)
    the model of a transition."""
    count = budget.transitions
    walks = [world.play(world.policy(one.policy), count, seed) for one, seed in of]
    weights = [
        world.labelled(count, one.labels, seed) / one.labels if one.labels else np.zeros(count)
        for one, seed in of
    ]
    settings = {
        "intensity": [one.intensity for one, _ in of],
        "shift": [int(one.shift) for one, _ in of],
        "spread": [one.codebook.spread for one, _ in of],
        "revive": [one.codebook.revive for one, _ in of],
    }
    return {
        "transitions": jax.tree.map(lambda *x: jnp.asarray(np.concatenate(x)), *walks),
        "label_weight": jnp.asarray(np.concatenate(weights), jnp.float32),
        "owner": jnp.repeat(jnp.arange(len(of)), count),
        "settings": {name: jnp.asarray(values) for name, values in settings.items()},
    }


def _settings(data: Any, rows: jax.Array) -> dict[str, jax.Array]:
    return jax.tree.map(lambda x: x[data["owner"][rows[0]]], data["settings"])


@functools.cache
def _decoded(model: GridLam) -> Callable[..., Any]:
    return jax.jit(functools.partial(decoded, model))


@functools.cache
def problem(model: GridLam, batch: int) -> SmallFit:
    """The fit of one model to its rows of `data_of`, by `loss`."""

    def init(key: jax.Array, data: Any, rows: jax.Array, count: jax.Array) -> tuple[Any, Any]:
        settings = _settings(data, rows)
        return initial_params(model, key, settings["spread"]), settings["revive"]

    def draw(data: Any, rows: jax.Array, key: jax.Array) -> Batch:
        settings, size = _settings(data, rows), len(rows)
        of = jax.tree.map(lambda x: x[rows], data["transitions"])
        o = world.frames(of.cell, of.noise, settings["intensity"])
        o_next = world.frames(of.next_cell, of.next_noise, settings["intensity"])
        # One draw for all that is random, as each costs time: remainders of it are as good as
        # independent.
        bits = jax.random.bits(key, (size,))
        first, second = (
            settings["shift"] * ((bits // place) % 3).astype(jnp.int32) - settings["shift"]
            for place in (1, 3)
        )
        return Batch(
            *(world.shifted(frames, first) for frames in (o, o_next)),
            *(world.shifted(frames, second) for frames in (o, o_next)),
            action=of.action,
            label_weight=data["label_weight"][rows],
            keep=1 + ((bits // 9) % model.slots).astype(jnp.int32),
            other=((bits[: model.codes] // 1024) % (size * model.slots)).astype(jnp.int32),
        )

    def loss_of(params: Any, fixed: Any, batch: Any) -> jax.Array:
        return loss(model, params, fixed, batch)

    def still(step: jax.Array, steps: jax.Array) -> jax.Array:
        return jnp.float32(1)

    return SmallFit(init, loss_of, draw, batch_size=batch, schedule=still)

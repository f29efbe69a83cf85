"""Trains many linear latent action models at once, by the one small-fit routine.

A fit has its own process, weights, chances of prefixes and seed; fits that see arrays of the same
shapes share one vmapped program. Every batch is drawn anew from the process.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from flexlam_jax.config.ranges import COUNT, SEED, real
from flexlam_jax.config.settings import check, setting
from flexlam_jax.evaluation.small_fits import SmallFit, fit
from flexlam_jax.linear.lam import Params, errors
from flexlam_jax.linear.objective import ACTION, Objective, View, view
from flexlam_jax.linear.process import Process


@dataclasses.dataclass(frozen=True)
class Budget:
    """How long each is trained, by Adam with a cosine schedule."""

    steps: int = setting(3000, range=COUNT, help="updates")
    batch: int = setting(128, range=COUNT, help="transitions of an update")
    learning_rate: float = setting(0.01, range=real(0, above=True), help="at the start")


@dataclasses.dataclass(frozen=True)
class Fit:
    """One model to train."""

    process: Process
    objective: Objective
    seed: int = setting(0, range=SEED, help="of initialisation and batches")


@dataclasses.dataclass(frozen=True)
class _Shape:
    """What fits of one program have in common. rows: of each target, what it reads and predicts."""

    observation: int
    slots: int
    terms: tuple[str, ...]
    rows: tuple[tuple[int, int], ...]
    shared: bool
    numbers: int
    batch: int


def train(fits: Sequence[Fit], budget: Budget = Budget()) -> list[Params]:
    """Parameters of each fit, float64 arrays (trained in float32).

    Raises:
      ConfigError, UserError: a budget or an objective that cannot be, see `view`.
    """
    check(dataclasses.asdict(budget), Budget)
    seen = [view(one.process, one.objective) for one in fits]
    groups: dict[_Shape, list[int]] = {}
    for number, (one, of) in enumerate(zip(fits, seen, strict=True)):
        groups.setdefault(_shape(one.objective, of, budget.batch), []).append(number)
    found: dict[int, Params] = {}
    for shape, numbers in groups.items():
        data = _stacked([(fits[i].objective, seen[i]) for i in numbers], shape)
        params, _ = fit(
            _problem(shape),
            data,
            np.arange(len(numbers))[:, None],  # A fit reads one row: its own process and weights.
            1,
            np.array([fits[i].seed for i in numbers]),
            steps=budget.steps,
            learning_rate=budget.learning_rate,
        )
        params = jax.tree.map(lambda x: np.asarray(x, np.float64), params)
        for place, number in enumerate(numbers):
            found[number] = jax.tree.map(lambda x, place=place: x[place], params)
    return [found[number] for number in range(len(fits))]


def _shape(objective: Objective, seen: View, batch: int) -> _Shape:
    rows = tuple((len(reads), len(target)) for reads, target in seen.targets.values())
    observation, numbers = seen.now.shape
    return _Shape(
        observation, objective.slots, tuple(seen.targets), rows, objective.shared, numbers, batch
    )


def _stacked(of: Sequence[tuple[Objective, View]], shape: _Shape) -> dict[str, jax.Array]:
    """What each fit reads, on a leading axis: one map to all that a batch holds."""
    maps = [
        np.concatenate(
            [seen.now, seen.next, *(part for two in seen.targets.values() for part in two)]
        )
        for _, seen in of
    ]
    weight = [[getattr(objective, term) for term in shape.terms] for objective, _ in of]
    return {
        "map": jnp.asarray(np.stack(maps), jnp.float32),
        "weight": jnp.asarray(weight, jnp.float32),
        "chances": jnp.asarray([objective.chances for objective, _ in of], jnp.float32),
        "labelled": jnp.asarray([objective.labelled for objective, _ in of], jnp.float32),
    }


@functools.cache
def _problem(shape: _Shape) -> SmallFit:
    size, slots = shape.observation, shape.slots
    ends = np.cumsum([size, size, *(n for two in shape.rows for n in two)])[:-1]

    def init(key: jax.Array, data: Any, rows: jax.Array, count: jax.Array) -> tuple[Any, Any]:
        keys = iter(jax.random.split(key, 2 + len(shape.terms)))

        def small(rows: int, columns: int) -> jax.Array:
            return jax.random.normal(next(keys), (rows, columns)) / np.sqrt(columns)

        params = {"encoder": {"now": small(slots, size), "next": small(slots, size)}}
        for term, (_, out) in list(zip(shape.terms, shape.rows, strict=True)):
            if not (shape.shared and term == "cross"):
                # Frames start as copies of what is read.
                now = jnp.zeros((out, size)) if term == ACTION else jnp.eye(size)
                params[term] = {"now": now, "slots": small(out, slots)}
        return params, {name: data[name][rows[0]] for name in ("weight",)}

    def draw(data: Any, rows: jax.Array, key: jax.Array) -> Any:
        g_key, keep_key, label_key = jax.random.split(key, 3)
        g = jax.random.normal(g_key, (shape.batch, shape.numbers))
        now, following, *parts = jnp.split(g @ data["map"][rows[0]].T, ends, axis=1)
        reads = zip(parts[::2], parts[1::2], strict=True)
        chances = data["chances"][rows[0]]
        keep = 1 + jax.random.categorical(keep_key, jnp.log(chances), shape=(shape.batch,))
        labelled = jax.random.uniform(label_key, (shape.batch,)) < data["labelled"][rows[0]]
        return {
            "now": now,
            "next": following,
            "targets": dict(zip(shape.terms, reads, strict=True)),
            "kept": jnp.arange(slots) < keep[:, None],
            "labelled": labelled,
        }

    def loss(params: Any, fixed: Any, batch: Any) -> jax.Array:
        of = errors(params, batch, batch["kept"])
        if ACTION in of:
            of[ACTION] = of[ACTION] * batch["labelled"]  # Summed over those with labels alone.
        return sum(
            w * of[term].mean() for term, w in zip(shape.terms, fixed["weight"], strict=True)
        )

    return SmallFit(init, loss, draw, batch_size=shape.batch)

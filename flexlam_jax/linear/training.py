"""Trains many linear latent action models at once, by the one small-fit routine.

A fit has its own process, weights, chances of prefixes and seed; fits that see arrays of the same
shapes share one vmapped program. A batch is drawn anew from the process, or is the whole process: all
is linear and Gaussian, so that the expected loss is a sum over the numbers of g (see lam.py). Its
gradient has no noise, which near a threshold saves most of the steps.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from flexlam_jax.config.ranges import COUNT, COUNT_OR_NONE, SEED, real
from flexlam_jax.config.settings import check, setting
from flexlam_jax.evaluation.small_fits import SmallFit, fit
from flexlam_jax.linear.lam import Params, errors
from flexlam_jax.linear.objective import ACTION, CROSS, Objective, View, view
from flexlam_jax.linear.process import Process


@dataclasses.dataclass(frozen=True)
class Budget:
    """How long each is trained, by Adam with a cosine schedule."""

    steps: int = setting(2000, range=COUNT, help="updates")
    batch: int = setting(
        0, range=COUNT_OR_NONE, help="transitions of an update; 0 is the expectation"
    )
    learning_rate: float = setting(0.02, range=real(0, above=True), help="at the start")


@dataclasses.dataclass(frozen=True)
class Fit:
    """One model to train."""

    process: Process
    objective: Objective
    seed: int = setting(0, range=SEED, help="of initialisation and batches")


@dataclasses.dataclass(frozen=True)
class _Shape:
    """What fits of one program have in common.

    rows: of each target, what it reads and predicts.   prefixes: that some fit trains, 1 to slots.
    """

    observation: int
    slots: int
    terms: tuple[str, ...]
    rows: tuple[tuple[int, int], ...]
    shared: bool
    numbers: int
    batch: int
    prefixes: tuple[int, ...] = ()


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
        chances = np.array([fits[i].objective.chances for i in numbers])
        used = tuple(int(k) + 1 for k in np.flatnonzero(chances.any(0)))
        params, _ = fit(
            _problem(dataclasses.replace(shape, prefixes=used)),
            _stacked([(fits[i].objective, seen[i]) for i in numbers], shape),
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

    def whole(seen: View) -> np.ndarray:
        parts = [part for two in seen.targets.values() for part in two]
        return np.concatenate([seen.now, seen.next, *parts])

    stacked: dict[str, list[Any]] = {
        "map": [whole(seen) for _, seen in of],
        "weight": [[getattr(objective, term) for term in shape.terms] for objective, _ in of],
        "chances": [objective.chances for objective, _ in of],
        "labelled": [objective.labelled for objective, _ in of],
    }
    return {name: jnp.asarray(np.stack(x), jnp.float32) for name, x in stacked.items()}


@functools.cache
def _problem(shape: _Shape) -> SmallFit:
    size, slots = shape.observation, shape.slots
    ends = np.cumsum([size, size, *(n for two in shape.rows for n in two)])[:-1]
    prefixes = np.array(shape.prefixes)
    kept = (np.arange(slots) < prefixes[:, None])[:, None].astype(np.float32)  # (P, 1, W)

    def init(key: jax.Array, data: Any, rows: jax.Array, count: jax.Array) -> tuple[Any, Any]:
        keys = iter(jax.random.split(key, 2 + len(shape.terms)))

        def small(rows: int, columns: int) -> jax.Array:
            return jax.random.normal(next(keys), (rows, columns)) / np.sqrt(columns)

        params = {"encoder": {"now": small(slots, size), "next": small(slots, size)}}
        for term, (_, out) in zip(shape.terms, shape.rows, strict=True):
            if not (shape.shared and term == CROSS):
                # A frame is first predicted to stay as it is.
                now = jnp.zeros((out, size)) if term == ACTION else jnp.eye(size)
                params[term] = {"now": now, "slots": small(out, slots)}
        # Read here once, what makes a fit is not gathered again in every step.
        return params, {name: of[rows[0]] for name, of in data.items()}

    def parts(whole: jax.Array) -> dict[str, Any]:
        now, following, *rest = jnp.split(whole, ends, axis=1)
        targets = zip(rest[::2], rest[1::2], strict=True)
        return {
            "now": now,
            "next": following,
            "targets": dict(zip(shape.terms, targets, strict=True)),
        }

    def draw(data: Any, rows: jax.Array, key: jax.Array) -> Any:
        """Numbers of g, and what is drawn beside them; nothing for the expectation."""
        if not shape.batch:
            return {}
        g_key, keep_key, label_key = jax.random.split(key, 3)
        return {
            "g": jax.random.normal(g_key, (shape.batch, shape.numbers)),
            "keep": jax.random.uniform(keep_key, (shape.batch,)),
            "label": jax.random.uniform(label_key, (shape.batch,)),
        }

    def sampled(params: Any, fixed: Any, batch: Any) -> list[jax.Array]:
        below = jnp.cumsum(fixed["chances"])
        last = jnp.sum(batch["keep"][:, None] >= below, axis=1, keepdims=True)  # kept slot
        of = errors(params, parts(batch["g"] @ fixed["map"].T), jnp.arange(slots) <= last)
        if ACTION in of:  # Summed over those with labels, and over nobody else.
            of[ACTION] = of[ACTION] * (batch["label"] < fixed["labelled"])
        return [of[term].mean() for term in shape.terms]

    def expected(params: Any, fixed: Any, batch: Any) -> list[jax.Array]:
        chances = fixed["chances"][prefixes - 1]
        rows = fixed["map"].T * np.sqrt(shape.numbers)  # Their mean is the expectation.
        of = errors(params, parts(rows), kept)
        share = {ACTION: fixed["labelled"]}
        return [share.get(term, 1.0) * (chances @ of[term].mean(-1)) for term in shape.terms]

    def loss(params: Any, fixed: Any, batch: Any) -> jax.Array:
        means = (sampled if shape.batch else expected)(params, fixed, batch)
        return sum(w * mean for w, mean in zip(fixed["weight"], means, strict=True))

    return SmallFit(init, loss, draw, batch_size=1)

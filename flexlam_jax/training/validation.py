"""The loop's usual `evaluate`: mean loss and metrics on fixed held-out batches."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from flexlam_jax.objectives.objective import Objective, weights_of
from flexlam_jax.parallel.sharding import batch_sharding, process_rows, put_batch, replicated
from flexlam_jax.parallel.streams import Rows
from flexlam_jax.random import stream
from flexlam_jax.training.batches import canonical
from flexlam_jax.training.state import TrainState


def mean_loss(
    objective: Objective,
    draw: Callable[[], Sequence[Mapping[str, np.ndarray]]],
    *,
    batch_size: Rows,
    seed: int,
    prefix: str = "validation/",
) -> Callable[[TrainState], dict[str, float]]:
    """Builds `evaluate(state) -> {prefix + metric: mean over batches}`.

    Terms and metrics are means over all that the batches hold, each batch counting by its weight;
    summaries, as the share of codes in use, are averaged over batches. Uses the averaged parameters
    where EMA is on, and random streams that depend on `seed` and the batch number only, so that
    equal states get equal numbers.

    Args:
      draw: gives this process's rows (`sharding.process_rows`) of one or more global batches;
        called at the first evaluation, and what it gives is kept.
      batch_size: rows of a global batch, or {stream: rows}.
    """
    draw = functools.cache(draw)

    def measure(variables: Mapping[str, Any], batch: Mapping[str, Any], number: jax.Array):
        extra = dict(variables)
        params = extra.pop("params")
        key = stream(seed, number, "validation")
        outcome = objective.outcome(params, extra, batch, key)
        return objective.values(outcome), weights_of({**outcome.terms, **outcome.metrics})

    @functools.cache
    def program(mesh: jax.sharding.Mesh) -> Callable[..., Any]:
        return jax.jit(measure, out_shardings=replicated(mesh))  # Every process reads them.

    def put(batch: Mapping[str, Any], mesh: jax.sharding.Mesh) -> dict[str, Any]:
        host = jax.tree.map(canonical, dict(batch))
        return put_batch(batch_sharding(mesh), process_rows(mesh, batch_size), host, batch_size)

    def evaluate(state: TrainState) -> dict[str, float]:
        mesh = state.step.sharding.mesh
        results = [
            program(mesh)(state.variables, put(batch, mesh), jax.device_put(np.int32(number)))
            for number, batch in enumerate(draw())
        ]
        values, weights = zip(*jax.device_get(results), strict=True)
        means = _means(objective.felt, _stack(values), _stack(weights))
        return {prefix + name: float(value) for name, value in means.items()}

    return evaluate


def _stack(results: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
    return {name: np.array([r[name] for r in results], np.float32) for name in results[0]}


def _means(
    coefficients: Mapping[str, float],
    values: Mapping[str, np.ndarray],
    weights: Mapping[str, np.ndarray],
) -> dict[str, Any]:
    """{metric: value over all batches} from {metric: one per batch} and {metric: weights of it}."""
    shares = {name: _shares(weight) for name, weight in weights.items()}
    shared = {name: value * shares.get(name, 1) for name, value in values.items()}
    # Each batch's loss was divided by its own weights; equal ones leave it as it is.
    shared["loss"] = values["loss"] + sum(
        np.float32(coefficient) * values[name] * (shares[name] - 1)
        for name, coefficient in coefficients.items()
    )
    return {name: np.mean(value) for name, value in shared.items()}


def _shares(weights: np.ndarray) -> np.ndarray:
    """What each batch counts in a mean over batches: 1 for equal weights, exactly."""
    mean = weights.mean(dtype=np.float64)
    return (weights / mean).astype(np.float32) if mean else np.zeros_like(weights)

"""The loop's usual `evaluate`: mean loss and metrics on fixed held-out batches."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from flexlam_jax.objectives.objective import Objective
from flexlam_jax.parallel.sharding import batch_sharding, process_rows, put_rows, replicated
from flexlam_jax.random import stream
from flexlam_jax.training.batches import canonical
from flexlam_jax.training.state import TrainState


def mean_loss(
    objective: Objective,
    draw: Callable[[], Sequence[Mapping[str, np.ndarray]]],
    *,
    batch_size: int,
    seed: int,
    prefix: str = "validation/",
) -> Callable[[TrainState], dict[str, float]]:
    """Builds `evaluate(state) -> {prefix + metric: mean over batches}`.

    Uses the averaged parameters where EMA is on, and random streams that depend on `seed` and the
    batch number only, so that equal states get equal numbers.

    Args:
      draw: gives this process's rows (`sharding.process_rows`) of one or more global batches;
        called at the first evaluation, and what it gives is kept.
      batch_size: rows of a global batch.
    """
    draw = functools.cache(draw)

    def metrics(variables: Mapping[str, Any], batch: Mapping[str, jax.Array], number: jax.Array):
        extra = dict(variables)
        params = extra.pop("params")
        loss, (values, _) = objective.loss(params, extra, batch, stream(seed, number, "validation"))
        return {**values, "loss": loss}

    @functools.cache
    def program(mesh: jax.sharding.Mesh) -> Callable[..., Any]:
        return jax.jit(metrics, out_shardings=replicated(mesh))  # Every process reads them.

    def put(batch: Mapping[str, np.ndarray], mesh: jax.sharding.Mesh) -> dict[str, jax.Array]:
        rows, places = process_rows(mesh, batch_size), batch_sharding(mesh)
        return {
            name: put_rows(places, rows, canonical(value), batch_size)
            for name, value in batch.items()
        }

    def evaluate(state: TrainState) -> dict[str, float]:
        mesh = state.step.sharding.mesh
        results = [
            program(mesh)(state.variables, put(batch, mesh), jax.device_put(np.int32(number)))
            for number, batch in enumerate(draw())
        ]
        results = jax.device_get(results)
        return {prefix + name: float(np.mean([r[name] for r in results])) for name in results[0]}

    return evaluate

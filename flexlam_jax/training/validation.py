"""The loop's usual `evaluate`: mean loss and metrics on fixed held-out batches."""

from collections.abc import Callable, Mapping, Sequence
import functools
from typing import Any

import jax
import numpy as np

from flexlam_jax.random import stream
from flexlam_jax.training.batches import canonical
from flexlam_jax.training.objective import Objective
from flexlam_jax.training.sharding import batch_sharding, replicated
from flexlam_jax.training.state import TrainState


def mean_loss(objective: Objective, batches: Sequence[Mapping[str, np.ndarray]], *, seed: int,
              prefix: str = "validation/") -> Callable[[TrainState], dict[str, float]]:
    """Builds `evaluate(state) -> {prefix + metric: mean over batches}`.

    Uses the averaged parameters where EMA is on, and random streams that depend on `seed` and the
    batch number only, so that equal states get equal numbers.

    Args:
      batches: at least one whole global batch, the same on every process.
    """
    def metrics(variables: Mapping[str, Any], batch: Mapping[str, jax.Array], number: jax.Array):
        extra = dict(variables)
        params = extra.pop("params")
        loss, (values, _) = objective.loss(params, extra, batch, stream(seed, number, "validation"))
        return {**values, "loss": loss}

    @functools.cache
    def program(mesh: jax.sharding.Mesh) -> Callable[..., Any]:
        return jax.jit(metrics, out_shardings=replicated(mesh))  # Every process reads them.

    def evaluate(state: TrainState) -> dict[str, float]:
        mesh = state.step.sharding.mesh
        rows = batch_sharding(mesh)
        results = [
            program(mesh)(state.variables, _put(batch, rows), jax.device_put(np.int32(number)))
            for number, batch in enumerate(batches)]
        results = jax.device_get(results)
        return {prefix + name: float(np.mean([r[name] for r in results])) for name in results[0]}

    return evaluate


def _put(batch: Mapping[str, np.ndarray], rows: jax.sharding.NamedSharding) -> dict[str, jax.Array]:
    """Every process holds the whole batch and gives its devices their rows."""
    with jax.transfer_guard("allow"):  # These copies are meant.
        return {name: jax.make_array_from_callback(value.shape, rows, canonical(value).__getitem__)
                for name, value in batch.items()}

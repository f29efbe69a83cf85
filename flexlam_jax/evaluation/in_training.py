"""The evaluators of a finished run, inside a running one."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from flexlam_jax.evaluation.collect import Field
from flexlam_jax.evaluation.evaluator import Batches, Evaluator, evaluate
from flexlam_jax.parallel.sharding import replicated
from flexlam_jax.reports.results import scalars

MODEL = "model"  # The one model of a run; only messages of a family's own could show the name.


def training_evaluation(
    evaluators: Sequence[Evaluator],
    fields: Mapping[str, Field],
    make_model: Callable[[Mapping[str, Any], int], Any],
    test: Callable[[], Batches],
    train: Callable[[], Batches] | None = None,
    settings: Any = None,
    *,
    every: int = 1,
) -> Callable[[Any], dict[str, float]]:
    """Builds `fit`'s `evaluate(state) -> {"evaluation/<name>/...": mean}`.

    Every process evaluates the same rows with the whole parameters on one of its devices, and gets
    the same numbers; so the parameters, gathered, must fit on a device beside the state.

    Args:
      evaluators, fields, settings, every: see `evaluator.evaluate`.
      make_model: (variables, step) -> the model as evaluators get it after training.
      test, train: give all rows of the measured split and of the one that probes are fitted on;
        called at the first evaluation, and what they give is kept.
    """
    kept_test, kept_train = _kept(test), train and _kept(train)

    def measure(state: Any) -> dict[str, float]:
        mesh = state.step.sharding.mesh
        variables = _on_one_device(state.variables, mesh)
        with jax.set_mesh(_mesh_of_one(mesh)):
            measured = evaluate(
                evaluators,
                {MODEL: make_model(variables, int(jax.device_get(state.step)))},
                fields,
                kept_test(),
                kept_train and kept_train(),
                settings,
                every=every,
            )
        named = [scalars(f"evaluation/{name}", of[MODEL]) for name, of in measured.items()]
        return {name: value for one in named for name, value in one.items()}

    return measure


def _kept(batches: Callable[[], Batches]) -> Callable[[], Sequence[Any]]:
    return functools.cache(lambda: list(batches()))


def _on_one_device(tree: Any, mesh: Mesh) -> Any:
    """The whole arrays on the first device of this process that belongs to the mesh."""
    whole = jax.jit(lambda leaves: leaves, out_shardings=replicated(mesh))(tree)
    return jax.tree.map(lambda leaf: leaf.addressable_data(0), whole)


def _mesh_of_one(mesh: Mesh) -> Mesh:
    """The same axes over that device alone."""
    device = np.array(mesh.local_devices[0]).reshape((1,) * len(mesh.axis_names))
    return Mesh(device, mesh.axis_names, axis_types=mesh.axis_types)

"""Frozen parameters: passed to the step and merged for the loss, neither trained nor saved.

They are not in the optimizer's state, in the average or in the checkpoints, which refer to the one
that they came from (checkpoints/references.py).
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from etils import epath

from flexlam_jax.checkpoints.params import restore_params
from flexlam_jax.checkpoints.references import Reference, read_frozen
from flexlam_jax.checkpoints.report import differences, screen
from flexlam_jax.checkpoints.subtrees import children, merge, split, subtree, within
from flexlam_jax.errors import CheckpointError, ConfigError
from flexlam_jax.objectives.objective import Objective
from flexlam_jax.parallel import distributed


def part(params: Any, frozen: Sequence[str]) -> tuple[Any, Any]:
    """(trained parameters, frozen ones or None) of all.

    Raises:
      ConfigError: a path that is not there, or nothing left to train.
    """
    if not frozen:
        return params, None
    for path in frozen:
        if subtree(params, path) is None:
            raise ConfigError(
                f"config.frozen names {path!r}, which matches nothing in the parameters: "
                f"{children(params, path)}"
            )
    trained, still = split(params, lambda path: within(path, frozen))
    if trained is None:
        raise ConfigError(f"config.frozen={tuple(frozen)} leaves no parameter to train")
    return trained, still


def with_frozen(objective: Objective, frozen: Any) -> Objective:
    """The objective as a function of the trained parameters alone."""
    if frozen is None:
        return objective

    def outcome(params, *rest):
        return objective.outcome(merge(params, frozen), *rest)

    return dataclasses.replace(objective, outcome=outcome)


def restore_frozen(references: tuple[Reference, ...], folder: epath.Path, abstract: Any) -> Any:
    """The frozen parameters of a restored run, in their shards; None where it has none.

    Args:
      folder: of the run's checkpoints.
      abstract: their ShapeDtypeStructs with shardings.

    Raises:
      CheckpointError: see `references.read_frozen`; or they are others than this run freezes.
    """

    def restore() -> Any:
        params = read_frozen(references, folder, restore_params)
        lines = differences("frozen", params, abstract)
        if lines:
            title = f"the run in {folder} froze other parameters:"
            raise CheckpointError(screen(title, lines))
        return params

    params = distributed.together("frozen parameters", restore)
    return jax.tree.map(lambda x, like: place(x, like.sharding), params, abstract)


def place(array: Any, sharding: Any) -> jax.Array:
    """A host array, which every process has, in its shards; always a copy."""
    array = np.asarray(array)
    return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index].copy())

"""Parameters that a checkpoint does not hold itself: where they lie, and what proves them.

A run with frozen parameters saves none of them. Its meta item holds {"frozen": [Reference, ...]},
and whoever reads the run reads them from the checkpoint that they came from.
"""

import dataclasses
import os
from collections.abc import Callable, Mapping
from typing import Any

from etils import epath

from flexlam_jax.checkpoints.fingerprint import fingerprint
from flexlam_jax.checkpoints.subtrees import merge, subtree, with_subtree
from flexlam_jax.errors import CheckpointError
from flexlam_jax.typed_json import as_type


@dataclasses.dataclass(frozen=True)
class Reference:
    """Parameters of one step of another run.

    Attributes:
      path: the run, absolute.      relative: the same from the folder that refers; "" on buckets.
      step: the step.               take: path of the parameters there.
      to: path of the parameters in the model that refers.
      fingerprint: of these parameters, see checkpoints/fingerprint.py.
    """

    path: str
    relative: str
    step: int
    take: str
    to: str
    fingerprint: int


# `checkpoints.params.restore_params`: (path, step=...) -> (variables, config, step).
Restore = Callable[..., tuple[dict[str, Any], dict[str, Any], int]]


def refer(path: Any, folder: Any, step: int, take: str, to: str, params: Any) -> Reference:
    """The Reference, for a checkpoint in `folder`, to `params` that came from run `path`."""
    path, relative = str(path), ""
    if "://" not in path:
        path = os.path.abspath(os.path.expanduser(path))
        if "://" not in str(folder):
            relative = os.path.relpath(path, os.path.abspath(folder))
    return Reference(path, relative, step, take, to, fingerprint(params))


def references_in(meta: Mapping[str, Any], where: Any) -> tuple[Reference, ...]:
    """Those that the meta item of a checkpoint holds. Raises CheckpointError for other things."""
    return as_type(
        meta.get("frozen", ()),
        tuple[Reference, ...],
        where=f"meta.frozen of {where}",
        remedy="restore the checkpoint",
        error=CheckpointError,
    )


def read_frozen(references: tuple[Reference, ...], folder: epath.Path, restore: Restore) -> Any:
    """The tree of all referenced parameters, at their places in the model; None for no references.

    Args:
      folder: of the checkpoint that refers.

    Raises:
      CheckpointError: a referenced checkpoint is gone or damaged, or holds other parameters now.
    """
    tree = None
    for reference in references:
        tree = merge(tree, with_subtree(None, reference.to, _read(reference, folder, restore)))
    return tree


def _read(reference: Reference, folder: epath.Path, restore: Restore) -> Any:
    problems = []
    for place in places(reference, folder):
        try:
            variables, _, _ = restore(place, step=reference.step)
        except CheckpointError as error:
            problems.append(str(error))
            continue
        params = subtree(variables["params"], reference.take)
        if params is not None and fingerprint(params) == reference.fingerprint:
            return params
        problems.append(
            f"step {reference.step} in {place} has other parameters at {reference.take!r} than "
            "those that were used (their fingerprint differs)."
        )
    raise CheckpointError(
        f"the checkpoint in {folder} holds its frozen parameters {reference.to!r} by reference to "
        "another run, and they cannot be read; restore that run, in its place or beside this one as "
        f"it was. {' '.join(problems)}"
    )


def places(reference: Reference, folder: epath.Path) -> list[str]:
    """Where the run of a reference may lie, the likeliest place first.

    Args:
      folder: of the checkpoint that refers.
    """
    found = [reference.path]
    if reference.relative:
        found.append(os.path.normpath(os.path.join(str(folder), reference.relative)))
    return list(dict.fromkeys(found))

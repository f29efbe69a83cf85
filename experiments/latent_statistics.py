"""Mean and deviation of every number of the latent actions that a config reads."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from data_pipelines.errors import DataError
from data_pipelines.format.manifest import open_dataset
from data_pipelines.format.sidecars import open_sidecar
from data_pipelines.loading.mixture import select_datasets
from data_pipelines.loading.options import loader_options
from data_pipelines.loading.sidecar_columns import chosen_array

Moments = tuple[tuple[float, ...], tuple[float, ...]]

_BLOCK = 65_536  # rows
_LEAST = 1e-6  # A number that is always the same has no scale.


def latent_statistics(
    data: Mapping[str, Any], split: str, size: int, column: str = "slots"
) -> Moments:
    """(means, standard deviations) of the first `size` numbers of a sidecar column's rows.

    All rows of the split count once, whatever subset or mixture a run draws. A number that does not
    vary has deviation 1.

    Args:
      data: the `data` section of a config, which names the column in its sidecars.

    Raises:
      DataError: as `open_sidecar`; rows that are no finite numbers, or all alike.
    """
    found = moments(_blocks(data, split, column), size)
    if found is None:
        raise DataError(f"data.sidecars.{column}: split {split!r} holds no latent actions")
    return found


def moments(blocks: Iterable[tuple[str, np.ndarray]], size: int) -> Moments | None:
    """(means, standard deviations), 1 for what does not vary, of rows (n, ...) whose first `size`
    numbers count; None for no rows.

    Args:
      blocks: (where they come from, rows).

    Raises:
      DataError: rows that are no finite numbers, or all alike.
    """
    count, total, square = 0, np.zeros(size), np.zeros(size)
    shift: np.ndarray | None = None
    for where, rows in blocks:
        block = np.asarray(rows, np.float64).reshape(len(rows), -1)[:, :size]
        if not np.isfinite(block).all():
            raise DataError(
                f"{where}: its latent actions hold numbers that are not finite; write them "
                "again with experiments.extract_latents"
            )
        # About the first row, so that squares of a large mean do not swallow the deviation.
        shift = block[0] if shift is None else shift
        count += len(block)
        total += (block - shift).sum(axis=0)
        square += np.square(block - shift).sum(axis=0)
    if shift is None:
        return None
    mean = total / count
    scale = np.sqrt(np.maximum(square / count - np.square(mean), 0))
    if (scale < _LEAST).all() and count > 1:
        raise DataError(
            f"{where}: all {count} latent actions are the same, so there is nothing to learn of them; "
            "the model that made them has collapsed: look at its codes with experiments.evaluate_lam, "
            "and train it longer or otherwise"
        )
    scale = np.where(scale < _LEAST, 1.0, scale)
    return tuple((mean + shift).tolist()), tuple(scale.tolist())


def _blocks(data: Mapping[str, Any], split: str, column: str) -> Iterator[tuple[str, np.ndarray]]:
    """(where it lies, rows) of every dataset, piece by piece."""
    for entry in loader_options(data).entries.values():
        info = open_dataset(entry.path)
        given = entry.sidecars[column]
        given = given if isinstance(given, Mapping) else {"path": given}
        for name in select_datasets(info, entry.datasets, entry.cameras):
            sidecar = open_sidecar(given["path"], info, name, split)
            rows = sidecar.array(chosen_array(sidecar, column, given.get("array")))
            for first in range(0, len(rows), _BLOCK):
                yield str(sidecar.place), rows[first : first + _BLOCK]

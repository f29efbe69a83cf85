"""Mean and deviation of every number of the latent actions that a config reads."""

import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from data_pipelines.errors import DataError
from data_pipelines.format.manifest import open_dataset
from data_pipelines.format.sidecars import open_sidecar
from data_pipelines.loading.mixture import select_datasets
from data_pipelines.loading.options import loader_options

_BLOCK = 65_536  # rows
_LEAST = 1e-6  # A number that is always the same has no scale.


def latent_statistics(
    data: Mapping[str, Any], split: str, size: int, column: str = "slots"
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """(means, standard deviations) of the first `size` numbers of a sidecar column's rows.

    All rows of the split count once, whatever subset or mixture a run draws. A number that does not
    vary has deviation 1.

    Args:
      data: the `data` section of a config, which names the column in its sidecars.

    Raises:
      DataError: as `open_sidecar`; rows that are no finite numbers.
    """
    count, total, square = 0, np.zeros(size), np.zeros(size)
    shift: np.ndarray | None = None
    for place, rows in _arrays(data, split, column):
        for first in range(0, len(rows), _BLOCK):
            block = np.asarray(rows[first : first + _BLOCK], np.float64)
            block = block.reshape(len(block), -1)[:, :size]
            if not np.isfinite(block).all():
                raise DataError(
                    f"{place}: its latent actions hold numbers that are not finite; write them "
                    "again with experiments.extract_latents"
                )
            # About the first row, so that squares of a large mean do not swallow the deviation.
            shift = block[0] if shift is None else shift
            count += len(block)
            total += (block - shift).sum(axis=0)
            square += np.square(block - shift).sum(axis=0)
    if shift is None:
        raise DataError(f"data.sidecars.{column}: split {split!r} holds no latent actions")
    mean = total / count
    scale = np.sqrt(np.maximum(square / count - np.square(mean), 0))
    scale = np.where(scale < _LEAST, 1.0, scale)
    return tuple((mean + shift).tolist()), tuple(scale.tolist())


def _arrays(
    data: Mapping[str, Any], split: str, column: str
) -> Iterator[tuple[pathlib.Path, np.ndarray]]:
    """(where it lies, rows) of every dataset."""
    for entry in loader_options(data).entries.values():
        info = open_dataset(entry.path)
        given = entry.sidecars[column]
        given = given if isinstance(given, Mapping) else {"path": given}
        for name in select_datasets(info, entry.datasets, entry.cameras):
            sidecar = open_sidecar(given["path"], info, name, split)
            yield sidecar.place, sidecar.array(given.get("array") or column)

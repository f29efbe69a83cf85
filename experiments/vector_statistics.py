"""What a run on vectors reads in its data before it starts: names of columns, means, deviations."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from data_pipelines.errors import DataError
from data_pipelines.format.manifest import DatasetInfo, open_dataset
from data_pipelines.format.spec import DatasetSpec
from data_pipelines.format.vectors import is_vector, observed_columns
from data_pipelines.loading.gaps import gap_frames
from data_pipelines.loading.loader import count_windows, ordered_batches
from data_pipelines.loading.mixture import select_datasets
from data_pipelines.loading.options import loader_options
from flexlam_jax.models.vectors import positions

_MOST = 262_144  # transitions of a dataset that are read
_BLOCK = 4096
_LEAST = 1e-9  # Of the largest value of a column: less is rounding.


@dataclasses.dataclass(frozen=True)
class VectorColumns:
    """The columns that a model reads, by name; which of them the agent does not control; the mean
    and deviation of each, and the deviation of its change from one instant to the next."""

    columns: tuple[str, ...]
    exogenous: tuple[str, ...]
    mean: tuple[float, ...]
    level: tuple[float, ...]
    change: tuple[float, ...]


def vector_columns(data: Mapping[str, Any], wanted: Sequence[str]) -> VectorColumns:
    """Reads the train transitions of a config's `data` section, at most 262,144 of a dataset.

    Args:
      data: with the split and the gap between instants; the shortest of a range counts.
      wanted: names of columns, () for those that a model may see.

    A column that changes between episodes alone has the deviation of its level as that of its
    change.

    Raises:
      DataError: datasets without state, or with different columns; a split without transitions;
        columns that never vary.
      ConfigError: a wanted column that is not there.
    """
    opened = list(_datasets(data))
    held = shared_columns(opened)
    place = positions(tuple(wanted) or _observed(opened[0][1]), held)
    columns = tuple(held[i] for i in place)
    levels, changes = _Moments(len(place)), _Moments(len(place))
    for info, spec, gap in opened:
        for pair in _pairs(info, spec.name, data["split"], gap_frames(gap, spec)[0]):
            pair = pair[:, :, place].astype(np.float64)
            levels.add(pair[:, 0])
            changes.add(pair[:, 1] - pair[:, 0])
    _check_constant(levels, columns, data)
    level, change = levels.deviation(), changes.deviation()
    change = np.where(change > _LEAST * level, change, level)
    outside = {name for _, spec, _ in opened for name in spec.exogenous_state}
    return VectorColumns(
        columns,
        tuple(name for name in columns if name in outside),
        *(tuple(map(float, x)) for x in (levels.mean(), level, change)),
    )


def shared_columns(opened: Sequence[tuple[DatasetInfo, DatasetSpec, Any]]) -> tuple[str, ...]:
    """The columns of the state that all datasets have. Raises DataError as `vector_columns`."""
    info, first, _ = opened[0]
    for other_info, spec, _ in opened:
        if not spec.state_names:
            raise DataError(
                f"dataset {spec.name} in {other_info.path} holds no state, the vectors to learn from; "
                "make one with `data_pipelines.prepare table`, or train another kind of model on its "
                "frames"
            )
        if spec.state_names != first.state_names:
            raise DataError(
                f"the state of {spec.name} is ({', '.join(spec.state_names)}), and of {first.name} "
                f"({', '.join(first.state_names)}); name datasets with the same columns in "
                "config.data.datasets"
            )
    return first.state_names


def _observed(spec: DatasetSpec) -> tuple[str, ...]:
    """The columns that a model may see; the others of a dataset of vectors are ground truth."""
    if not is_vector(spec):
        return spec.state_names
    return tuple(spec.state_names[i] for i in observed_columns(spec))


def _datasets(data: Mapping[str, Any]) -> Iterator[tuple[DatasetInfo, DatasetSpec, Any]]:
    for entry in loader_options(data).entries.values():
        info = open_dataset(entry.path)
        for name in select_datasets(info, entry.datasets, entry.cameras):
            yield info, info.spec(name), entry.gap


def _pairs(info: DatasetInfo, name: str, split: str, gap: int) -> Iterator[np.ndarray]:
    """State (B, 2, columns) of transitions, in blocks that lie evenly over the split."""
    about = {"path": str(info.path), "datasets": (name,), "split": split, "gap": gap}
    there = count_windows(about)
    every = max(1, -(-there // _MOST))
    spans = [range(i, min(i + _BLOCK, there)) for i in range(0, there, every * _BLOCK)]
    for batch in ordered_batches(
        info.path, (name,), split, _BLOCK, fields=("state",), gap=gap, spans=spans
    ):
        yield np.asarray(batch["state"])


class _Moments:
    """Mean and deviation of rows that come in blocks."""

    def __init__(self, size: int):
        self._count, self._shift = 0, np.zeros(size)
        self._total, self._square = np.zeros(size), np.zeros(size)

    def add(self, rows: np.ndarray) -> None:
        # About the first row, so that squares of a large mean do not swallow the deviation.
        self._shift = self._shift if self._count else rows[0]
        self._count += len(rows)
        self._total += (rows - self._shift).sum(0)
        self._square += np.square(rows - self._shift).sum(0)

    def mean(self) -> np.ndarray:
        return self._shift + self._total / self._count

    def deviation(self) -> np.ndarray:
        mean = self._total / self._count
        return np.sqrt(np.maximum(self._square / self._count - np.square(mean), 0))


def _check_constant(levels: _Moments, columns: Sequence[str], data: Mapping[str, Any]) -> None:
    tiny = levels.deviation() <= _LEAST * np.maximum(np.abs(levels.mean()), 1e-30)
    if wrong := [name for name, still in zip(columns, tiny, strict=True) if still]:
        rest = [name for name in columns if name not in wrong]
        raise DataError(
            f"column {', '.join(wrong)} of the state never varies in split {data['split']!r}, so "
            f"there is nothing to learn of it; leave it out: --config.vectors.columns={tuple(rest)}"
        )

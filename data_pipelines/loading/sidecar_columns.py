"""What sidecars add to a batch: one column each, looked up by the rows' episode and time.

A row of a batch gets, for T frames `gap` apart: of a frame-aligned array (T, ...), of a
transition-aligned one (T-1, ...), of an episode-aligned one (...). In a mixture an entry may lack a
column: its rows are zero, and `has_<name>` bool (B,) says where there is one.

With a chunk of H rows (`data.column_chunk`) every column of frames or transitions <name> adds
<name>_chunk (B, H, ...), the rows of t, t + 1, ..., a frame apart whatever the gap, and
<name>_chunk_mask bool (B, H), false after the last row of the episode. What it excludes is zero.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from data_pipelines.errors import DataError
from data_pipelines.format.manifest import DatasetInfo
from data_pipelines.format.sidecar_manifest import RowType
from data_pipelines.format.sidecars import Sidecar, open_sidecar
from data_pipelines.loading.batch_layout import Batch
from data_pipelines.names import check_name

_CHUNK = ("_chunk", "_chunk_mask")


@dataclasses.dataclass(frozen=True)
class Column:
    """One array of a sidecar, as a dataset's rows read it."""

    sidecar: Sidecar
    array: str

    @property
    def kind(self) -> tuple[str, RowType]:
        """(alignment, type of a row): what datasets of one batch must agree in."""
        return self.sidecar.facts.alignment, self.sidecar.facts.arrays[self.array]


def open_columns(
    options: Mapping[str, Any], info: DatasetInfo, dataset: str, split: str, gap: tuple[int, int]
) -> dict[str, Column]:
    """The columns of one dataset, for data.sidecars: {name: folder or {path, array, model}}.

    Raises DataError, with the column's name, as `open_sidecar`; for an array that is not there; for
    transitions of another gap, or a gap that is drawn.
    """
    columns = {}
    for name, given in options.items():
        check_name(name, "data.sidecars: column")
        given = given if isinstance(given, Mapping) else {"path": given}
        try:
            sidecar = open_sidecar(
                given["path"], info, dataset, split, gap=gap[1], model=given.get("model") or None
            )
            if sidecar.facts.gap and gap[0] != gap[1]:
                raise DataError(
                    f"{sidecar.place}: this sidecar holds transitions {sidecar.facts.gap} frames "
                    f"apart, data.gap draws {gap[0]} to {gap[1]}; give one gap"
                )
            columns[name] = Column(sidecar, chosen_array(sidecar, name, given.get("array")))
        except DataError as error:
            raise DataError(f"data.sidecars.{name}: {error}") from error
    return columns


def chosen_array(sidecar: Sidecar, column: str, asked: str | None) -> str:
    """Which array a column reads: the one asked for, the only one, or that of the column's name.

    Raises DataError for one that is not there.
    """
    held = list(sidecar.facts.arrays)
    name = asked or (held[0] if len(held) == 1 else column)
    if name not in held:
        raise DataError(
            f"{sidecar.place} holds no array {name!r} but {', '.join(held)}; call the column so, "
            f'or write {{"path": folder, "array": "{held[0]}"}}'
        )
    return name


class SidecarColumns:
    """The columns of all datasets that share a batch.

    Args:
      by_dataset: the columns of each dataset, in the order that a batch's `dataset` counts.
      clip_length: T.
      taken: names that the batch has already.
      chunk: H, 0 for no chunks.

    Raises DataError for a name that is taken, and for datasets whose columns cannot share a batch.
    """

    def __init__(
        self,
        by_dataset: Sequence[Mapping[str, Column]],
        clip_length: int,
        taken: Sequence[str],
        *,
        chunk: int = 0,
    ):
        self._by_dataset, self._clip_length, self._chunk = by_dataset, clip_length, chunk
        names = dict.fromkeys(name for columns in by_dataset for name in columns)
        self._columns: dict[str, Column] = {}
        self._masked = [n for n in names if any(n not in columns for columns in by_dataset)]
        self._made = {f"has_{name}" for name in self._masked}
        if chunk:
            self._made |= {f"{name}{end}" for name in names for end in _CHUNK}
        for name in names:
            held = [columns[name] for columns in by_dataset if name in columns]
            self._columns[name] = held[0]
            self._check(name, held, taken)

    def _check(self, name: str, held: list[Column], taken: Sequence[str]) -> None:
        own = {f"has_{name}", *(f"{name}{end}" for end in _CHUNK if self._chunk)}
        if name in taken or own.intersection(taken) or name in self._made:
            raise DataError(
                f"data.sidecars.{name}: batches have {name!r} already; call the column otherwise"
            )
        for other in held[1:]:
            if other.kind != held[0].kind:
                raise DataError(
                    f"data.sidecars.{name}: {held[0].sidecar.place} is {_told(held[0])}, "
                    f"{other.sidecar.place} is {_told(other)}; they cannot share a batch, give "
                    "them different names"
                )

    def join(self, batch: Batch) -> Batch:
        """Adds the columns to a batch that has dataset, episode, t and gap (B,); returns it."""
        rows = len(batch["t"])
        for name, column in self._columns.items():
            alignment, row = column.kind
            batch[name] = np.zeros((rows, *self._steps(alignment), *row.shape), row.dtype)
            if self._chunked(alignment):
                batch[f"{name}_chunk"] = np.zeros((rows, self._chunk, *row.shape), row.dtype)
                batch[f"{name}_chunk_mask"] = np.zeros((rows, self._chunk), np.bool_)
        batch |= {f"has_{name}": np.zeros(rows, np.bool_) for name in self._masked}
        for number in np.unique(batch["dataset"]) if self._columns else ():
            chosen = np.flatnonzero(batch["dataset"] == number)
            for name, column in self._by_dataset[number].items():
                batch[name][chosen] = self._values(column, batch, chosen)
                if self._chunked(column.kind[0]):
                    self._write_chunk(name, column, batch, chosen)
                if name in self._masked:
                    batch[f"has_{name}"][chosen] = True
        return batch

    def _values(self, column: Column, batch: Batch, rows: np.ndarray) -> np.ndarray:
        episode, t = batch["episode"][rows], batch["t"][rows]
        steps = self._steps(column.kind[0])
        if steps:
            episode, t = episode[:, None], t[:, None] + batch["gap"][rows, None] * np.arange(*steps)
        return column.sidecar.values(column.array, episode, t)

    def _chunked(self, alignment: str) -> bool:
        return bool(self._chunk) and alignment != "episode"

    def _write_chunk(self, name: str, column: Column, batch: Batch, rows: np.ndarray) -> None:
        episode, t = batch["episode"][rows], batch["t"][rows]
        first, left = column.sidecar.rows(episode, t), column.sidecar.rows_left(episode, t)
        steps = np.arange(self._chunk)
        held = steps < left[:, None]
        places = first[:, None] + np.minimum(steps, left[:, None] - 1)
        values = column.sidecar.array(column.array)[places]
        values[~held] = 0
        batch[f"{name}_chunk"][rows], batch[f"{name}_chunk_mask"][rows] = values, held

    def _steps(self, alignment: str) -> tuple[int, ...]:
        """The axis of time: T frames, T - 1 transitions, none for a whole episode."""
        lengths = {"frame": self._clip_length, "transition": self._clip_length - 1}
        return (lengths[alignment],) if alignment in lengths else ()


def _told(column: Column) -> str:
    alignment, row = column.kind
    return f"{alignment}-aligned {row.dtype} {tuple(row.shape)}"

"""One pass over a file: its times, its series, where values are missing, what its columns hold.

What is kept of a row is its time (8 bytes), its series (4) and, where some are missing, a bit per
column; never its values.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pyarrow as pa

from data_pipelines.readers.recordings import ItemError
from data_pipelines.readers.table import files, values
from data_pipelines.readers.table.files import Dialect
from data_pipelines.readers.table.values import Words, Writing


@dataclasses.dataclass(frozen=True)
class Roles:
    """Which column is what. time and series: "" for none; state: columns of numbers, in order."""

    time: str
    series: str
    state: tuple[str, ...]
    actions: tuple[str, ...]

    @property
    def needed(self) -> list[str]:
        keys = [name for name in (self.time, self.series) if name]
        return list(dict.fromkeys([*keys, *self.state, *self.actions]))


@dataclasses.dataclass
class Column:
    """What the cells of a column hold, as far as they are numbers.

    infinite: how many are too large for a record, and so no value. words: the first cell that is no
    number, and its row from 1. whole: numbers without a fraction only.
    """

    low: float = np.inf
    high: float = -np.inf
    missing: int = 0
    infinite: int = 0
    words: tuple[str, int] | None = None
    whole: bool = True

    @property
    def constant(self) -> bool:
        """Whether it never changes, or has no value at all."""
        return not self.low < self.high

    def add(self, cells: values.Numbers, first: int) -> None:
        if cells.words:
            self.words = cells.words[0], first + cells.words[1] + 1
            return
        held = cells.values[~np.isnan(cells.values)]
        self.missing += len(cells.values) - len(held)
        self.infinite += int(cells.infinite.sum())
        if len(held):
            self.low, self.high = min(self.low, held.min()), max(self.high, held.max())
            self.whole = self.whole and bool((held == np.floor(held)).all())


@dataclasses.dataclass
class Survey:
    """What one pass found. Rows count from 0.

    seconds float64 (N,), NaN where a row has no time; None without a column of times. kind: of
    times, see values.Times. series int32 (N,): places in `names`, -1 where a row has none; None
    where the file is one series. holes: column -> {first row of a batch: bits of its rows without a
    value}. words: of the columns of actions. ragged: lines of rows with too few or too many cells.
    """

    rows: int = 0
    seconds: np.ndarray | None = None
    kind: str = ""
    series: np.ndarray | None = None
    names: list[str] = dataclasses.field(default_factory=list)
    columns: dict[str, Column] = dataclasses.field(default_factory=dict)
    holes: dict[str, dict[int, np.ndarray]] = dataclasses.field(default_factory=dict)
    words: dict[str, Words] = dataclasses.field(default_factory=dict)
    ragged: list[int] = dataclasses.field(default_factory=list)

    def complete(self, columns: Iterable[str]) -> np.ndarray:
        """bool (N,): rows that have a value in all of these columns."""
        good = np.ones(self.rows, bool)
        for name in columns:
            for first, bits in self.holes.get(name, {}).items():
                count = min(self.rows - first, 8 * len(bits))
                good[first : first + count] &= ~np.unpackbits(bits, count=count).astype(bool)
        return good


def survey(path: pathlib.Path, roles: Roles, dialect: Dialect, writing: Writing) -> Survey:
    """Reads a file once; raises ItemError for one that cannot be used, whichever columns are kept."""
    found = Survey(columns={name: Column() for name in (*roles.state, *roles.actions)})
    found.words = {name: Words() for name in roles.actions}
    seconds: list[np.ndarray] = []
    codes: list[np.ndarray] = []
    known: dict[str, int] = {}
    for batch in files.batches(path, roles.needed, dialect, found.ragged):
        if roles.time:
            seconds.append(_times(batch[roles.time], found, path, roles.time, writing))
        if roles.series:
            codes.append(_codes(values.texts(batch[roles.series], writing), known))
        _add_values(found, batch, roles, writing)
        found.rows += len(batch[roles.needed[0]])
    if not found.rows:
        raise ItemError("empty file", f"{path}: no rows below its header")
    if found.ragged and not roles.time:
        raise ItemError(
            "ragged rows",
            f"{path}: {len(found.ragged)} rows have more or fewer cells than the header, the first "
            f"in line {found.ragged[0]}; mend them, or name the column of times with --time, which "
            "shows where they are missing",
        )
    found.seconds = np.concatenate(seconds) if roles.time else None
    found.series = np.concatenate(codes) if roles.series else None
    found.names = list(known)
    return found


def _times(
    cells: pa.Array, found: Survey, path: pathlib.Path, name: str, writing: Writing
) -> np.ndarray:
    read = values.times(cells, writing)
    if read.words:
        raise ItemError(
            "no times",
            f"{path}: column {name!r} holds {read.words[0][:40]!r} in row "
            f"{found.rows + read.words[1] + 1}, neither a number nor ISO 8601 (2026-01-31 "
            "10:00:00, all with a zone or none); give --time-format, e.g. '%d.%m.%Y %H:%M'",
        )
    held = not np.isnan(read.seconds).all()
    if held and found.kind not in ("", read.kind):
        raise ItemError(
            "no times",
            f"{path}: column {name!r} changes from {found.kind} to {read.kind} near row "
            f"{found.rows + 1}; write all times alike",
        )
    found.kind = read.kind if held else found.kind
    return read.seconds


def _codes(cells: pa.Array, known: dict[str, int]) -> np.ndarray:
    """int32 (N,): the place of each cell in `known`, which grows; -1 where there is none."""
    encoded = cells.dictionary_encode()
    places = [known.setdefault(name, len(known)) for name in encoded.dictionary.to_pylist()]
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    return np.array([*places, -1], np.int32)[codes]


def _add_values(
    found: Survey, batch: Mapping[str, pa.Array], roles: Roles, writing: Writing
) -> None:
    for name in (*roles.state, *roles.actions):
        column, cells = found.columns[name], batch[name]
        if name in roles.actions:
            words = values.action_words(cells, writing)
            found.words[name].add(words)
            lost = words.is_null().to_numpy(zero_copy_only=False)
        if column.words is None:
            read = values.numbers(cells, writing)
            column.add(read, found.rows)
            if not read.words:
                lost = np.isnan(read.values)
        if column.words and name not in roles.actions:
            continue  # a column of words is refused, whatever else it lacks
        if lost.any():
            found.holes.setdefault(name, {})[found.rows] = np.packbits(lost)


def words_of(surveys: Mapping[str, Survey], columns: Sequence[str]) -> dict[str, dict[str, str]]:
    """column -> {file: "'OK' in row 3"} of those that hold words in some file."""
    found: dict[str, dict[str, str]] = {}
    for name in columns:
        for file, survey in surveys.items():
            if words := survey.columns[name].words:
                found.setdefault(name, {})[file] = f"{words[0][:40]!r} in row {words[1]}"
    return found

"""The values of the stretches of a file, in one pass over it, however its rows are ordered.

A stretch is held from its first row in the file to its last: of a file in order of time one at a
time, of one whose series alternate one per series, of a shuffled file all.
"""

from __future__ import annotations

import pathlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from data_pipelines.readers.table import files, values
from data_pipelines.readers.table.files import Dialect
from data_pipelines.readers.table.stretches import Layout
from data_pipelines.readers.table.survey import Roles
from data_pipelines.readers.table.values import Writing


class Gathered(NamedTuple):
    """A stretch: its number in the layout, state float32 (N, S), actions float64 (N, A)."""

    number: int
    state: np.ndarray
    actions: np.ndarray


def gather(
    path: pathlib.Path,
    layout: Layout,
    roles: Roles,
    names: Sequence[str],
    dialect: Dialect,
    writing: Writing,
) -> Iterator[Gathered]:
    """The stretches in the order in which they are complete.

    names: of discrete actions; () where actions are numbers.
    """
    columns = [*roles.state, *roles.actions]
    owner, place = _places(layout)
    left = np.array([piece.stop - piece.start for piece in layout.stretches])
    open_: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    first = 0
    for batch in files.batches(path, list(dict.fromkeys(columns)), dialect, []):
        count = len(batch[columns[0]])
        here = owner[first : first + count]
        rows = np.flatnonzero(here >= 0)
        rows = rows[np.argsort(here[rows], kind="stable")]
        state = _table(batch, roles.state, writing)
        actions = _actions(batch, roles.actions, names, writing)
        for part in np.split(rows, np.flatnonzero(np.diff(here[rows])) + 1) if len(rows) else []:
            number = int(here[part[0]])
            if number not in open_:
                open_[number] = (
                    np.empty((left[number], state.shape[1]), np.float32),
                    np.empty((left[number], actions.shape[1])),
                )
            held = open_[number]
            for target, source in zip(held, (state, actions), strict=True):
                target[place[first + part]] = source[part]
            left[number] -= len(part)
            if not left[number]:
                piece = layout.stretches[number]
                filled = layout.filled[piece.start : piece.stop]
                for target in open_.pop(number):
                    _fill(target, filled)
                yield Gathered(number, *held)
        first += count


def _places(layout: Layout) -> tuple[np.ndarray, np.ndarray]:
    """int32 (N,) each: the stretch that a row of the file belongs to (-1: none), its place in it."""
    count = int(layout.order.max()) + 1 if len(layout.order) else 0
    owner, place = np.full(count, -1, np.int32), np.zeros(count, np.int32)
    for number, piece in enumerate(layout.stretches):
        rows = layout.order[piece.start : piece.stop]
        owner[rows] = number
        place[rows] = np.arange(len(rows))
    return owner, place


def _table(batch: dict[str, pa.Array], columns: Sequence[str], writing: Writing) -> np.ndarray:
    rows = len(next(iter(batch.values())))
    table = np.empty((rows, len(columns)), np.float32)
    for i, name in enumerate(columns):
        table[:, i] = values.numbers(batch[name], writing).values
    return table


def _actions(
    batch: dict[str, pa.Array], columns: Sequence[str], names: Sequence[str], writing: Writing
) -> np.ndarray:
    rows = len(next(iter(batch.values())))
    table = np.empty((rows, len(columns)))
    for i, name in enumerate(columns):
        table[:, i] = (
            values.codes(values.action_words(batch[name], writing), names)
            if names
            else values.numbers(batch[name], writing).values
        )
    return table


def _fill(rows: np.ndarray, filled: np.ndarray) -> None:
    """In place: values that are missing become the last ones; the first row has all of them."""
    if not filled.any():
        return
    for column in rows.T:
        last = np.where(np.isnan(column), 0, np.arange(len(column)))
        column[:] = column[np.maximum.accumulate(last)]

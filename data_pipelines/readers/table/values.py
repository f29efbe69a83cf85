"""Cells of a table as numbers, times and words, whichever kind of file they stand in."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

MISSING = ("", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "none", "-")
UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
_LARGEST = float(np.finfo(np.float32).max)  # what is above has no place in a record
_CATEGORIES = 1024  # different words of a column; more are no categories
_UTC = pa.timestamp("ns", tz="UTC")


@dataclasses.dataclass(frozen=True)
class Writing:
    """How cells are written. missing: words that stand for no value, beside MISSING; decimal: the
    decimal point; unit: of times that are numbers; time_format: of strptime, "" for ISO 8601.
    """

    missing: tuple[str, ...] = ()
    decimal: str = "."
    unit: str = "s"
    time_format: str = ""


class Numbers(NamedTuple):
    """values float64 (N,), NaN where there is none; infinite (N,): what is no finite float32.

    words: the first cell that is no number, and its row; None if all are.
    """

    values: np.ndarray
    infinite: np.ndarray
    words: tuple[str, int] | None = None


def is_text(array: pa.Array) -> bool:
    kind = array.type.value_type if pa.types.is_dictionary(array.type) else array.type
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def texts(array: pa.Array, writing: Writing) -> pa.Array:
    """Cells as words without spaces around them; null where there is no value."""
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if not is_text(array):
        array = pc.cast(array, pa.string())
    array = pc.utf8_trim_whitespace(array)
    none = pc.is_in(array, value_set=pa.array([*MISSING, *writing.missing], array.type))
    return pc.if_else(none, pa.scalar(None, array.type), array)


def action_words(array: pa.Array, writing: Writing) -> pa.Array:
    """Cells of categories as words; whole numbers alike, however they are written (1, 1.0, +1)."""
    encoded = texts(array, writing).dictionary_encode()
    words = [_canonical(word) for word in encoded.dictionary.to_pylist()]
    return pa.array(words, pa.string()).take(encoded.indices)


def _canonical(word: str) -> str:
    try:
        number = float(word)
    except ValueError:
        return word
    return str(int(number)) if number.is_integer() and abs(number) < 2**53 else word


def numbers(array: pa.Array, writing: Writing) -> Numbers:
    """Cells as numbers. Booleans are 0 and 1; a kind of column that holds no numbers is words."""
    if is_text(array):
        array = texts(array, writing)
        if writing.decimal != ".":
            array = pc.replace_substring(array, writing.decimal, ".")
    try:
        values = _float64(array)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        if not is_text(array):
            return _no_numbers(array, (f"a {array.type}", 0))
        values, words = _one_by_one(array)
        if words:
            return _no_numbers(array, words)
    infinite = np.abs(values) > _LARGEST
    return Numbers(np.where(infinite, np.nan, values), infinite)


def _float64(array: pa.Array) -> np.ndarray:
    if pa.types.is_boolean(array.type):
        array = pc.cast(array, pa.uint8())
    if pa.types.is_temporal(array.type):
        raise pa.ArrowNotImplementedError("a time")
    # Safe casts would refuse integers beyond 2^53, whose last digits no record keeps anyway.
    cast = pc.cast(array, pa.float64(), safe=False)
    return cast.to_numpy(zero_copy_only=False).astype(np.float64)


def _no_numbers(array: pa.Array, words: tuple[str, int]) -> Numbers:
    return Numbers(np.full(len(array), np.nan), np.zeros(len(array), bool), words)


def _one_by_one(array: pa.Array) -> tuple[np.ndarray, tuple[str, int] | None]:
    """What Arrow does not read as a number may be one all the same ("INF"), or it is named."""
    values = np.full(len(array), np.nan)
    for row, cell in enumerate(array.to_pylist()):
        try:
            values[row] = np.nan if cell is None else float(cell)
        except ValueError:
            return values, (cell, row)
    return values, None


class Times(NamedTuple):
    """seconds float64 (N,), NaN where there is none; kind: 'numbers', 'clock' (local time without a
    zone) or 'utc'. words: the first cell that is no time, and its row.
    """

    seconds: np.ndarray
    kind: str
    words: tuple[str, int] | None = None


def times(array: pa.Array, writing: Writing) -> Times:
    """Cells as seconds: since 1970 for dates, of whatever origin for numbers."""
    if pa.types.is_temporal(array.type):
        kind = "utc" if getattr(array.type, "tz", None) else "clock"
        try:
            return Times(_seconds(array), kind)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            return Times(np.zeros(0), kind, (f"a {array.type}", 0))
    if is_text(array):
        array = texts(array, writing)
    if writing.time_format:
        return _parsed(array, writing.time_format)
    found = numbers(array, writing)
    if not found.words:
        return Times(found.values * UNITS[writing.unit], "numbers")
    for kind, target in (("clock", pa.timestamp("ns")), ("utc", _UTC)):
        try:
            return Times(_seconds(pc.cast(array, target)), kind)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            continue
    return Times(np.zeros(0), "clock", _first_no_time(array, found.words))


def _seconds(array: pa.Array) -> np.ndarray:
    stamps = pc.cast(array, pa.timestamp("ns", getattr(array.type, "tz", None)))
    whole = stamps.cast(pa.int64()).to_numpy(zero_copy_only=False)
    return whole.astype(np.float64) / 1e9  # a null becomes NaN


def _parsed(array: pa.Array, form: str) -> Times:
    stamps = pc.strptime(texts(array, Writing()), format=form, unit="us", error_is_null=True)
    lost = pc.and_(pc.is_valid(array), pc.is_null(stamps)).to_numpy(zero_copy_only=False)
    if lost.any():
        row = int(np.argmax(lost))
        return Times(np.zeros(0), "clock", (str(array[row].as_py()), row))
    return Times(_seconds(stamps), "utc" if "%z" in form else "clock")


def _first_no_time(array: pa.Array, fallback: tuple[str, int]) -> tuple[str, int]:
    """The first cell that is no time, or not of the kind that all before it are."""
    held = None
    for row, cell in enumerate(array.to_pylist()):
        if cell is None:
            continue
        fits = {kind for kind in (pa.float64(), pa.timestamp("ns"), _UTC) if _casts(cell, kind)}
        held = fits if held is None else held & fits
        if not held:
            return cell, row
    return fallback


def _casts(cell: str, kind: pa.DataType) -> bool:
    try:
        pc.cast(pa.array([cell], pa.string()), kind)
    except pa.ArrowInvalid:
        return False
    return True


class Words:
    """The different cells of a column of categories, as long as they are few."""

    def __init__(self):
        self.held: set[str] = set()
        self.too_many = False

    def add(self, cells: pa.Array) -> None:
        if not self.too_many:
            self.held.update(cell for cell in pc.unique(cells).to_pylist() if cell is not None)
            self.too_many = len(self.held) > _CATEGORIES


def codes(cells: pa.Array, names: Sequence[str]) -> np.ndarray:
    """float64 (N,): the place of every cell among `names`, NaN where there is no value."""
    found: Any = pc.index_in(cells, value_set=pa.array(list(names), pa.string()))
    return found.to_numpy(zero_copy_only=False).astype(np.float64)

"""What an evaluation returns: numbers with intervals, tables and curves of them.

Typed, so that the same result is printed in a terminal, drawn on a page, written as JSON and logged
in training. Nothing here knows how it was measured.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class Number:
    """A measured number and its interval.

    Attributes:
      mean: the estimate.      low, high: its interval.      unit: of all three.
      n: how many independent things it is taken over.       over: what they are, in the plural.
    """

    mean: float
    low: float
    high: float
    n: int
    unit: str
    over: str


@dataclasses.dataclass(frozen=True)
class Cell:
    """`text` to print; `number` behind it, shown when it is pointed at."""

    text: str
    number: Number | None = None


@dataclasses.dataclass(frozen=True)
class Column:
    """Shows `key` of every row under `title`; numbers with `digits` decimals."""

    key: str
    title: str
    digits: int = 2


def used(columns: Sequence[Column], rows: Sequence[Mapping[str, Any]]) -> list[Column]:
    """The columns that some row has a value for, in their order."""
    held = set().union(*rows)
    return [column for column in columns if column.key in held]


@dataclasses.dataclass(frozen=True)
class Table:
    """Rows of values by key.

    Attributes:
      rows: key -> `Number`, `Cell`, int, text, or anything else that JSON holds. A row may hold
        keys that no column shows; a column whose key a row lacks is shown as a dash.
      columns: what is shown, in order.
      index: keys that tell one row from another, for names as "k4/psnr".
    """

    title: str
    rows: Sequence[Mapping[str, Any]]
    columns: Sequence[Column]
    index: Sequence[str] = ()
    caption: str = ""


@dataclasses.dataclass(frozen=True)
class Series:
    """One line of a curve: (x, number) points; one point alone is a marker with its interval.

    joined: False where nothing lies between the points: each is a marker.
    """

    name: str
    points: Sequence[tuple[float, Number]]
    joined: bool = True


@dataclasses.dataclass(frozen=True)
class Level:
    """A horizontal line: a baseline that has no x. `style` picks one of four dashes."""

    name: str
    value: float
    style: int = 0


@dataclasses.dataclass(frozen=True)
class Curve:
    """Lines over one axis. `x_name` is x in tooltips ("k = 4"), `digits` the decimals of y."""

    title: str
    series: Sequence[Series]
    levels: Sequence[Level] = ()
    x_label: str = "x"
    y_label: str = ""
    x_name: str = "x"
    digits: int = 2


@dataclasses.dataclass(frozen=True)
class Picture:
    """A picture of a sample under `label`, one per position of the grid's slider, or one for all.

    `images` are uint8 (H, W), (H, W, 1), (H, W, 3) or (H, W, 4); `alts` describe them in words.
    """

    label: str
    images: Sequence[np.ndarray]
    alts: Sequence[str]


@dataclasses.dataclass(frozen=True)
class Sample:
    """Pictures side by side; `values`, one per position of the slider, end the caption in bold."""

    caption: str
    pictures: Sequence[Picture]
    values: Sequence[str]


@dataclasses.dataclass(frozen=True)
class Slider:
    """Positions of a picture grid, ascending. `name`=value is kept in the address of the page.

    `texts` tell the positions ("k = 4 of 8").
    """

    label: str
    name: str
    values: Sequence[int]
    texts: Sequence[str]


@dataclasses.dataclass(frozen=True)
class PictureGrid:
    """Samples to look at; in captions and labels, x_{t} has a subscript."""

    samples: Sequence[Sample]
    slider: Slider
    caption: str


Result = Number | Table | Curve | PictureGrid
Results = Result | Mapping[str, Result]


def plain(value: Any) -> Any:
    """Nested dicts and sequences of results -> the same as JSON holds them.

    A table becomes its rows, a curve {series: [[x, number]]}, a picture grid its captions.
    """
    if isinstance(value, Number):
        return dataclasses.asdict(value)
    if isinstance(value, Table):
        return plain(value.rows)
    if isinstance(value, Curve):
        return {one.name: plain(one.points) for one in value.series}
    if isinstance(value, PictureGrid):
        return [sample.caption for sample in value.samples]
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def scalars(prefix: str, results: Results) -> dict[str, float]:
    """The means of results by name, for metrics that are logged.

    A number is named prefix/key; of a table prefix/key/row/column ("…/k4/psnr"), of a curve
    prefix/key/series/x. Pictures have no number.
    """
    if isinstance(results, Mapping):
        named = [scalars(f"{prefix}/{key}", result) for key, result in results.items()]
        return {name: value for one in named for name, value in one.items()}
    return {"/".join([prefix, *name]): number.mean for name, number in _numbers(results)}


def _numbers(result: Result) -> Iterator[tuple[tuple[str, ...], Number]]:
    if isinstance(result, Number):
        yield (), result
    elif isinstance(result, Table):
        for row in result.rows:
            label = tuple(_part(key, row[key]) for key in result.index)
            yield from (
                ((*label, key), value) for key, value in row.items() if isinstance(value, Number)
            )
    elif isinstance(result, Curve):
        for one in result.series:
            yield from (((one.name, f"{x:g}"), number) for x, number in one.points)
    elif not isinstance(result, PictureGrid):
        raise TypeError(f"{type(result).__name__} is no result of an evaluator; see results.py")


def _part(key: str, value: Any) -> str:
    return value if isinstance(value, str) else f"{key}{value}"

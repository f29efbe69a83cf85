"""The numbers of a study as flat rows, one of each model and of each of its prefixes and slots."""

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from experiments.exogenous_study.pieces import REPORT, Cell, Settings, report_path
from experiments.pieces.piece import Piece
from flexlam_jax.evaluation.intervals import over_seeds
from flexlam_jax.reports.results import Number
from flexlam_jax.typed_json import read_json

# {strength, seed, remedy, k or slot, and a float for each thing that was measured of it}
Row = Mapping[str, Any]
CARRIED = ("accuracy", "endogenous", "exogenous", "exogenous_level", "exogenous_share")
_COLUMNS = ("strength", "seed", "remedy", "k", "slot")


def collect(settings: Settings, finished: Iterable[Piece]) -> list[Row]:
    """Every row of the reports of finished pieces."""
    cells = [piece.cell for piece in finished if piece.gives == REPORT]
    return [row for cell in cells for row in _of_cell(settings, cell)]


def prefixes(rows: Sequence[Row], k: int) -> list[Row]:
    """Those of the first k slots."""
    return [row for row in rows if row.get("k") == k]


def by_seed(rows: Sequence[Row], remedy: str, strength: float, key: str) -> dict[int, float]:
    """{seed: value} of the rows that hold it."""
    return {
        row["seed"]: row[key]
        for row in rows
        if row["remedy"] == remedy and row["strength"] == strength and key in row
    }


def combined(of: Callable[..., float], unit: str, *values: Mapping[int, float]) -> Number | None:
    """`of` one value of each, seed by seed, over the seeds that all have; None of no seed."""
    seeds = sorted(set.intersection(*map(set, values)))
    return (
        over_seeds([of(*(one[seed] for one in values)) for seed in seeds], unit) if seeds else None
    )


def as_csv(rows: Sequence[Row]) -> str:
    """All rows, a column for each thing that some row holds."""
    measured = list(dict.fromkeys(key for row in rows for key in row if key not in _COLUMNS))
    text = io.StringIO()
    writer = csv.DictWriter(text, [*_COLUMNS, *measured], lineterminator="\n")
    writer.writeheader()
    for row in rows:
        short = {key: f"{x:.6g}" if isinstance(x, float) else x for key, x in row.items()}
        writer.writerow(short)
    return text.getvalue()


def _of_cell(settings: Settings, cell: Cell) -> Iterator[Row]:
    path = report_path(settings, cell)
    report = read_json(path, dict[str, Any], remedy="remove its folder and its marker in finished/")
    for model in report["models"]:
        name = model["name"]
        first = {"strength": cell.strength, "seed": cell.seed, "remedy": name}
        found = {row["k"]: _means(row) for row in model["reconstruction"]}
        for row in report["label_free"][name]:
            found.setdefault(row["k"], {}).update(_means(row))
        for row in report["leakage"]["models"][name]:
            if "slot" in row:
                yield {**first, "slot": row["slot"], **_means(row)}
            else:
                found.setdefault(row["k"], {}).update(_means(row))
        for k, values in found.items():
            yield {**first, "k": k, **values}


def _means(row: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a row by name, without their intervals."""
    return {
        key: float(value["mean"])
        for key, value in row.items()
        if isinstance(value, Mapping) and value.get("mean") is not None
    }

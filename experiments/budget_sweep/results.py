"""The files that a sweep leaves in its folder: rows as they come, and at the end what a reader wants."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments import provenance
from experiments.budget_sweep import page
from experiments.budget_sweep.rows import as_csv, collect
from experiments.budget_sweep.settings import Settings
from experiments.budget_sweep.summary import Point, summary
from experiments.pieces.piece import Piece
from experiments.pieces.runner import Runner, seconds_by_stage
from experiments.pieces.times import times_table
from flexlam_jax.files import write_atomically
from flexlam_jax.reports.results import plain
from flexlam_jax.reports.tables import as_text

FORMAT = 1


def write_rows(runner: Runner, out: Path) -> list[Any]:
    """Writes results.csv, the rows of all finished pieces, and returns them."""
    rows = collect(runner.finished(), out)
    write_atomically(out / "results.csv", as_csv(rows))
    return rows


def write_results(runner: Runner, every: Sequence[Piece], settings: Settings) -> None:
    """Writes what a reader wants: tables, figure, and how all of it was made."""
    out = settings.out
    points = summary(write_rows(runner, out))
    stages = seconds_by_stage(every, runner.markers)
    made = provenance.made_by("experiments.budget_sweep")
    report = {"format": FORMAT, **made, "settings": settings.told(), "stages": stages}
    report["points"] = [_plain(point) for point in points]
    text = json.dumps(report, indent=1, allow_nan=False) + "\n"
    write_atomically(out / "results.json", text)
    times = times_table(stages)
    write_atomically(out / "figure.html", page.html(points, made, times))
    write_atomically(out / "figure.svg", page.svg(points))
    write_atomically(out / "results.md", page.markdown(points, made, times))
    for table in page.tables(points):
        print(f"\n{as_text(table)}")
    for name in ("results.csv", "results.json", "results.md", "figure.svg", "figure.html"):
        print(out / name)


def _plain(point: Point) -> dict[str, Any]:
    return {**dataclasses.asdict(point), "number": plain(point.number)}

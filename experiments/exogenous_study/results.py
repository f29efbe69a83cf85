"""The files that a study leaves in its folder."""

import json
from collections.abc import Sequence

from experiments import provenance
from experiments.exogenous_study import page
from experiments.exogenous_study.pieces import Settings
from experiments.exogenous_study.values import as_csv, collect
from experiments.pieces.piece import Piece
from experiments.pieces.runner import Runner, seconds_by_stage
from experiments.pieces.times import times_table
from flexlam_jax.files import write_atomically
from flexlam_jax.reports.results import plain
from flexlam_jax.reports.tables import as_text

FORMAT = 1
FILES = ("results.csv", "results.json", "results.md", "figure.svg")


def write_results(runner: Runner, every: Sequence[Piece], settings: Settings) -> None:
    """Writes rows, tables, curves and how all of it was made; prints the tables."""
    rows = collect(settings, every)
    stages = seconds_by_stage(every, runner.markers)
    made = provenance.made_by("experiments.exogenous_study")
    shown = page.tables(rows, settings)
    told = {"format": FORMAT, **made, "settings": settings.told(), "stages": stages}
    told["tables"] = [{"title": table.title, "rows": table.rows} for table in shown]
    out = settings.out
    write_atomically(out / "results.csv", as_csv(rows))
    text = json.dumps(plain(told), indent=1, allow_nan=False) + "\n"
    write_atomically(out / "results.json", text)
    write_atomically(
        out / "results.md", page.markdown([*shown, times_table(stages)], settings, made)
    )
    write_atomically(out / "figure.svg", page.svg(rows, settings))
    for table in shown:
        print(f"\n{as_text(table)}")
    for name in FILES:
        print(out / name)

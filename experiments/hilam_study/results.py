"""The files that a study leaves in its folder: episodes as they come, at the end what readers want."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

from experiments import provenance
from experiments.hilam_study import page
from experiments.hilam_study.pieces import GALLERY
from experiments.hilam_study.rates import Results, as_csv, collect, points
from experiments.hilam_study.settings import Settings
from experiments.pieces.piece import Piece
from experiments.pieces.runner import Runner, seconds_by_stage
from experiments.pieces.times import times_table
from flexlam_jax.files import write_atomically
from flexlam_jax.reports.tables import as_text

FORMAT = 1
FILES = ("results.csv", "results.json", "results.md", "figure.svg", "report.html")


def write_episodes(runner: Runner, out: Path) -> Results:
    """Writes results.csv, the episodes of all finished evaluations, and returns them."""
    results = collect(runner.finished(), out)
    write_atomically(out / "results.csv", as_csv(results))
    return results


def write_results(runner: Runner, every: Sequence[Piece], settings: Settings) -> None:
    """Writes tables, curve, and how all of it was made; prints the tables."""
    out = settings.out
    found = points(write_episodes(runner, out))
    stages = seconds_by_stage(every, runner.markers)
    made = provenance.made_by("experiments.hilam_study")
    report = {"format": FORMAT, **made, "settings": settings.told(), "stages": stages}
    report["points"] = [dataclasses.asdict(point) for point in found]
    text = json.dumps(report, indent=1, allow_nan=False) + "\n"
    write_atomically(out / "results.json", text)
    times = times_table(stages)
    first = f"seed{settings.seeds[0]}/{GALLERY}/"
    galleries = [f"{one.name}/gallery.html" for one in every if one.name.startswith(first)]
    write_atomically(out / "results.md", page.markdown(found, settings, made, times))
    write_atomically(out / "figure.svg", page.svg(found))
    write_atomically(out / "report.html", page.html(found, settings, made, times, galleries))
    for table in page.tables(found, settings):
        print(f"\n{as_text(table)}")
    for name in FILES:
        print(out / name)

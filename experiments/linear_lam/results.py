"""The files of a study: every fit as a row, numbers over seeds, the page, and a picture per sweep."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments import provenance
from experiments.linear_lam import summary
from experiments.linear_lam.measure import Row
from experiments.linear_lam.png import png
from experiments.linear_lam.sweeps import SWEEPS
from flexlam_jax.files import write_atomically
from flexlam_jax.reports.figure import figure
from flexlam_jax.reports.results import Table, plain
from flexlam_jax.reports.tables import as_markdown, as_text

TITLE = "Linear latent action models, trained beside their closed forms"
FORMAT = 1
NAME = "exogenous_linear"  # of all files, which docs/results holds too


def write_results(out: Path, rows: Sequence[Row], settings: Mapping[str, Any]) -> None:
    """Writes NAME.csv, .json, .md, and a .png and .svg per sweep; prints the tables."""
    found = summary.points(rows)
    shown = summary.tables(found, rows)
    made = provenance.made_by("experiments.linear_lam")
    told = {"format": FORMAT, **made, **settings, "reached": summary.reached(rows)}
    text = json.dumps({**told, "points": plain(found)}, indent=1, allow_nan=False) + "\n"
    write_atomically(out / f"{NAME}.json", text)
    write_atomically(out / f"{NAME}.csv", as_csv(rows))
    drawn = {sweep.name: summary.curves(found, sweep) for sweep in SWEEPS}
    for name, curves in drawn.items():
        write_atomically(out / f"{NAME}_{name}.png", png(curves))
    write_atomically(out / f"{NAME}_noise.svg", figure(drawn["noise"]))
    write_atomically(out / f"{NAME}.md", markdown(shown, made, settings))
    for table in shown:
        print(f"\n{as_text(table)}")
    print(out / f"{NAME}.md")


def as_csv(rows: Sequence[Row]) -> str:
    """A row per case, seed and prefix."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow(
            {name: f"{of:.6g}" if isinstance(of, float) else of for name, of in row.items()}
        )
    return text.getvalue()


def markdown(shown: Sequence[Table], made: Mapping[str, str], settings: Mapping[str, Any]) -> str:
    """The page for docs/results, where the pictures lie beside it."""
    facts = "\n".join(f"- {key}: {text}" for key, text in {**made, **settings}.items())
    about = (
        "What each line means and why: [the derivations](../exogenous/linear.md). ± is half of a 95 % "
        "interval (Student's t) over seeds, of directions, initialisation and batches alike. NMSE: 0, "
        "the code says all, 1, nothing, of what o does not tell. A dash: no subspace is the best."
    )
    parts = [f"# {TITLE}", about, facts]
    titles = {sweep.title: sweep.name for sweep in SWEEPS}
    for table in shown:
        parts.append(f"## {table.title}")
        if table.title in titles and table is not shown[1]:
            parts.append(f"![{table.title}]({NAME}_{titles[table.title]}.png)")
        parts.append(as_markdown(table))
    return "\n\n".join(parts) + "\n"

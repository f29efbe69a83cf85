"""The files of a study: every fit as a row, numbers over seeds, the page, and a picture per sweep."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from experiments import provenance
from experiments.linear_lam import summary
from experiments.linear_lam.measure import Row
from experiments.linear_lam.png import png
from experiments.linear_lam.record import Record
from experiments.linear_lam.sweeps import SWEEPS, Sweep, cases
from flexlam_jax.files import write_atomically
from flexlam_jax.linear.training import Budget
from flexlam_jax.reports.csv_rows import csv_of
from flexlam_jax.reports.results import Table, plain
from flexlam_jax.reports.tables import as_markdown, as_text

TITLE = "Linear latent action models, trained beside their closed forms"
FORMAT = 1
NAME = "exogenous_linear"  # of all files, which docs/results holds too


def write_results(out: Path, record: Record) -> None:
    """Writes NAME.csv, .json, .md, and a picture per sweep; prints the tables."""
    there = [sweep for sweep in SWEEPS if sweep.name in record.rows]
    rows = [row for sweep in there for row in record.rows[sweep.name]]
    found = summary.points(rows)
    shown = summary.tables(found, rows, there)
    facts = {**provenance.made_by("experiments.linear_lam"), **_facts(record)}
    told = {"format": FORMAT, **facts, "reached": summary.reached(rows), "points": plain(found)}
    write_atomically(out / f"{NAME}.json", json.dumps(told, indent=1, allow_nan=False) + "\n")
    write_atomically(out / f"{NAME}.csv", as_csv(rows))
    for sweep in there:
        write_atomically(out / f"{NAME}_{sweep.name}.png", png(summary.curves(found, sweep)))
    write_atomically(out / f"{NAME}.md", markdown(shown, facts, there))
    for table in shown:
        print(f"\n{as_text(table)}")
    print(out / f"{NAME}.md")


def _facts(record: Record) -> dict[str, str]:
    budgets = dict.fromkeys(case.budget for case in cases(fast=record.fast))
    return {
        "seeds": ", ".join(map(str, record.seeds)),
        "training": "; ".join(map(_told, budgets)),
        "time": f"{record.seconds:.0f} s, {record.cpu_seconds:.0f} s of CPU",
    }


def _told(budget: Budget) -> str:
    of = f"{budget.batch} transitions" if budget.batch else "the expected loss"
    return f"{budget.steps} steps of {of}, Adam, cosine from {budget.learning_rate:g}"


def as_csv(rows: Sequence[Row]) -> str:
    """A row per case, seed and prefix."""
    return csv_of(rows, list(rows[0]), digits=6)


def markdown(shown: Sequence[Table], facts: Mapping[str, str], sweeps: Sequence[Sweep]) -> str:
    """The page for docs/results, where the pictures lie beside it."""
    about = (
        "What each line means and why: [the derivations](../exogenous/linear.md). ± is half of a 95 % "
        "interval (Student's t) over seeds, of directions, initialisation and batches alike. NMSE: 0, "
        "the code says all, 1, nothing, of what o does not tell. A dash: no subspace is the best."
    )
    parts = [f"# {TITLE}", about, "\n".join(f"- {key}: {text}" for key, text in facts.items())]
    pictures = {sweep.title: f"{NAME}_{sweep.name}.png" for sweep in sweeps}
    for table in shown:
        parts.append(f"## {table.title}")
        if table.title in pictures:
            parts.append(f"![{table.title}]({pictures[table.title]})")
        parts.append(as_markdown(table))
    return "\n\n".join(parts) + "\n"

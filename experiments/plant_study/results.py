"""The study's numbers over seeds, as a page and a table for programs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments import provenance
from experiments.plant_study.arms import ARMS
from experiments.plant_study.measure import LINEAR
from experiments.plant_study.plants import DISTURBANCES, PUMPS, TRUTH
from flexlam_jax.evaluation.intervals import over_seeds
from flexlam_jax.evaluation.lam.thresholds import MOSTLY
from flexlam_jax.files import write_atomically
from flexlam_jax.reports.csv_rows import csv_of
from flexlam_jax.reports.results import Column, Number, Table
from flexlam_jax.reports.tables import as_markdown, as_text

NAME = "exogenous_plant"
TITLE = "A plant whose operator's actions were not logged"
MEASURES = (*TRUTH, "pumps", "pumps_few", "exogenous_share")
_ABOUT = {
    LINEAR: "principal components of the levels' linear innovation: the linear model of the same",
    **{arm.name: arm.about for arm in ARMS},
    "pair": "regression on both observations, no latent action",
    "o_t": "regression on the observation before alone",
}

Row = Mapping[str, Any]


def over_seeds_of(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """One row for all seeds of a case, with a `Number` for each measure."""
    cases: dict[tuple, list[Row]] = {}
    for row in rows:
        key = (row["strength"], row["arm"], row.get("k"), row.get("slot"))
        cases.setdefault(key, []).append(row)
    return [
        {
            **dict(zip(("strength", "arm", "k", "slot"), key, strict=True)),
            **{name: over_seeds([row[name] for row in same], "R^2") for name in MEASURES},
        }
        for key, same in cases.items()
    ]


def verdict(row: Row) -> str:
    """What a code, a slot or a prefix, is, in words: of the pumps, or of the world."""
    own = [row[name] for name in TRUTH[PUMPS]]
    outside = [row[name] for name in TRUTH[DISTURBANCES]]
    best = max((*own, *outside), key=lambda number: number.mean)
    name = TRUTH[[*own, *outside].index(best)]
    if best.mean < 0.1:
        return "tells hardly anything"
    share: Number = row["exogenous_share"]
    if share.mean > MOSTLY:
        sure = share.low > MOSTLY
        return f"**a disturbance** ({name})" if sure else f"**more disturbance than not** ({name})"
    if share.high < MOSTLY / 2:
        return f"the operator ({name})" if row.get("slot") else "the operator"
    return "a mixture of operator and disturbance"


def tables(rows: Sequence[Row]) -> list[Table]:
    """Of each strength: prefixes and baselines, then single slots."""
    found = over_seeds_of(rows)
    strengths = sorted({row["strength"] for row in found})
    return [
        *(_prefixes([row for row in found if row["strength"] == one], one) for one in strengths),
        *(_slots([row for row in found if row["strength"] == one], one) for one in strengths),
        Table(
            "What is compared",
            [{"arm": name, "about": about} for name, about in _ABOUT.items()],
            [Column("arm", "model"), Column("about", "what it is")],
        ),
    ]


def _prefixes(rows: Sequence[Row], strength: float) -> Table:
    shown = [
        {**row, "k": row["k"] or "", "verdict": verdict(row) if row["k"] else ""}
        for row in rows
        if row["slot"] is None
    ]
    return Table(
        f"Disturbances x {strength:g}: what the first k slots tell",
        shown,
        [
            Column("arm", "model"),
            Column("k", "k"),
            *(Column(name, name.replace("_", " ")) for name in TRUTH),
            Column("pumps_few", "pumps, 1 % labels"),
            Column("exogenous_share", "exogenous share"),
            Column("verdict", "what the code is"),
        ],
        caption="R² of the period's powers of pumps and disturbances (measured ones: of their "
        "change to the next instant, which alone is not known before), by least squares on test "
        "shifts, with all labels; 'pumps, 1 % labels' is the mean over both pumps with so many. "
        "Exogenous share: R² of both disturbances, added, over that of all four columns. Above a half "
        "(the whole interval) the code is a disturbance, below a quarter it is the operator.",
    )


def _slots(rows: Sequence[Row], strength: float) -> Table:
    shown = [{**row, "verdict": verdict(row)} for row in rows if row["slot"]]
    return Table(
        f"Disturbances x {strength:g}: what single slots tell",
        shown,
        [
            Column("arm", "model"),
            Column("slot", "slot"),
            *(Column(name, name.replace("_", " ")) for name in TRUTH),
            Column("exogenous_share", "exogenous share"),
            Column("verdict", "what the slot is"),
        ],
    )


def as_csv(rows: Sequence[Row]) -> str:
    """A line per seed and case."""
    return csv_of(rows, ("strength", "seed", "arm", "k", "slot", *MEASURES), digits=5)


def write_results(folder: Path, rows: Sequence[Row], settings: Mapping[str, str]) -> None:
    """Writes exogenous_plant.md and .csv, and prints the tables."""
    shown = tables(rows)
    about = (
        "Three tanks, two pumps, a demand and an inflow that nobody controls (`prepare plant`, "
        "docs/data/table.md), powers continuous. Latent action models see levels alone, or levels and "
        "disturbances; the powers only measure them. ± is half of a 95 % interval (Student's t) over "
        "seeds, each with a plant, labels and training of its own. See docs/exogenous/vectors.md."
    )
    made = {**provenance.made_by("experiments.plant_study"), **settings}
    parts = [f"# {TITLE}", about, "\n".join(f"- {name}: {text}" for name, text in made.items())]
    for table in shown:
        parts += [f"## {table.title}", as_markdown(table)]
        print(f"\n{as_text(table)}")
    write_atomically(folder / f"{NAME}.md", "\n\n".join(parts) + "\n")
    write_atomically(folder / f"{NAME}.csv", as_csv(rows))
    print(folder / f"{NAME}.md")

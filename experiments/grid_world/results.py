"""What the study found: a table per group of conditions, and the orderings of the paper."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments import provenance
from experiments.grid_world.conditions import Condition, Group
from experiments.grid_world.fits import CODES
from experiments.grid_world.orderings import LOSSES, PAPER, orderings, orderings_table
from flexlam_jax.evaluation.intervals import over_seeds
from flexlam_jax.files import write_atomically
from flexlam_jax.grid_world.scores import action_entropy
from flexlam_jax.grid_world.worth import action_worth, noise_worth, threshold
from flexlam_jax.reports.csv_rows import csv_of
from flexlam_jax.reports.results import Cell, Column, Table, plain
from flexlam_jax.reports.tables import as_markdown, as_text

TITLE = "The grid world: does a latent action tell the action or the noise?"
FORMAT = 1
Row = Mapping[str, Any]
_MEASURES = {  # key of a row -> title, decimals
    "controllable": ("controllable loss", 3),
    "stochastic": ("stochastic loss", 3),
    "of_signal": ("by next frame", 3),
    "own": ("own policy", 3),
    "used": ("codes used", 1),
    "accuracy": ("accuracy", 2),
    "accuracy_in_cell": ("in cell", 2),
    "action_bits": ("action, bits", 2),
    "action_bits_in_cell": ("in cell, bits", 2),
    "noise_bits": ("noise, bits", 2),
}
_CAPTION = (
    "Mean ± standard error over seeds. Losses of all transitions under the uniform policy, by what is "
    "open without a code: 1 says nothing, 0 all. By next frame: the controllable error by the variance "
    "of the next frame. Own policy: the controllable error where the correlated policy goes, by what "
    "that leaves open. Accuracy, bits: of what the action did, by the code alone and where the cell is "
    "known too (at most 1 and {all:.2f}, {in_cell:.2f} bits); noise: of the next noise row, 4 bits."
)


def write_results(
    out: Path, groups: Sequence[Group], rows: Sequence[Row], settings: Mapping[str, Any]
) -> None:
    """Writes results.csv, results.json and results.md, and prints the tables."""
    made = provenance.made_by("experiments.grid_world")
    found = {
        "paper": orderings(rows, {name: name for name in PAPER}),
        "plain": orderings(rows, {name: f"plain_{name}" for name in PAPER}),
    }
    shown = [worth_table(groups)]
    for group in groups:
        shown.append(table(group, rows))
        if found.get(group.name):
            shown.append(orderings_table(found[group.name], f"{group.title}: orderings"))
    told = {"format": FORMAT, **made, "settings": settings, "orderings": found, "rows": rows}
    text = json.dumps(plain(told), indent=1, allow_nan=False) + "\n"
    write_atomically(out / "results.json", text)
    write_atomically(out / "results.csv", csv_of(rows, list(rows[0])))
    write_atomically(out / "results.md", markdown(shown, groups, made, settings))
    for one in shown:
        print(f"\n{as_text(one)}")
    print(out / "results.md")


def worth_table(groups: Sequence[Group]) -> Table:
    """What a code could tell at each intensity that there is: counted, not trained."""
    conditions = [one for group in groups for one in group.conditions if one.intensity]
    rows = []
    for intensity in sorted({one.intensity for one in conditions}):
        for shifted in sorted({one.shift for one in conditions if one.intensity == intensity}):
            noise = noise_worth(CODES, intensity, shifted=shifted)
            told = "action" if action_worth() > noise else "noise"
            rows.append(
                {
                    "intensity": f"{intensity:g}",
                    "frames": "shifted" if shifted else "as they are",
                    "action": Cell(f"{action_worth():.2f}"),
                    "noise": Cell(f"{noise:.2f}"),
                    "told": told,
                    "threshold": Cell(f"{threshold(CODES, shifted=shifted):.2f}"),
                }
            )
    columns = [Column("intensity", "intensity"), Column("frames", "frames")]
    columns += [Column("action", "worth of the action"), Column("noise", "worth of the noise")]
    columns += [Column("told", "the best code tells"), Column("threshold", "from intensity, noise")]
    caption = f"Squared error that the best {CODES} codes for either take away; see worth.py."
    title = "What a code is worth"
    return Table(title, rows, columns, index=("intensity", "frames"), caption=caption)


def table(group: Group, rows: Sequence[Row]) -> Table:
    """A line per condition and prefix."""
    lines = []
    for condition in group.conditions:
        for keep in range(1, condition.slots + 1):
            mine = [r for r in rows if (r["condition"], r["keep"]) == (condition.name, keep)]
            line: dict[str, Any] = {"condition": condition.name, "keep": keep}
            line |= {key: _mean(mine, key, digits) for key, (_, digits) in _MEASURES.items()}
            if group.name == "paper":
                line |= _paper(condition)
            lines.append(line)
    columns = [Column("condition", "condition")]
    columns += [Column("keep", "k")] if any(one.slots > 1 for one in group.conditions) else []
    for key, (title, digits) in _MEASURES.items():
        columns.append(Column(key, title, digits))
        if group.name == "paper" and key in LOSSES:
            columns.append(Column(f"paper_{key}", "paper"))
    caption = _CAPTION.format(**dict(zip(("all", "in_cell"), action_entropy(), strict=True)))
    return Table(group.title, lines, columns, index=("condition", "keep"), caption=caption)


def _mean(rows: Sequence[Row], key: str, digits: int) -> Cell | None:
    """Mean and standard error, as the paper tells them; the interval is behind it."""
    values = [row[key] for row in rows]
    if any(value is None for value in values):
        return None
    number = over_seeds(values, key)
    text = f"{number.mean:.{digits}f}"
    if len(values) > 1:
        text += f" ± {np.std(values, ddof=1) / math.sqrt(len(values)):.{digits}f}"
    return Cell(text, number)


def _paper(condition: Condition) -> dict[str, Cell]:
    told = zip(LOSSES, PAPER[condition.name], strict=True)
    return {
        f"paper_{loss}": Cell(f"{value[0]:.3f} ± {value[1]:.3f}") for loss, value in told if value
    }


def markdown(
    shown: Sequence[Table],
    groups: Sequence[Group],
    made: Mapping[str, str],
    settings: Mapping[str, Any],
) -> str:
    """The page for docs/results."""
    facts = {**made, "seeds": ", ".join(map(str, settings["seeds"])), **settings["budget"]}
    parts = [f"# {TITLE}", "\n".join(f"- {key}: {value}" for key, value in facts.items())]
    for one in shown:
        parts += [f"## {one.title}", as_markdown(one)]
    lines = [
        f"| {one.name} | {one.intensity:g} | {one.policy} | {'yes' if one.shift else 'no'} | "
        f"{one.labels:g} | {one.codebook.spread:g} | {one.codebook.revive:g} | {one.slots} |"
        for group in groups
        for one in group.conditions
    ]
    head = "| condition | intensity | policy | shifted | labels | spread | revive | slots |"
    parts += ["## Conditions", "\n".join([head, "| --- " * 8 + "|", *lines])]
    return "\n\n".join(parts) + "\n"

"""The paper's table, and whether its orderings are found again.

Every two conditions of the table are compared, by seeds: a seed has its own data, labels and initial
parameters, which it shares between conditions as far as they have them in common.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from flexlam_jax.evaluation.intervals import over_seeds
from flexlam_jax.reports.results import Cell, Column, Number, Table

Row = Mapping[str, Any]
LOSSES = ("controllable", "stochastic")

# Condition -> mean and standard error of 5 seeds, of each of LOSSES: arXiv 2506.15691.
PAPER: dict[str, tuple[tuple[float, float] | None, tuple[float, float] | None]] = {
    "no_noise": ((0.624, 0.087), None),
    "low_noise": ((0.781, 0.079), (0.739, 0.047)),
    "high_noise": ((1.046, 0.017), (0.607, 0.021)),
    "correlated": ((1.997, 0.022), (0.599, 0.036)),
    "augmentation": ((0.415, 0.020), (0.898, 0.049)),
    "labels": ((0.295, 0.011), (0.986, 0.002)),
}


def orderings(rows: Sequence[Row], names: Mapping[str, str]) -> list[dict[str, Any]]:
    """A dict per loss and pair of conditions that were measured, in the paper's order.

    Args:
      rows: of `fits.fit_and_score`.
      names: condition of the paper -> the one that is compared with it.

    Returns:
      {"loss", "lower", "higher": of the paper; "paper": its difference; "apart": whether that is
      more than twice its standard error; "difference": ours, a Number over seeds; "holds"}.
    """
    found = []
    for number, loss in enumerate(LOSSES):
        told = {name: values[number] for name, values in PAPER.items() if values[number]}
        ours = {name: _by_seed(rows, names.get(name, ""), loss) for name in told}
        for one, other in combinations(sorted(told, key=lambda name: told[name][0]), 2):
            if not (ours[one] and ours[other]):
                continue
            seeds = sorted(ours[one].keys() & ours[other].keys())
            difference = over_seeds([ours[other][s] - ours[one][s] for s in seeds], loss)
            paper = told[other][0] - told[one][0]
            apart = paper > 2 * float(np.hypot(told[one][1], told[other][1]))
            found.append(
                {
                    "loss": loss,
                    "lower": one,
                    "higher": other,
                    "paper": paper,
                    "apart": apart,
                    "difference": difference,
                    "holds": _holds(difference),
                }
            )
    return found


def _holds(difference: Number) -> str:
    if difference.mean <= 0:
        return "no"
    return "yes" if difference.low > 0 else "in the mean"


def _by_seed(rows: Sequence[Row], condition: str, loss: str) -> dict[int, float]:
    """{seed: loss} of the whole code."""
    mine = [row for row in rows if row["condition"] == condition]
    whole = max((row["keep"] for row in mine), default=0)
    return {row["seed"]: row[loss] for row in mine if row["keep"] == whole}


def orderings_table(found: Sequence[Row], title: str) -> Table:
    """One line per pair."""
    rows = [
        {
            **one,
            "pair": f"{one['lower']} < {one['higher']}",
            "paper": Cell(f"{one['paper']:.3f}" + ("" if one["apart"] else " (level)")),
        }
        for one in found
    ]
    columns = [Column("loss", "loss"), Column("pair", "ordering"), Column("paper", "paper")]
    columns += [Column("difference", "here", 3), Column("holds", "holds")]
    caption = (
        "Differences, the second minus the first; ± is half of a 95 % interval (Student's t) over "
        "seeds, pair by pair. Level: the paper's difference is below two of its standard errors. "
        "Holds: yes where the interval is above 0, in the mean where it reaches 0."
    )
    return Table(title, rows, columns, index=("loss", "pair"), caption=caption)

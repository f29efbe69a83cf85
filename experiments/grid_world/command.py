"""Does a latent action tell the action or the noise, in a world where both are known exactly?

    python -m experiments.grid_world --out=runs/grid_world [--seeds=0,1,2,3,4] \\
        [--conditions=low_noise,high_noise,...] [--labels=0.01] \\
        [--low=1] [--high=2] [--fast]

Trains small latent action models of a 4x4 grid with a noise row under every condition of
arXiv 2506.15691's table, under some of them crossed, with a codebook that is not kept in use, and
with two slots under nested dropout. results.md, results.json and results.csv in --out hold losses,
informations, and whether the orderings of the paper hold. Killed, the same command goes on after the
last group of conditions that was finished.
"""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import flags

from experiments import lam_inputs
from experiments.grid_world.conditions import HIGH, LABELS, LOW, Group, chosen, groups
from experiments.grid_world.fits import FAST, Budget, fit_and_score
from experiments.grid_world.results import write_results
from experiments.kept_rows import kept_rows
from experiments.progress_bar import progress
from flexlam_jax import output_folder
from flexlam_jax.files import write_atomically

_OUT = flags.DEFINE_string("out", None, "Folder for the results.", required=True)
_SEEDS = flags.DEFINE_list("seeds", list("01234"), "Seeds of data, labels and training.")
_CONDITIONS = flags.DEFINE_list("conditions", [], "Conditions that are trained; default all.")
_LABELS = flags.DEFINE_float(
    "labels", LABELS, "Share of labelled transitions, where there are some."
)
_LOW = flags.DEFINE_float("low", LOW, "Value of a noise cell that is on.")
_HIGH = flags.DEFINE_float("high", HIGH, "The same, where there is more noise.")
_FAST = flags.DEFINE_bool("fast", False, "A smoke run: every part works, nothing is learned.")


def main(argv: Sequence[str]) -> None:
    del argv
    out = output_folder.check(lam_inputs.text(_OUT), output_folder.GRID_WORLD)
    seeds = lam_inputs.whole_numbers("seeds", lam_inputs.listed(_SEEDS), 0)
    names = lam_inputs.listed(_CONDITIONS)
    wanted = groups(_LABELS.value, _LOW.value, _HIGH.value)
    wanted = chosen(wanted, names) if names else wanted
    budget = FAST if _FAST.value else Budget()
    settings = {
        "kind": "grid_world",
        "seeds": seeds,
        "conditions": [one.name for group in wanted for one in group.conditions],
        "budget": dataclasses.asdict(budget),
    }
    folder = Path(out)
    with output_folder.Claim(out, output_folder.GRID_WORLD):
        write_atomically(folder / "settings.json", json.dumps(settings, indent=1) + "\n")
        tick = progress("groups of conditions", len(wanted))
        rows = []
        for group in wanted:
            rows += _measured(group, seeds, budget, folder)
            tick()
        write_results(folder, wanted, rows, settings)


def _measured(
    group: Group, seeds: Sequence[int], budget: Budget, folder: Path
) -> list[dict[str, Any]]:
    """Rows of a group: those that an earlier call of the same command kept, or new ones."""
    asked = {
        "conditions": [dataclasses.asdict(one) for one in group.conditions],
        "seeds": seeds,
        "budget": dataclasses.asdict(budget),
    }
    path = folder / "groups" / f"{group.name}.json"
    return kept_rows(path, asked, lambda: fit_and_score(group.conditions, seeds, budget)).rows

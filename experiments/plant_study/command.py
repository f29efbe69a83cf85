"""Trains latent action models of a plant whose operator's actions were not logged, and says what
they recover.

    python -m experiments.plant_study --out=runs/plant_study [--strengths=0.5,1,2] [--seeds=0,1,2] \\
        [--parts=baselines,levels,...] [--fast]

For each strength of the disturbances and seed: models that see levels, levels and disturbances, a
history, or a label for 1 % of the steps, beside the linear model in closed form and regression
without a model. Writes exogenous_plant.md and .csv to --out. Killed, the same command goes on after
the last part that was finished. See docs/exogenous/vectors.md.
"""

import dataclasses
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import flags

from experiments import lam_inputs
from experiments.kept_rows import kept_rows
from experiments.pieces import study_flags
from experiments.plant_study.fits import FAST, Budget
from experiments.plant_study.measure import PARTS, Cases
from experiments.plant_study.results import write_results
from experiments.progress_bar import progress
from flexlam_jax import output_folder
from flexlam_jax.errors import UserError
from flexlam_jax.files import write_atomically

_OUT = flags.DEFINE_string("out", None, "Folder for the results.", required=True)
_STRENGTHS = flags.DEFINE_list(
    "strengths", ["0.5", "1", "2"], "Factors of the disturbances' deviations."
)
_SEEDS = flags.DEFINE_list("seeds", ["0", "1", "2"], "Seeds of plants, labels and training.")
_PARTS = flags.DEFINE_list("parts", list(PARTS), "Models that are trained, and baselines.")
_FAST = flags.DEFINE_bool("fast", False, "A smoke run: every part works, nothing is learned.")


def main(argv: Sequence[str]) -> None:
    del argv
    strengths = tuple(_strength(text) for text in lam_inputs.listed(_STRENGTHS))
    seeds = lam_inputs.whole_numbers("seeds", lam_inputs.listed(_SEEDS), 0)
    parts = lam_inputs.listed(_PARTS)
    study_flags.check_names(_PARTS, parts, PARTS)
    budget = FAST if _FAST.value else Budget()
    out = output_folder.check(lam_inputs.text(_OUT), output_folder.PLANT_STUDY)
    with output_folder.Claim(out, output_folder.PLANT_STUDY):
        cases, tick = Cases(strengths, seeds, budget), progress("parts", len(parts))
        asked = {"strengths": strengths, "seeds": seeds, "budget": dataclasses.asdict(budget)}
        about = {"kind": output_folder.PLANT_STUDY.name, **asked}
        write_atomically(Path(out) / "settings.json", json.dumps(about, indent=1) + "\n")
        rows: list[dict[str, Any]] = []
        seconds = 0.0
        for part in parts:
            kept = Path(out) / "parts" / f"{part}.json"
            found = kept_rows(kept, asked, lambda part=part: cases.rows(part))
            rows, seconds = [*rows, *found.rows], seconds + found.cpu_seconds
            tick()
        told = ", ".join(f"{k} {v}" for k, v in dataclasses.asdict(budget).items())
        settings = {
            "seeds": ", ".join(map(str, seeds)),
            "training": f"{told}, labels {budget.labels}",
            "time": f"{seconds / 60:.1f} CPU minutes",
        }
        write_results(Path(out), rows, settings)


def _strength(text: str) -> float:
    """Raises UserError for what the plant cannot be run with."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value <= 100:
        raise UserError(f"--strengths: {text!r} is no number above 0, at most 100")
    return value

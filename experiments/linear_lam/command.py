"""Trains linear latent action models and compares them with their closed forms.

    python -m experiments.linear_lam --out=runs/linear [--seeds=0,1,2] [--fast]

Sweeps strength of the noise, width, policy, share of labels and weight of the action, and shows what
every prefix says under nested dropout, with and without each remedy. Minutes on two cores.
Writes exogenous_linear.md, .csv, .json and a picture per sweep to --out. See docs/exogenous/linear.md.
"""

import json
import time
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from experiments import lam_inputs
from experiments.linear_lam.measure import measure
from experiments.linear_lam.results import write_results
from experiments.linear_lam.sweeps import cases
from flexlam_jax import output_folder
from flexlam_jax.files import write_atomically
from flexlam_jax.linear.training import Budget

_OUT = flags.DEFINE_string("out", None, "Folder for the results.", required=True)
_SEEDS = flags.DEFINE_list("seeds", ["0", "1", "2"], "Seeds of directions and of training.")
_FAST = flags.DEFINE_bool("fast", False, "A smoke run: the ends of each sweep, nothing is learned.")


def main(argv: Sequence[str]) -> None:
    del argv
    seeds = lam_inputs.whole_numbers("seeds", lam_inputs.listed(_SEEDS), 0)
    out = output_folder.check(lam_inputs.text(_OUT), output_folder.LINEAR_STUDY)
    with output_folder.Claim(out, output_folder.LINEAR_STUDY) as folder:
        chosen = cases(fast=_FAST.value)
        told = {"kind": output_folder.LINEAR_STUDY.name, "seeds": seeds, "cases": len(chosen)}
        write_atomically(Path(folder) / "settings.json", json.dumps(told, indent=1) + "\n")
        print(f"{len(chosen)} cases, {len(chosen) * len(seeds)} fits")
        start, cpu = time.monotonic(), time.process_time()
        rows = measure(chosen, seeds)
        settings = {
            "seeds": ", ".join(map(str, seeds)),
            "training": "; ".join(map(_told, dict.fromkeys(case.budget for case in chosen))),
            "time": f"{time.monotonic() - start:.0f} s, {time.process_time() - cpu:.0f} s of CPU",
        }
        write_results(Path(folder), rows, settings)


def _told(budget: Budget) -> str:
    of = f"{budget.batch} transitions" if budget.batch else "the expected loss"
    return f"{budget.steps} steps of {of}, Adam, cosine from {budget.learning_rate:g}"

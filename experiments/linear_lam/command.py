"""Trains linear latent action models and compares them with their closed forms.

    python -m experiments.linear_lam --out=runs/linear [--seeds=0,1,2] [--sweeps=noise,...] [--fast]

Sweeps strength of the noise, width, policy, share of labels and weight of the action, and shows what
every prefix says under nested dropout, with and without each remedy. Minutes on two cores.
Writes exogenous_linear.md, .csv, .json and a picture per sweep to --out; sweeps that are there already
are not trained again. See docs/exogenous/linear.md.
"""

import json
import time
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from experiments import lam_inputs
from experiments.linear_lam import record
from experiments.linear_lam.measure import measure
from experiments.linear_lam.results import write_results
from experiments.linear_lam.sweeps import SWEEPS, cases
from flexlam_jax import output_folder
from flexlam_jax.errors import UserError
from flexlam_jax.files import write_atomically

_OUT = flags.DEFINE_string("out", None, "Folder for the results.", required=True)
_SEEDS = flags.DEFINE_list("seeds", ["0", "1", "2"], "Seeds of directions and of training.")
_SWEEPS = flags.DEFINE_list(
    "sweeps",
    [sweep.name for sweep in SWEEPS],
    "What is varied: " + "; ".join(f"{one.name}: {one.title.lower()}" for one in SWEEPS) + ".",
)
_FAST = flags.DEFINE_bool("fast", False, "A smoke run: the ends of each sweep, nothing is learned.")


def main(argv: Sequence[str]) -> None:
    del argv
    seeds = lam_inputs.whole_numbers("seeds", lam_inputs.listed(_SEEDS), 0)
    sweeps = _sweeps(lam_inputs.listed(_SWEEPS))
    out = output_folder.check(lam_inputs.text(_OUT), output_folder.LINEAR_STUDY)
    folder = Path(out)
    with output_folder.Claim(out, output_folder.LINEAR_STUDY):
        known = record.read(folder, seeds, _FAST.value)
        told = {"kind": output_folder.LINEAR_STUDY.name, "seeds": seeds, "fast": _FAST.value}
        write_atomically(folder / "settings.json", json.dumps(told, indent=1) + "\n")
        wanted = [case for case in cases(fast=_FAST.value) if case.sweep in sweeps]
        missing = [case for case in wanted if case.sweep not in known.rows]
        print(f"{len(wanted)} cases of {len(seeds)} seeds, {len(missing)} of them to be trained")
        if missing:
            start, cpu = time.monotonic(), time.process_time()
            rows = measure(missing, seeds)
            known = known.with_rows(rows, time.monotonic() - start, time.process_time() - cpu)
            record.write(folder, known)
        write_results(folder, known)


def _sweeps(names: Sequence[str]) -> list[str]:
    known = [sweep.name for sweep in SWEEPS]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UserError(f"--sweeps: unknown {', '.join(unknown)}; known: {', '.join(known)}")
    return list(names)

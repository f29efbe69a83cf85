"""Scores the boundaries of skills on sequences whose segments are known, over training seeds.

    python -m experiments.skill_study --out=runs/skill_study [--sequences=planted|DATA] \\
        [--latents=DIR] [--seeds=0,1,2] [--changes=official,...] [--fast]

Trains the preset and every change of --changes (default all) on each kind of sequences with each
seed, chooses by the validation split, and reports the test split beside equal, random and jump cuts
of as many chunks, and what of the boundaries can be seen without a model. Killed, the same command
goes on; more changes add to what is there. results.md and results.json come at the end, in --out.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from experiments import lam_inputs
from experiments.pieces.runner import Runner
from experiments.skill_study.changes import CHANGES, PRESET, chosen
from experiments.skill_study.pieces import pieces
from experiments.skill_study.results import write_results
from experiments.skill_study.sources import define_flags
from flexlam_jax import output_folder
from flexlam_jax.files import write_atomically

_OUT = flags.DEFINE_string("out", None, "Folder for everything.", required=True)
_CHANGES = flags.DEFINE_list(
    "changes",
    [change.name for change in CHANGES],
    "Changes of the preset, or none: "
    + "; ".join(f"{one.name}: {one.about}" for one in CHANGES)
    + ".",
)
_SOURCE = define_flags()
_JOBS = flags.DEFINE_integer("jobs", 1, "Commands side by side.", lower_bound=1)


def main(argv: Sequence[str]) -> None:
    del argv
    source = _SOURCE.read()
    names = [name for name in lam_inputs.listed(_CHANGES) if name != "none"]
    changes = chosen([PRESET, *names], planted=source.planted)
    if not source.planted:
        next(source.sets())  # What is wrong with them is told before anything is trained.
    path = Path(lam_inputs.text(_OUT)).expanduser().absolute()
    out = output_folder.check(path, output_folder.SKILL_STUDY)
    with output_folder.Claim(out, output_folder.SKILL_STUDY):
        told = {"kind": "skill_study", "changes": names, **source.told()}
        write_atomically(path / "settings.json", json.dumps(told, indent=1) + "\n")
        every = pieces(path, source, changes)
        runner = Runner(every, path, _JOBS.value)
        print(f"{len(every)} pieces, {len(runner.finished())} of them finished before")
        runner.run(every, lambda piece: None)
        write_results(runner, path, source, changes)

"""Trains skills of one setting on every kind of sequences with every seed, and scores their boundaries.

    python -m experiments.skill_study.measure --out=DIR --change=preset [--sequences=planted] \\
        [--seeds=0,1,2]

A piece of experiments.skill_study. scores.json in --out holds a row per kind of sequences, seed,
split and stage.
"""

if __name__ == "__main__":  # Before the imports, which take seconds.
    from experiments import process

    process.start(restart=True)

import json
from collections.abc import Sequence

from absl import flags

from experiments import cli, lam_inputs, provenance
from experiments.skill_study.changes import chosen
from experiments.skill_study.fits import Budget, fit_and_cut
from experiments.skill_study.scores import FILE, scores
from experiments.skill_study.sequences import SPLITS
from experiments.skill_study.sources import define_flags
from flexlam_jax import output_folder
from flexlam_jax.files import write_atomically

_MEASURED = SPLITS[1:]
_PLANTED, _RECORDED = Budget(), Budget(updates=800, steps_of_row=128)
_FAST = Budget(updates=4, batch=4)

_OUT = flags.DEFINE_string("out", None, "Folder of scores.json.", required=True)
_CHANGE = flags.DEFINE_string("change", None, "Setting of the study.", required=True)
_SOURCE = define_flags()


def main(argv: Sequence[str]) -> None:
    del argv
    source = _SOURCE.read()
    (change,) = chosen([_CHANGE.value], planted=source.planted)
    out = output_folder.check(lam_inputs.text(_OUT), output_folder.SKILL_SCORES)
    with output_folder.Claim(out, output_folder.SKILL_SCORES) as folder:
        of = list(source.sets())
        budget = _FAST if source.fast else _PLANTED if source.planted else _RECORDED
        cuts = fit_and_cut(
            change,
            [splits for _, _, splits in of],
            [seed for _, seed, _ in of],
            _MEASURED,
            budget,
        )
        rows = [
            {"sequences": kind, "seed": seed, "split": split, **row}
            for (kind, seed, splits), cut in zip(of, cuts, strict=True)
            for split in _MEASURED
            for row in scores(splits[split], cut[split], seed)
        ]
        told = {"kind": "skill_scores", "change": change.name, "rows": rows}
        told |= provenance.made_by("experiments.skill_study.measure")
        write_atomically(folder / FILE, json.dumps(told, indent=1, allow_nan=False) + "\n")


if __name__ == "__main__":
    cli.run(main)

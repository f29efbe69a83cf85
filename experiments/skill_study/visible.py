"""What of the true boundaries can be seen without skills, with as many cuts as are true.

    python -m experiments.skill_study.visible --out=DIR [--sequences=planted] [--seeds=0,1,2]

A piece of experiments.skill_study. scores.json in --out holds a row per kind of sequences, seed and
level: F1 on the test split of cuts that nothing was learned for, and of a supervised probe, which
bounds what can be asked of a model.
"""

if __name__ == "__main__":  # Before the imports, which take seconds.
    from experiments import process

    process.start(restart=True)

import json
from collections.abc import Sequence

from absl import flags

from experiments import cli, lam_inputs, provenance
from experiments.skill_study.pieces import VISIBLE
from experiments.skill_study.scores import FILE
from experiments.skill_study.sources import define_flags
from experiments.skill_study.visibility import visible
from flexlam_jax import output_folder
from flexlam_jax.files import write_atomically

_OUT = flags.DEFINE_string("out", None, f"Folder of {FILE}.", required=True)
_SOURCE = define_flags()


def main(argv: Sequence[str]) -> None:
    del argv
    source = _SOURCE.read()
    out = output_folder.check(lam_inputs.text(_OUT), output_folder.SKILL_SCORES)
    with output_folder.Claim(out, output_folder.SKILL_SCORES) as folder:
        rows = [
            {"sequences": kind, "seed": seed, **row}
            for kind, seed, splits in source.sets()
            for row in visible(splits["train"], splits["test"], seed)
        ]
        told = {"kind": "skill_scores", "change": VISIBLE, "rows": rows}
        told |= provenance.made_by("experiments.skill_study.visible")
        write_atomically(folder / FILE, json.dumps(told, indent=1, allow_nan=False) + "\n")


if __name__ == "__main__":
    cli.run(main)

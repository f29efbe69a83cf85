"""Compares changes of a LAM preset, each over training seeds, with Fixed-K beside them.

    python -m experiments.lam_study --out=runs/study [--config=experiments/configs/doom.py] \\
        [--seeds=0,1,2] [--changes=one_uniform,wider,…] [--budgets=1,2,4] [--labels=64,256]

Trains the preset, a Fixed-K for every budget and every change of --changes (default all) with each
seed, then measures those of a seed together: accuracy of a translator on few labels and PSNR by
prefix length. Killed, the same command goes on; with more seeds or changes it adds them to what is
there. results.md and results.json come at the end, in --out.
"""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from experiments import lam_inputs
from experiments.lam_study.pieces import Settings, pieces
from experiments.lam_study.results import write_results
from experiments.lam_study.variants import CHANGES, Variant, of_names
from experiments.pieces import study_flags
from experiments.pieces.runner import Runner
from experiments.preset_flag import read_preset
from flexlam_jax import output_folder
from flexlam_jax.errors import UserError
from flexlam_jax.files import write_atomically
from flexlam_jax.models.bottleneck import trained_budgets

_OUT = flags.DEFINE_string("out", None, "Folder for everything.", required=True)
_CONFIG = flags.DEFINE_string("config", "experiments/configs/doom.py", "Preset of the LAM.")
_PREPARED = flags.DEFINE_string(
    "prepared", "doom", "Dataset of prepare, where --data is not given."
)
_DATA = flags.DEFINE_string("data", "", "Dataset folder; default one that is prepared.")
_SEEDS = flags.DEFINE_list("seeds", ["0", "1", "2"], "Training seeds.")
_CHANGES = flags.DEFINE_list(
    "changes",
    [change.name for change in CHANGES],
    "Changes of the preset, or none: "
    + "; ".join(f"{one.name}: {one.about}" for one in CHANGES)
    + ".",
)
_BUDGETS = flags.DEFINE_list("budgets", ["1", "2", "4"], "Prefix lengths, and K of Fixed-K.")
_LABELS = flags.DEFINE_list("labels", ["64", "256"], "Labels of translators: numbers, or all.")
_DRAWS = flags.DEFINE_integer("draws", 6, "Draws of each number of labels.", lower_bound=1)
_SPLIT = flags.DEFINE_string("split", "validation", "Split that is measured.")
_JOBS = flags.DEFINE_integer("jobs", 2, "Commands side by side.", lower_bound=1)


def main(argv: Sequence[str]) -> None:
    del argv
    settings, variants = settings_of_flags()
    out = output_folder.check(settings.out, output_folder.STUDY)
    with output_folder.Claim(out, output_folder.STUDY):
        told = dataclasses.asdict(settings) | {"out": ""}
        told |= {"kind": "lam_study", "variants": [variant.name for variant in variants]}
        write_atomically(settings.out / "settings.json", json.dumps(told, indent=1) + "\n")
        every = pieces(settings, variants)
        runner = Runner(every, settings.out, _JOBS.value)
        print(f"{len(every)} pieces, {len(runner.finished())} of them finished before")
        runner.run(every, lambda piece: None)
        write_results(runner, settings, variants)


def settings_of_flags() -> tuple[Settings, list[Variant]]:
    """What the flags ask for.

    Raises:
      ConfigError, UserError: what does not exist, or cannot be compared.
    """
    known = [change.name for change in CHANGES]
    names = [name for name in lam_inputs.listed(_CHANGES) if name != "none"]
    study_flags.check_names(_CHANGES, names, known)
    budgets = study_flags.ascending(_BUDGETS, 1)
    preset = read_preset(_CONFIG.value)
    trained = trained_budgets(preset.model)
    never = [k for k in budgets if k not in trained]
    if never:
        raise UserError(
            f"--budgets: a LAM by --config={_CONFIG.value} is trained at "
            f"{', '.join(map(str, trained))} slots, never at {', '.join(map(str, never))}"
        )
    labels = lam_inputs.listed(_LABELS)
    for text in labels:
        if text != "all" and (lam_inputs.whole_number(text) or 0) < 1:
            raise UserError(f"--labels={text}: give numbers of labels, or all")
    settings = Settings(
        out=Path(lam_inputs.text(_OUT)).expanduser().absolute(),
        config=_CONFIG.value,
        prepared=_PREPARED.value,
        data=lam_inputs.text(_DATA),
        seeds=study_flags.ascending(_SEEDS, 0),
        budgets=budgets,
        labels=tuple(labels),
        draws=_DRAWS.value,
        split=_SPLIT.value,
    )
    return settings, of_names(names, budgets, preset)

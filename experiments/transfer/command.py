"""Applies latent actions to another scene, camera or body, reads them again and replays them at home.

    python -m experiments.transfer --checkpoint=runs/doom --data=data/doom \\
        --datasets=health_gathering_sticky --target_datasets=my_way_home_sticky \\
        [--target_data=DIR] [--translator=runs/translator] [--pairs=random|similar|FILE] [--out=DIR]

Sources are transitions of --datasets; each is paired with a frame of --target_datasets, which may lie
in another folder and need no actions: at random (of another episode), the frame that looks most
alike, or by hand, in a CSV file with the columns source_dataset, source_episode, source_t,
target_dataset, target_episode and target_t. Cameras are datasets of their own.

What is compared, and how far it can be trusted: docs/transfer.md. --out gets report.html, report.json
and transfer.csv.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from absl import flags

from experiments import lam_inputs, provenance
from experiments.progress_bar import progress
from experiments.transfer import pairing, report
from flexlam_jax import output_folder
from flexlam_jax.errors import UserError
from flexlam_jax.evaluation.lam.settings import chosen_budgets
from flexlam_jax.evaluation.lam.transfer import Pairs, transfer
from flexlam_jax.files import write_atomically
from flexlam_jax.loading.lam import LoadedLam
from flexlam_jax.reports.csv_rows import csv_of
from flexlam_jax.reports.page import page
from flexlam_jax.reports.results import plain
from flexlam_jax.reports.tables import as_text
from flexlam_jax.training.compilation import use_compilation_cache

_CHECKPOINT, _STEP, _DATA, _DATASETS = lam_inputs.define_inputs(
    datasets="Datasets whose transitions are carried over; default those of the training."
)
_TARGET_DATA = flags.DEFINE_string("target_data", "", "Folder of the targets; default --data.")
_TARGETS = flags.DEFINE_list(
    "target_datasets", None, "Datasets to whose frames codes are applied.", required=True
)
_PAIRS = flags.DEFINE_string(
    "pairs", pairing.RANDOM, "random, similar, or a CSV file of pairs by hand."
)
_TRANSLATOR = flags.DEFINE_string(
    "translator", "", "Translator that reads actions from codes; without, actions are not told."
)
_SPLIT = flags.DEFINE_string("split", "test", "Split of both.")
_TRANSITIONS = flags.DEFINE_integer(
    "transitions", 512, "Source transitions, evenly spread over the split.", lower_bound=2
)
_FRAMES = flags.DEFINE_integer(
    "target_frames", 2048, "Frames that targets are chosen from, evenly spread.", lower_bound=1
)
_BUDGETS = flags.DEFINE_list(
    "budgets", [], "Prefix lengths; default powers of two and the longest."
)
_PICTURES = flags.DEFINE_integer("pictures", 6, "Pairs in the gallery.", lower_bound=1)
_SEED = lam_inputs.define_seed("Seed of pairs, shuffles and the choice of pictures.")
_OUT = flags.DEFINE_string("out", "", "Folder for the report; default WORKDIR/transfer.")
_CACHE = flags.DEFINE_string(
    "compilation_cache", "", "Folder that keeps compiled programs for the next call; default none."
)


def main(argv: Sequence[str]) -> None:
    del argv
    out = output_folder.check(
        lam_inputs.report_folder(_OUT, _CHECKPOINT.value, "transfer"), output_folder.REPORT
    )
    checkpoint, data = lam_inputs.text(_CHECKPOINT), lam_inputs.text(_DATA)
    budgets = lam_inputs.whole_numbers("budgets", _BUDGETS.value, 0) if _BUDGETS.value else ()
    use_compilation_cache(_CACHE.value)
    lam = _lam(checkpoint, budgets)
    source = lam_inputs.open_source(lam, data, lam_inputs.listed(_DATASETS))
    target = lam_inputs.open_source(
        lam, lam_inputs.text(_TARGET_DATA) or source.info.path, lam_inputs.listed(_TARGETS)
    )
    for one in (source, target):
        one.check_splits([_SPLIT.value])
    action, no_actions = source.actions()
    if _TRANSLATOR.value and action is None:
        raise UserError(f"--translator: {no_actions}; leave the flag out")
    names = tuple(action.names) if action else ()
    translator = lam_inputs.open_translator(lam_inputs.text(_TRANSLATOR), lam, names)
    with output_folder.Claim(out, output_folder.REPORT):
        sources, targets = _paired(source, target, actions=translator is not None)
        pairs = Pairs(
            o_s=sources.frames[:, 0],
            o_next=sources.frames[:, 1],
            o_x=targets.frames[:, 0],
            episode=sources.episode,
            action=sources.action,
        )
        chosen = chosen_budgets(lam, budgets)
        rows = transfer(
            lam, pairs, chosen, translator, _SEED.value, progress("prefix lengths", len(chosen))
        )
        told = report.Report(
            rows,
            source=source.names,
            target=target.names,
            facts={
                **provenance.made_by("experiments.transfer"),
                "model": f"{lam_inputs.model_name(checkpoint)}, step {lam.step}",
                "data": (
                    f"{', '.join(source.names)} to {', '.join(target.names)}; split {_SPLIT.value}; "
                    f"{len(pairs)} transitions of {len(np.unique(pairs.episode))} episodes; pairs "
                    f"{_PAIRS.value}; seed {_SEED.value}; gap {source.gap}"
                ),
            },
            no_actions="" if translator else no_actions or "no --translator was given",
        )
        found = told.as_json()
        text = json.dumps(plain(found), indent=1, allow_nan=False) + "\n"
        write_atomically(Path(out) / "report.json", text)
        table = csv_of(report.csv_rows(rows), report.CSV_COLUMNS, digits=8)
        write_atomically(Path(out) / "transfer.csv", table)
        grid = report.gallery(lam, pairs, sources.keys, targets.keys, _PICTURES.value, _SEED.value)
        write_atomically(Path(out) / "report.html", page(found["title"], told.page(grid)))
    for one in told.tables():
        print(f"\n{as_text(one)}\n{one.caption}")
    print("", *found["summary"], f"\n{Path(out) / 'report.html'}", sep="\n")


def _lam(checkpoint: str, budgets: Sequence[int]) -> LoadedLam:
    (lam,) = lam_inputs.open_models(checkpoint, (), _STEP.value).values()
    if not isinstance(lam, LoadedLam):
        raise UserError(
            f"--checkpoint={checkpoint} reads vectors; codes are applied to frames of another scene"
        )
    lam_inputs.check_budgets(budgets, lam)
    return lam


def _paired(
    source: lam_inputs.Source, target: lam_inputs.Source, *, actions: bool
) -> tuple[pairing.Rows, pairing.Rows]:
    """Sources and the target of each, as --pairs says."""
    kind = lam_inputs.text(_PAIRS)
    if kind not in (pairing.RANDOM, pairing.SIMILAR):
        return pairing.by_hand(kind, source, target, _SPLIT.value, actions=actions)
    sources = pairing.spread(source, _SPLIT.value, _TRANSITIONS.value, actions=actions)
    targets = pairing.spread(target, _SPLIT.value, _FRAMES.value)
    if len(sources) < 2:
        raise UserError(
            f"the {_SPLIT.value} split of {', '.join(source.names)} has one transition; give another"
        )
    if kind == pairing.RANDOM:
        chosen = pairing.random_targets(sources, targets, _SEED.value)
    else:
        chosen = pairing.similar_targets(sources, targets)
    return sources, targets.at(chosen)

"""Measures a world beside its floors, and writes what its codes mean as action_card.json beside it.

    python -m experiments.evaluate_world --checkpoint=runs/dynamics --translator=runs/translator \\
        --data=data/doom [--datasets=health_gathering_sticky] [--compare=NAME=PATH,...] [--out=DIR]

--checkpoint is a model of dynamics, or a latent action model, whose decoder is then played frame after
frame. Beside it stand this decoder as the floor, copying the last frame, and the worlds of --compare,
as dynamics of true actions or of none. What is measured: docs/world/measures.md. Without actions in
the data there is no obedience; without a translator a code reads as the commonest action of labelled
train transitions with it.

--out gets report.html, report.json and measures.csv. The card is written by this command alone, and
flexlam_jax.load(checkpoint).actions reads it.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from experiments import lam_inputs
from experiments.evaluate_world import tables
from experiments.evaluate_world.card import card_of
from experiments.evaluate_world.evaluation import Options, evaluate
from experiments.evaluate_world.players import open_players
from flexlam_jax import output_folder
from flexlam_jax.evaluation import inverse_model
from flexlam_jax.evaluation.action_card import write_card
from flexlam_jax.evaluation.lam.settings import chosen_budgets
from flexlam_jax.evaluation.world.generation import Sampling
from flexlam_jax.files import write_atomically
from flexlam_jax.reports.csv_rows import csv_of
from flexlam_jax.reports.page import page
from flexlam_jax.reports.results import plain
from flexlam_jax.reports.tables import as_text
from flexlam_jax.training.compilation import use_compilation_cache
from flexlam_jax.world.opening import lam_of, open_world

_CHECKPOINT, _STEP, _DATA, _DATASETS = lam_inputs.define_inputs("the world")
_LAM = flags.DEFINE_string(
    "lam", "", "Latent action model whose codes it obeys; default where the world says it lies."
)
_TRANSLATOR = flags.DEFINE_string(
    "translator", "", "Translator by which codes read as actions; default the commonest action."
)
_COMPARE = flags.DEFINE_list("compare", [], "Further worlds as NAME=PATH, in the same tables.")
_SPLIT = flags.DEFINE_string("split", "test", "Split that is measured.")
_OUT = flags.DEFINE_string("out", "", "Folder for the report; default WORKDIR/world_evaluation.")
_BUDGETS = flags.DEFINE_list(
    "budgets", [], "Prefix lengths; default powers of two and the longest."
)
_HORIZON = flags.DEFINE_integer(
    "horizon", 16, "Steps that rollouts last.", lower_bound=1, upper_bound=200
)
_CLIPS = flags.DEFINE_integer("clips", 128, "Clips, evenly spread over the split.", lower_bound=4)
_CODES = flags.DEFINE_integer(
    "codes", 16, "Most frequent codes of each budget to look at.", lower_bound=1
)
_PROBE = flags.DEFINE_integer(
    "probe_pairs", 8192, "Real train transitions that the probe is fitted on.", lower_bound=16
)
_GENERATED = flags.DEFINE_integer(
    "generated_pairs", 1024, "Generated ones that a second probe is fitted on.", lower_bound=16
)
_PROBE_STEPS = flags.DEFINE_integer(
    "probe_steps", inverse_model.STEPS, "Steps that probes are fitted for.", lower_bound=1
)
_SEED = lam_inputs.define_seed("Seed of draws, sampling and fits.")
_STEPS = flags.DEFINE_integer(
    "sampling_steps", None, "Sampling steps per frame; default the world's own.", lower_bound=1
)
_TEMPERATURE = flags.DEFINE_float(
    "temperature", None, "Of sampling; default the world's own.", lower_bound=0.0
)
_CARD = flags.DEFINE_bool("card", True, "Write action_card.json beside the checkpoint.")
_LEAKAGE = flags.DEFINE_bool("leakage", True, "Measure leakage for the card, where the data allow.")
_CACHE = flags.DEFINE_string(
    "compilation_cache", "", "Folder that keeps compiled programs for the next call; default none."
)


def main(argv: Sequence[str]) -> None:
    del argv
    out = output_folder.check(
        lam_inputs.report_folder(_OUT, _CHECKPOINT.value, "world_evaluation"), output_folder.REPORT
    )
    checkpoint, compare = lam_inputs.text(_CHECKPOINT), lam_inputs.listed(_COMPARE)
    budgets = lam_inputs.whole_numbers("budgets", _BUDGETS.value, 1) if _BUDGETS.value else ()
    use_compilation_cache(_CACHE.value)
    world = open_world(checkpoint, _STEP.value)
    lam = lam_of(world, lam_inputs.text(_LAM))
    lam_inputs.check_budgets(budgets, lam, 1)
    source = lam_inputs.open_source(
        world if hasattr(world, "config") else lam,
        lam_inputs.text(_DATA),
        lam_inputs.listed(_DATASETS),
    )
    source.check_splits([_SPLIT.value, "train"])
    names, no_actions = _actions(source)
    translator = lam_inputs.open_translator(lam_inputs.text(_TRANSLATOR), lam, names)
    players = open_players(checkpoint, world, lam, compare, budgets, names)
    asked = Options(
        split=_SPLIT.value,
        budgets=chosen_budgets(lam, budgets),
        clips=_CLIPS.value,
        horizon=_HORIZON.value,
        codes=_CODES.value,
        probe_pairs=_PROBE.value,
        generated_pairs=_GENERATED.value,
        probe_steps=_PROBE_STEPS.value,
        names=names,
        no_actions=no_actions,
        leakage=_LEAKAGE.value,
        sampling=Sampling(_SEED.value, _STEPS.value, _TEMPERATURE.value),
    )
    with output_folder.Claim(out, output_folder.REPORT):
        evaluation = evaluate(players, lam, source, translator, asked)
        report = evaluation.report()
        text = json.dumps(plain(report), indent=1, allow_nan=False) + "\n"
        write_atomically(Path(out) / "report.json", text)
        rows = csv_of(tables.csv_rows(evaluation.worlds), tables.CSV_COLUMNS, digits=8)
        write_atomically(Path(out) / "measures.csv", rows)
        write_atomically(Path(out) / "report.html", page(report["title"], evaluation.page(report)))
    for table in evaluation.tables(reasons=False):
        print(f"\n{as_text(table)}\n{table.caption}")
    print("", *report["summary"], *report["notes"], f"\n{Path(out) / 'report.html'}", sep="\n")
    if _CARD.value:
        card = card_of(
            checkpoint,
            world,
            lam,
            (_TRANSLATOR.value, translator) if translator else None,
            names,
            evaluation.codes,
            evaluation.thresholds,
            report["data"],
            evaluation.leakage,
        )
        print(write_card(checkpoint, card))


def _actions(source: lam_inputs.Source) -> tuple[tuple[str, ...], str]:
    """(names of the discrete actions of the data, why there are none)."""
    action, why = source.actions()
    if action is None:
        return (), why
    if action.kind != "discrete":
        return (), "the actions of the data are continuous, and a code reads as one of several"
    return tuple(action.names), ""

"""Fits a translator from latent actions to true actions on a few labels, and saves it.

    python -m experiments.align_translator --checkpoint=runs/doom --labels=256 \\
        --workdir=runs/translator [--data=DIR] [--datasets=health_gathering_sticky]

One translator serves every prefix length: in training each example is null-filled at a random one.
It is fitted by the recipe of the evaluation and loaded with flexlam_jax.load_translator.

--labels is a number, all, or a share of all train transitions of the datasets, as 0.025%; --draw=i
takes the i-th random order of them, whose first labels are those of a smaller --labels. Several
datasets with one action table share a translator. Narrow labels come from one dataset, and
--evaluate_on tells how the translator does on others:

    … --datasets=deadly_corridor_sticky --evaluate_on=health_gathering_sticky,my_way_home_sticky
"""

if __name__ == "__main__":  # Before the imports, which take seconds.
    from experiments import process

    process.start()

import dataclasses
from fractions import Fraction

import jax
import numpy as np
from absl import flags

from experiments import cli, lam_inputs
from experiments.codes_cache import codes_and_actions
from flexlam_jax import load_translator, output_folder
from flexlam_jax.checkpoints.write import save_model
from flexlam_jax.errors import CheckpointError, UserError
from flexlam_jax.evaluation import probes, translator_fit
from flexlam_jax.evaluation.labels import Labels, count_of, name_of
from flexlam_jax.evaluation.lam.settings import chosen_budgets
from flexlam_jax.evaluation.prefixes import Prefixes
from flexlam_jax.loading.translator import TranslatorConfig, translator_config
from flexlam_jax.reports.results import Column, Table, plain
from flexlam_jax.reports.tables import as_text

_CHECKPOINT, _STEP, _DATA, _DATASETS = lam_inputs.define_inputs()
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder to write the translator to.")
_LABELS = flags.DEFINE_string(
    "labels", "256", "How many labelled train transitions: a number, a share as 0.025%, or all."
)
_DRAW = flags.DEFINE_integer(
    "draw", 0, "Which random order the labels are the first of.", lower_bound=0, upper_bound=10**6
)
_EVALUATE_ON = flags.DEFINE_list(
    "evaluate_on", [], "Datasets whose validation split is told; default those of the labels."
)
_CACHE = flags.DEFINE_string(
    "codes_cache", "", "Folder that keeps codes and actions for the next call; default none."
)
_SEED = lam_inputs.define_seed("Seed of the label draw and the fit.")
flags.mark_flag_as_required("workdir")


def main(argv):
    del argv
    workdir = output_folder.check(_WORKDIR.value, output_folder.TRANSLATOR)
    labels = lam_inputs.labels(_LABELS.name, _LABELS.value)
    datasets, others = lam_inputs.listed(_DATASETS), lam_inputs.listed(_EVALUATE_ON)
    lams = lam_inputs.open_models(lam_inputs.text(_CHECKPOINT), [], _STEP.value)
    ((name, lam),) = lams.items()
    source = lam_inputs.open_source(lam, lam_inputs.text(_DATA), datasets)
    measured = lam_inputs.open_source(lam, lam_inputs.text(_DATA), others) if others else source
    source.check_splits(["train"])
    measured.check_splits(["validation"])
    action, no_actions = source.beside(measured).actions()
    if action is None:
        raise UserError(f"a translator needs labels, but {no_actions}")
    _check_labels(labels, source.count("train"))
    request = request_of(source, measured)
    made_by = {"checkpoint": name, "step": lam.step, "fingerprint": lam.fingerprint()}
    with output_folder.Claim(workdir, output_folder.TRANSLATOR):
        if already_there(workdir, made_by, request):
            print(f"{workdir}: this translator is already there, nothing to do")
            return
        train = codes_and_actions(lams, source, "train", _CACHE.value)
        held_out = codes_and_actions(lams, measured, "validation", _CACHE.value)
        _check_labels(labels, len(train))
        used = count_of(labels, len(train))
        spec = translator_fit.ActionTarget.of(
            train["action"], action.count if action.kind == "discrete" else None
        )
        variables = fit(lam, train, used, spec)
        told = validate(lam, variables, train, held_out, spec, measured.names)
        config = TranslatorConfig(
            discrete=spec.discrete,
            outputs=spec.size,
            hidden=translator_fit.TRANSLATOR.hidden,
            slots=lam.slots,
            slot_width=lam.slot_width,
            action_names=tuple(action.names),
            budgets=tuple(lam.budgets),
            lam=made_by,
            data={**request, "labels_used": used, **told},
        )
        variables = jax.tree.map(lambda leaf: leaf[0], variables)
        save_model(workdir, output_folder.TRANSLATOR, variables, dataclasses.asdict(config))
    share = f" ({name_of(labels)} of {len(train)})" if isinstance(labels, Fraction) else ""
    print(
        f"{workdir}: translator fitted on {used} labels{share}, "
        "load it with flexlam_jax.load_translator"
    )


# What of a translator's config is asked for, beside its model; what is not given is not written.
_ASKED = ("labels", "seed", "datasets", "gap", "draw", "evaluate_on")


def request_of(source: lam_inputs.Source, measured: lam_inputs.Source) -> dict:
    """What the flags ask for."""
    request = {
        "labels": _LABELS.value,
        "seed": _SEED.value,
        "datasets": list(source.names),
        "gap": source.gap,
    }
    if _DRAW.value:
        request["draw"] = _DRAW.value
    if measured.names != source.names:
        request["evaluate_on"] = list(measured.names)
    return request


def already_there(workdir, made_by: dict, request: dict) -> bool:
    """Whether the folder holds the translator that is asked for, as it was written.

    Raises:
      UserError: it holds another one, or one whose config cannot be read.
    """
    existing = translator_config(workdir)
    if existing is None:
        return False
    same = all(existing.data.get(key) == request.get(key) for key in _ASKED)
    if existing.lam != made_by or not same:
        raise UserError(
            f"{workdir} holds a translator made with other settings; give another --workdir"
        )
    try:
        load_translator(workdir)
    except CheckpointError as damage:
        print(f"fitted again: {damage}")
        return False
    return True


def fit(lam, train, labels: int, spec: translator_fit.ActionTarget):
    """Variables of the translator, every leaf with a leading axis of one."""
    return translator_fit.fit(
        Prefixes.of(train["codes"]["slots"], lam.budgets, lam.null),
        train["action"],
        probes.label_draw(len(train), _DRAW.value, _SEED.value)[None],
        labels,
        spec,
        seed=_SEED.value + _DRAW.value,  # As the fit of this draw in an evaluation.
    )


def validate(lam, variables, train, held_out, spec, names) -> dict:
    """The validation score at every prefix length, and of every dataset where there are several."""
    told: dict = {"validation": {}}
    by_dataset = {}
    for k in lam.budgets:
        rows = probes.null_filled(held_out["codes"]["slots"], k, lam.null)
        outputs = np.asarray(translator_fit.predict(variables, rows, spec))
        against = train["action"], held_out["action"], held_out.episode, spec
        score = probes.score(outputs, *against)
        told["validation"][str(k)] = plain(score)
        print(
            f"k = {k:2d}: validation {score.unit} {score.mean:.3f} "
            f"[{score.low:.3f}, {score.high:.3f}]"
        )
        if len(names) > 1:
            by_dataset[k] = probes.scores_by_dataset(outputs, *against, held_out.dataset, names)
    if by_dataset:
        print(f"\n{as_text(dataset_table(by_dataset, chosen_budgets(lam, ()), spec))}\n")
        told["validation_by_dataset"] = {str(k): plain(of) for k, of in by_dataset.items()}
    return told


def dataset_table(by_dataset: dict, budgets, spec: translator_fit.ActionTarget) -> Table:
    """A row per dataset, and the mean of all."""
    rows = [
        {"dataset": name, **{f"k{k}": by_dataset[k][name] for k in budgets}}
        for name in by_dataset[budgets[0]]
    ]
    columns = [Column("dataset", "dataset"), *(Column(f"k{k}", f"k = {k}", 3) for k in budgets)]
    return Table(f"Validation {spec.metric} by dataset", rows, columns, index=("dataset",))


def _check_labels(labels: Labels, there: int) -> None:
    """Raises UserError for more labels than there are transitions."""
    if count_of(labels, there) > there:
        raise UserError(f"--labels={labels}: the train split has {there} transitions only")


if __name__ == "__main__":
    cli.run(main)

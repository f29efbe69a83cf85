"""Fits a translator from latent actions to true actions on a few labels, and saves it.

    python -m experiments.align_translator --checkpoint=runs/doom --labels=256 \\
        --workdir=runs/translator [--data=DIR] [--datasets=health_gathering_sticky]

One translator serves every prefix length: in training each example is null-filled at a random one.
It is fitted by the recipe of the evaluation and loaded with flexlam_jax.load_translator.
"""

if __name__ == "__main__":  # Before the imports, which take seconds.
    from experiments import process

    process.start()

import dataclasses

import jax
import numpy as np
from absl import flags

from experiments import cli, lam_inputs
from experiments.progress_bar import progress
from flexlam_jax import load_translator, output_folder
from flexlam_jax.checkpoints.write import save_model
from flexlam_jax.errors import CheckpointError, UserError
from flexlam_jax.evaluation import probes, translator_fit
from flexlam_jax.evaluation.collect import collect
from flexlam_jax.evaluation.lam.fields import FIELDS
from flexlam_jax.loading.translator import TranslatorConfig, translator_config
from flexlam_jax.reports.results import plain

_CHECKPOINT, _STEP, _DATA, _DATASETS = lam_inputs.define_inputs()
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder to write the translator to.")
_LABELS = flags.DEFINE_string(
    "labels", "256", "How many labelled train transitions to use, or all."
)
_SEED = lam_inputs.define_seed("Seed of the label draw and the fit.")
flags.mark_flag_as_required("workdir")


def main(argv):
    del argv
    workdir = output_folder.check(_WORKDIR.value, output_folder.TRANSLATOR)
    wanted = lam_inputs.whole_number(_LABELS.value)
    if _LABELS.value != "all" and not wanted:
        raise UserError(f"--labels={_LABELS.value} is neither a positive integer nor 'all'")
    datasets = lam_inputs.listed(_DATASETS)
    lams = lam_inputs.open_models(lam_inputs.text(_CHECKPOINT), [], _STEP.value)
    ((name, lam),) = lams.items()
    source = lam_inputs.open_source(lam, lam_inputs.text(_DATA), datasets)
    source.check_splits(["train", "validation"])
    action, no_actions = source.actions()
    if action is None:
        raise UserError(f"a translator needs labels, but {no_actions}")
    _check_labels(wanted, source.count("train"))
    request = {
        "labels": _LABELS.value,
        "seed": _SEED.value,
        "datasets": list(source.names),
        "gap": source.gap,
    }
    made_by = {"checkpoint": name, "step": lam.step, "fingerprint": lam.fingerprint()}
    with output_folder.Claim(workdir, output_folder.TRANSLATOR):
        if already_there(workdir, made_by, request):
            print(f"{workdir}: this translator is already there, nothing to do")
            return
        train, held_out = encode(lams, source)
        labels = wanted or len(train)
        _check_labels(labels, len(train))
        spec = translator_fit.ActionTarget.of(
            train["action"], action.count if action.kind == "discrete" else None
        )
        variables, scores = fit(lam, train, held_out, labels, spec)
        config = TranslatorConfig(
            discrete=spec.discrete,
            outputs=spec.size,
            hidden=translator_fit.TRANSLATOR.hidden,
            slots=lam.slots,
            slot_width=lam.slot_width,
            action_names=tuple(action.names),
            budgets=tuple(lam.budgets),
            lam=made_by,
            data={**request, "labels_used": labels, "validation": scores},
        )
        save_model(workdir, output_folder.TRANSLATOR, variables, dataclasses.asdict(config))
    print(
        f"{workdir}: translator fitted on {labels} labels, load it with flexlam_jax.load_translator"
    )


def already_there(workdir, made_by: dict, request: dict) -> bool:
    """Whether the folder holds the translator that is asked for, as it was written.

    Raises:
      UserError: it holds another one, or one whose config cannot be read.
    """
    existing = translator_config(workdir)
    if existing is None:
        return False
    if existing.lam != made_by or any(existing.data.get(key) != request[key] for key in request):
        raise UserError(
            f"{workdir} holds a translator made with other settings; give another --workdir"
        )
    try:
        load_translator(workdir)
    except CheckpointError as damage:
        print(f"fitted again: {damage}")
        return False
    return True


def encode(lams: dict, source: lam_inputs.Source) -> list:
    """Codes and actions of the train and the validation split."""
    return [
        collect(
            lams,
            source.batches(split, actions=True),
            {name: FIELDS[name] for name in ("codes", "action")},
            name=f"the {split} split",
            tick=progress(f"encode {split}", source.count(split)),
        ).of(next(iter(lams)))
        for split in ("train", "validation")
    ]


def fit(lam, train, held_out, labels: int, spec: translator_fit.ActionTarget):
    """(variables of the translator, its validation score at every prefix length)."""
    features = {
        split: np.stack(
            [probes.null_filled(data["codes"]["slots"], k, lam.null) for k in lam.budgets]
        )
        for split, data in (("train", train), ("validation", held_out))
    }
    variables = translator_fit.fit(
        features["train"],
        train["action"],
        probes.label_draws(len(train), 1, _SEED.value),
        labels,
        spec,
        seed=_SEED.value,
    )
    scores = {}
    for k, rows in zip(lam.budgets, features["validation"], strict=True):
        outputs = np.asarray(translator_fit.predict(variables, rows, spec))
        score = probes.score(outputs, train["action"], held_out["action"], held_out.episode, spec)
        scores[str(k)] = plain(score)
        print(
            f"k = {k:2d}: validation {score.unit} {score.mean:.3f} "
            f"[{score.low:.3f}, {score.high:.3f}]"
        )
    return jax.tree.map(lambda leaf: leaf[0], variables), scores


def _check_labels(labels: int | None, there: int) -> None:
    """Raises UserError for more labels than there are transitions."""
    if labels and labels > there:
        raise UserError(f"--labels={labels}: the train split has {there} transitions only")


if __name__ == "__main__":
    cli.run(main)

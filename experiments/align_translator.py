"""Fits a translator from latent actions to true actions on a few labels, and saves it.

    python -m experiments.align_translator --checkpoint=runs/doom --labels=256 \\
        --workdir=runs/translator [--data=DIR] [--datasets=health_gathering_sticky]

One translator serves every prefix length: in training each example is null-filled at a random one.
It is fitted by the recipe of the evaluation and loaded with flexlam_jax.load_translator.
"""

import jax
import numpy as np
from absl import flags

from experiments import cli, lam_inputs
from experiments.progress import progress
from flexlam_jax.errors import UserError
from flexlam_jax.evaluation import probes, translator_fit
from flexlam_jax.evaluation.collect import collect
from flexlam_jax.translators import TranslatorConfig, read_config, save_translator

_CHECKPOINT = flags.DEFINE_string("checkpoint", None, "Work directory of the latent action model.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder to write the translator to.")
_LABELS = flags.DEFINE_string(
    "labels", "256", "How many labelled train transitions to use, or all."
)
_STEP = flags.DEFINE_integer("step", None, "Training step to load; default the newest.")
_DATA = flags.DEFINE_string("data", "", "Dataset folder; default the one the model was trained on.")
_DATASETS = flags.DEFINE_list(
    "datasets", [], "Datasets of the folder; default those of the training."
)
_SEED = flags.DEFINE_integer("seed", 0, "Seed of the label draw and the fit.")
flags.mark_flags_as_required(["checkpoint", "workdir"])


def main(argv):
    del argv
    if _LABELS.value != "all" and not (_LABELS.value.isdigit() and int(_LABELS.value)):
        raise UserError(f"--labels={_LABELS.value} is neither a positive integer nor 'all'")
    lams = lam_inputs.open_models(_CHECKPOINT.value, [], _STEP.value)
    ((name, lam),) = lams.items()
    source = lam_inputs.open_source(lam, _DATA.value, _DATASETS.value)
    action, no_actions = source.actions()
    if action is None:
        raise UserError(f"a translator needs labels, but {no_actions}")
    request = {
        "labels": _LABELS.value,
        "seed": _SEED.value,
        "datasets": list(source.names),
        "gap": source.gap,
    }
    made_by = {"checkpoint": name, "step": lam.step, "fingerprint": lam.fingerprint()}
    existing = read_config(_WORKDIR.value)
    if existing:
        if existing.lam != made_by or any(
            existing.data.get(key) != request[key] for key in request
        ):
            raise UserError(
                f"{_WORKDIR.value} holds a translator made with other settings; delete it or "
                "give another --workdir"
            )
        print(f"{_WORKDIR.value}: this translator is already there, nothing to do")
        return
    train, held_out = (
        collect(
            lams,
            source.batches(split, actions=True),
            actions=True,
            name=f"the {split} split",
            tick=progress(f"encode {split}", source.count(split)),
        )
        for split in ("train", "validation")
    )
    labels = len(train) if _LABELS.value == "all" else int(_LABELS.value)
    if labels > len(train):
        raise UserError(f"--labels={labels}: the train split has {len(train)} transitions only")
    spec = translator_fit.ActionSpec.of(
        train.action, action.count if action.kind == "discrete" else None
    )
    features = {
        split: np.stack([probes.null_filled(data.slots[name], k, lam.null) for k in lam.budgets])
        for split, data in (("train", train), ("validation", held_out))
    }
    variables = translator_fit.fit(
        features["train"],
        train.action,
        probes.label_draws(len(train), 1, _SEED.value),
        labels,
        spec,
        seed=_SEED.value,
    )
    scores = {}
    for k, rows in zip(lam.budgets, features["validation"]):
        outputs = np.asarray(translator_fit.predict(variables, rows, spec))
        scores[str(k)] = probes.score(
            outputs, train.action, held_out.action, held_out.episode, spec
        )
        print(
            f"k = {k:2d}: validation {scores[str(k)]['unit']} {scores[str(k)]['mean']:.3f} "
            f"[{scores[str(k)]['low']:.3f}, {scores[str(k)]['high']:.3f}]"
        )
    save_translator(
        _WORKDIR.value,
        jax.tree.map(lambda leaf: leaf[0], variables),
        TranslatorConfig(
            discrete=spec.discrete,
            outputs=spec.size,
            hidden=translator_fit.TRANSLATOR.hidden,
            slots=lam.slots,
            slot_width=lam.slot_width,
            action_names=tuple(action.names),
            budgets=tuple(lam.budgets),
            lam=made_by,
            data={**request, "labels_used": labels, "validation": scores},
        ),
    )
    print(
        f"{_WORKDIR.value}: translator fitted on {labels} labels, "
        "load it with flexlam_jax.load_translator"
    )


if __name__ == "__main__":
    cli.run(main)

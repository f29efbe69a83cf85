"""Evaluates latent action models on held-out episodes and writes report.html and report.json.

    python -m experiments.evaluate_lam --checkpoint=runs/doom [--compare=fixed_k4=runs/fixed_k4] \\
        [--data=DIR] [--datasets=health_gathering_sticky] [--split=test] [--out=DIR]

Reconstruction and probes at every prefix length, beside the baselines that give them a meaning. The
report is one file without network access; the table on the terminal and the report are one dict,
and probes.csv holds its probes, a line per number.

Scarce labels: --label_counts takes numbers, all, and shares of all train transitions as 0.025%.
Narrow labels: --labels_from=deadly_corridor_sticky fits the probes on that dataset, and --datasets
are those they are measured on, each by itself and their mean. --inverse_model adds what
supervision alone reaches: a network on the pixels of both frames and all labels (a minute).

Rows that need no label, and a verdict, are always there; leakage, what the code tells of what the
agent does not control, where the data hold that ground truth (docs/exogenous/report.md). --leakage
insists on it, --noleakage leaves it out. --features=dino=FOLDER puts another encoder's features of
the two frames beside the code: a sidecar, aligned with frames or transitions.

--perceptual=alexnet.safetensors,lpips_alex.safetensors adds LPIPS to PSNR and SSIM
(docs/real_video/quality.md).
"""

if __name__ == "__main__":  # Before the imports, which take seconds.
    from experiments import process

    process.start()

import math

from absl import flags

from experiments import cli, lam_inputs, lam_report
from experiments.exogenous_truth import Truth, truth_of
from experiments.lam_clips import clips_of
from experiments.progress_bar import progress
from flexlam_jax import output_folder
from flexlam_jax.errors import UserError
from flexlam_jax.evaluation import inverse_model
from flexlam_jax.evaluation.labels import read_labels
from flexlam_jax.evaluation.lam import evaluation as lam_evaluation
from flexlam_jax.evaluation.lam import report_tables, report_verdict
from flexlam_jax.evaluation.lam.fields import FEATURES
from flexlam_jax.evaluation.lam.settings import Settings
from flexlam_jax.loading.perceptual import LoadedPerceptual, load_perceptual
from flexlam_jax.loading.vector_lam import NormalisedVectorLam
from flexlam_jax.reports.tables import as_text
from flexlam_jax.training.compilation import use_compilation_cache

_CHECKPOINT, _STEP, _DATA, _DATASETS = lam_inputs.define_inputs()
_COMPARE = flags.DEFINE_list(
    "compare",
    [],
    "Further models as NAME=WORKDIR, or NAME=WORKDIR@STEP, shown in the same tables and clips.",
)
_SPLIT = flags.DEFINE_string("split", "test", "Split to report.")
_OUT = flags.DEFINE_string("out", "", "Folder for the report; default WORKDIR/evaluation.")
_LABELS = flags.DEFINE_list("label_counts", ["64", "256", "1024", "all"], "Labels that probes get.")
_LABELS_FROM = flags.DEFINE_list(
    "labels_from", [], "Datasets that probes are fitted on; default those that are evaluated."
)
_INVERSE = flags.DEFINE_bool(
    "inverse_model", False, "Also fit a network to the pixels of both frames and all labels."
)
_BUDGETS = flags.DEFINE_list(
    "budgets", [], "Prefix lengths; default powers of two and the longest."
)
_DRAWS = flags.DEFINE_integer("draws", 5, "Label draws per probe.", lower_bound=1, upper_bound=1000)
_SEED = lam_inputs.define_seed("Seed of label draws, shuffles and the choice of pictures.")
_DECODE = flags.DEFINE_integer(
    "decode_limit", 1024, "Decode about this many transitions, evenly spaced.", lower_bound=2
)
_PICTURES = flags.DEFINE_integer(
    "pictures", 6, "Transitions in the picture grid.", lower_bound=1, upper_bound=1000
)
_CLIPS = flags.DEFINE_integer(
    "clips", 2, "Whole episodes to look at; 0 = none.", lower_bound=0, upper_bound=20
)
_LEAKAGE = flags.DEFINE_bool(
    "leakage",
    None,
    "Measure leakage, or stop and say what is missing for it; default where the data allow it.",
)
_FEATURES = flags.DEFINE_list(
    "features", [], "Features of other encoders as NAME=FOLDER of a sidecar, probed as the code is."
)
_PERCEPTUAL = flags.DEFINE_list(
    "perceptual",
    [],
    "Safetensors files of a network that compares pictures, and of its LPIPS weights.",
)
_CACHE = flags.DEFINE_string(
    "compilation_cache", "", "Folder that keeps compiled programs for the next call; default none."
)


def main(argv):
    del argv
    out = output_folder.check(
        lam_inputs.report_folder(_OUT, _CHECKPOINT.value, "evaluation"), output_folder.REPORT
    )
    label_counts = _label_counts()
    budgets = _numbers(_BUDGETS, 0)
    datasets, compare = lam_inputs.listed(_DATASETS), lam_inputs.listed(_COMPARE)
    labels_from = lam_inputs.listed(_LABELS_FROM)
    use_compilation_cache(_CACHE.value)
    lams = lam_inputs.open_models(lam_inputs.text(_CHECKPOINT), compare, _STEP.value)
    main_name, lam = next(iter(lams.items()))
    lam_inputs.check_budgets(budgets, lam, 0, main_name)
    perceptual = _perceptual(lam)
    source = lam_inputs.open_source(lam, lam_inputs.text(_DATA), datasets)
    labelled = source
    if labels_from:
        labelled = lam_inputs.open_source(lam, lam_inputs.text(_DATA), labels_from)
    action, no_actions = source.beside(labelled).actions()
    if labels_from and action is None:
        raise UserError(f"--labels_from: {no_actions}")
    truth, features = _truth(source, labelled), _features()
    if features and not (action or truth.exogenous_state):
        raise UserError(f"--features: nothing can be read from them, for {no_actions}")
    source.check_splits([_SPLIT.value])
    if action or truth.exogenous_state:
        labelled.check_splits(["train"])
    with output_folder.Claim(out, output_folder.REPORT):
        evaluation = evaluate(
            lams,
            source,
            labelled,
            tuple(budgets),
            tuple(label_counts),
            truth,
            features,
            perceptual,
        )
        report = evaluation.report
        lam_report.complete(report, main_name, lams)
        titles = {model["name"]: report_tables.title_of(model) for model in report["models"]}
        clips = clips_of(lams, source, _SPLIT.value, evaluation.stretches, budgets, titles)
        lam_report.write(out, report, evaluation.pictures, clips)
    for table in report_tables.all_tables(report):
        print(f"\n{as_text(table)}")
    told = [*report["summary"], *report_verdict.sentences(report), *report["notes"]]
    print("", *told, f"\n{out / 'report.html'}", sep="\n")


def evaluate(
    lams: dict,
    source: lam_inputs.Source,
    labelled: lam_inputs.Source,
    budgets: tuple,
    label_counts: tuple,
    truth: Truth,
    features: dict[str, str],
    perceptual: LoadedPerceptual | None,
):
    """What the library measures of the models on the source, by the flags."""
    action, no_actions = source.beside(labelled).actions()
    totals = {"encode train": labelled.count("train"), "encode test": source.count(_SPLIT.value)}
    beside = {
        "actions": action is not None,
        "state": bool(truth.exogenous_state),
        "sidecars": {f"{FEATURES}{name}": folder for name, folder in features.items()},
    }
    probed = action is not None or truth.exogenous_state
    evaluation = lam_evaluation.evaluate(
        lams,
        labelled.batches("train", **beside) if probed else None,
        source.batches(_SPLIT.value, **beside, views=truth.masks),
        Settings(
            budgets=budgets,
            label_counts=label_counts,
            draws=_DRAWS.value,
            seed=_SEED.value,
            pictures=_PICTURES.value,
            clips=_CLIPS.value,
            frames_every=max(1, round(totals["encode test"] / _DECODE.value)),
            num_actions=action.count if action and action.kind == "discrete" else None,
            action_names=tuple(action.names) if action else (),
            datasets=source.names,
            inverse_model=_INVERSE.value,
            fit_frames_every=math.ceil(totals["encode train"] / inverse_model.PAIRS) or 1,
            state_names=truth.state_names,
            exogenous_state=truth.exogenous_state,
            masks=truth.masks,
            encoders=tuple(features),
            perceptual=perceptual,
        ),
        no_actions=no_actions,
        no_leakage=truth.why,
        no_perceptual="no weights were given with --perceptual (docs/real_video/quality.md)",
        stage=lambda name, total: progress(name, total or totals.get(name)),
    )
    evaluation.report["data"] |= {
        "datasets": list(source.names),
        **({"labels_from": list(labelled.names)} if labelled is not source else {}),
        "split": _SPLIT.value,
        "gap": source.gap,
        "action_names": list(action.names) if action else [],
        **({"exogenous_state": list(truth.exogenous_state)} if truth.exogenous_state else {}),
    }
    return evaluation


def _truth(source: lam_inputs.Source, labelled: lam_inputs.Source) -> Truth:
    """What leakage is measured by, as --leakage says."""
    if _LEAKAGE.value is False:
        return Truth(why="--noleakage was given")
    truth = truth_of(source, labelled)
    if _LEAKAGE.value:
        truth.check_asked()
    return truth


def _perceptual(lam) -> LoadedPerceptual | None:
    """The network of --perceptual, for the frames of the model."""
    files = lam_inputs.listed(_PERCEPTUAL)
    if not files:
        return None
    if isinstance(lam, NormalisedVectorLam):
        raise UserError("--perceptual compares pictures, and this model reads vectors")
    perceptual = load_perceptual(files)
    perceptual.check(lam.frame_shape)
    return perceptual


def _features() -> dict[str, str]:
    """The items of --features, {name: folder}."""
    folders = {}
    for item in lam_inputs.listed(_FEATURES):
        name, equals, folder = item.partition("=")
        if not (name and equals and folder) or name in folders:
            raise UserError(f"--features item {item!r} is not NAME=FOLDER, with a name of its own")
        folders[name] = folder
    return folders


def _label_counts() -> list:
    """The values of --label_counts."""
    counts = []
    for text in lam_inputs.listed(_LABELS):
        try:
            counts.append(read_labels(text))
        except ValueError:
            raise UserError(
                f"--label_counts: {text!r} is not one of whole numbers from 1 or all, or shares "
                "as 0.5%"
            ) from None
    if len(set(counts)) < len(counts):
        raise UserError(f"--label_counts={','.join(_LABELS.value)} names a number more than once")
    return counts


def _numbers(flag: flags.FlagHolder, least: int) -> list:
    """Whole numbers of a list flag."""
    values = []
    for text in lam_inputs.listed(flag):
        number = lam_inputs.whole_number(text)
        if number is None or number < least:
            raise UserError(f"--{flag.name}: {text!r} is not one of whole numbers from {least}")
        values.append(number)
    if len(set(values)) < len(values):
        raise UserError(f"--{flag.name}={','.join(flag.value)} names a number more than once")
    return values


if __name__ == "__main__":
    cli.run(main)

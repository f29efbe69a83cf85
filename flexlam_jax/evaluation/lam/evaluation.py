"""The whole evaluation of latent action models: numbers as a tree, and pictures.

    evaluation = evaluate({"flexlam": lam, "fixed_k4": other}, train=…, test=…)
    evaluation.report, evaluation.pictures

The report's layout is documented at `evaluate`. Nothing here reads files or knows a dataset.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from flexlam_jax.evaluation.evaluator import (
    Batches,
    Data,
    Evaluator,
    Measured,
    Stage,
    gather,
    run,
    silent,
)
from flexlam_jax.evaluation.labels import count_of, name_of
from flexlam_jax.evaluation.lam.action_probes import (
    INVERSE_MODEL,
    PROBE_BASELINES,
    PROBES,
    target,
)
from flexlam_jax.evaluation.lam.carried import Targets
from flexlam_jax.evaluation.lam.clips import Stretch, chosen_stretches
from flexlam_jax.evaluation.lam.evaluators import EVALUATORS
from flexlam_jax.evaluation.lam.fields import FIELDS
from flexlam_jax.evaluation.lam.leakage import EXOGENOUS_REGION, LEAKAGE, LEAKAGE_BASELINES
from flexlam_jax.evaluation.lam.pictures import PICTURES
from flexlam_jax.evaluation.lam.reconstruction import are_vectors
from flexlam_jax.evaluation.lam.settings import Settings, usable_label_counts
from flexlam_jax.evaluation.lam.verdict import verdict
from flexlam_jax.reports.results import PictureGrid

SCHEMA = 1
VECTORS = (
    "The observations are vectors: PSNR is -10 log10 of the mean squared error in the model's units (0 "
    "dB: a column's deviation), SSIM and pictures are left out, and the rows that otherwise read pooled "
    "pixels read the vectors themselves."
)
# What the report has a place for; the results of other evaluators stand under `others`.
PLACED = (
    "reconstruction",
    "copy",
    "codes",
    "probes",
    "probe_baselines",
    "inverse_model",
    "pictures",
    "label_free",
    "leakage",
    "leakage_baselines",
    "exogenous_region",
)


@dataclasses.dataclass(frozen=True)
class Evaluation:
    report: dict
    pictures: PictureGrid
    stretches: Sequence[Stretch] = ()


def evaluate(
    lams: Mapping[str, Any],
    train: Batches | None,
    test: Batches,
    settings: Settings = Settings(),
    *,
    no_actions: str = "the data hold no actions",
    no_leakage: str = "the data do not tell what the agent does not control",
    no_perceptual: str = "no network that compares pictures was given",
    stage: Stage = silent,
) -> Evaluation:
    """Evaluates models side by side; the first one is the main one, whose pictures are shown.

    Args:
      lams: name -> loaded model, in the order of the tables.
      train: batches that probes are fitted on, or None to leave the probes out. Without actions,
        those of leakage are left.
      test: batches of the split that is reported (see `fields` for what they hold).
      settings: see `Settings`.
      no_actions: why there are no actions, told in the report where there are none.
      no_leakage: why no exogenous state is known, told in the verdict where none is.
      no_perceptual: why frames are compared by no network, told there too.
      stage: progress; called with a stage's name and number of ticks, returns its tick function.

    Returns:
      `pictures`; `stretches`, whole episodes for `clips.clip_of`, which needs frames that are not kept
      here; and `report`:
        schema     1
        models     [{name, step, slots, slot_width, codebook_size, bits_per_slot, quantizer,
                    encoder, decoder, keep, budgets,
                    reconstruction: [{k, psnr, gain, ssim, perceptual, delta_psnr}], see
                    reconstruction.py,
                    codes: [one dict per slot], see codes.py,
                    probes: [{k, probe, labels, labels_name, score}]}]
        baselines  {copy: {psnr, ssim, perceptual}, probes: [{name, labels, labels_name, score}]}
        metric     {name: "accuracy" or "R^2", discrete, size}, or None without actions
        perceptual {name, network, weighted, fingerprint} of what compared pictures, or no such key
        data       {test_transitions, test_episodes, decoded_transitions, train_transitions}
        settings, notes
        label_free {model: rows of label_free.py}
        leakage    {models: {model: rows}, baselines: rows, left_out: {column: why}, regions: {model:
                   rows}}, those that were measured, see leakage.py; without any, no such key
        verdict    see verdict.py
        others     {evaluator: {model: its results}}, if there are evaluators beside these
      With several datasets, rows of probes have `by_dataset` {dataset: Number, "mean": Number}.
      Every measured number is a `Number`; `results.plain` makes JSON of them. `labels` is an int,
      `labels_name` "all" where that is the whole train split.
    """
    evaluators = _asked(settings)
    data = gather(
        evaluators,
        lams,
        FIELDS,
        test,
        train,
        settings,
        every=settings.frames_every,
        fit_every=settings.fit_frames_every,
        stage=stage,
    )
    if not _labelled(data):
        evaluators = [
            one for one in evaluators if one not in (PROBES, PROBE_BASELINES, INVERSE_MODEL)
        ]
    measured = run(evaluators, lams, data)
    main = next(iter(lams))
    report = {
        "schema": SCHEMA,
        "models": [_model(name, lam, measured) for name, lam in lams.items()],
        "baselines": {
            "copy": measured["copy"][main],
            "probes": [
                *_rows(measured, "probe_baselines", main),
                *_rows(measured, "inverse_model", main),
            ],
        },
        "notes": _notes(data, no_actions),
        "metric": _metric(data),
        "data": _counts(data),
        "settings": settings.reported(),
        "label_free": {name: _rows(measured, "label_free", name) for name in lams},
    }
    if leakage := _leakage(measured, main, data):
        report["leakage"] = leakage
    if settings.perceptual:
        report["perceptual"] = settings.perceptual.described()
    compared = settings.perceptual or are_vectors(data.test["frames"])
    report["verdict"] = verdict(report, no_leakage, "" if compared else no_perceptual)
    if others := {name: of for name, of in measured.items() if _shown(name, of)}:
        report["others"] = others
    pictures: Any = measured["pictures"][main]
    return Evaluation(report, pictures, chosen_stretches(lams, data))


def _asked(settings: Settings) -> list[Evaluator]:
    """The evaluators that the settings ask for."""
    probed = bool(settings.exogenous_state or settings.encoders)
    optional = {
        INVERSE_MODEL.name: settings.inverse_model,
        LEAKAGE.name: probed,
        LEAKAGE_BASELINES.name: probed,
        EXOGENOUS_REGION.name: bool(settings.masks),
    }
    return [*(one for one in EVALUATORS.values() if optional.get(one.name, True)), PICTURES]


def _labelled(data: Data) -> bool:
    return data.train is not None and data.train["action"] is not None


def _leakage(measured: Measured, main: str, data: Data) -> dict[str, Any]:
    """What was measured of it."""
    found: dict[str, Any] = {}
    if "leakage" in measured:
        found["models"] = {name: list(one.rows) for name, one in measured["leakage"].items()}
        found["baselines"] = _rows(measured, "leakage_baselines", main)
        found["left_out"] = dict(Targets.of(data).left_out)
    if "exogenous_region" in measured:
        regions = measured["exogenous_region"]
        found["regions"] = {name: list(one.rows) for name, one in regions.items()}
    return found


def _shown(evaluator: str, by_model: Mapping[str, Any]) -> bool:
    """Whether results stand under `others`: there are some, and no place for them elsewhere."""
    return evaluator not in PLACED and any(by_model.values())


def _model(name: str, lam, measured: Measured) -> dict[str, Any]:
    """What a model is, and what was measured of it."""
    model = lam.config["model"]
    return {
        "name": name,
        "step": lam.step,
        "slots": lam.slots,
        "slot_width": lam.slot_width,
        "codebook_size": lam.codebook_size,
        "bits_per_slot": lam.bits_per_slot,
        "quantizer": model["quantizer"]["kind"],
        "encoder": model["encoder"]["kind"],
        "decoder": model["decoder"]["kind"],
        "keep": dict(model.get("keep", {"kind": "uniform"})),
        "budgets": [int(k) for k in lam.budgets],
        **{part: _rows(measured, part, name) for part in ("reconstruction", "codes", "probes")},
    }


def _rows(measured: Measured, evaluator: str, model: str) -> list[Mapping[str, Any]]:
    """The rows of an evaluator's table; none of one that was left out."""
    return list(measured[evaluator][model].rows) if evaluator in measured else []


def _metric(data: Data) -> dict[str, Any] | None:
    if not _labelled(data):
        return None
    spec = target(data)
    return {"name": spec.metric, "discrete": spec.discrete, "size": spec.size}


def _counts(data: Data) -> dict[str, int]:
    return {
        "test_transitions": len(data.test),
        "test_episodes": int(data.test.episode.max()) + 1,
        "decoded_transitions": len(data.test.rows),
        "train_transitions": 0 if data.train is None else len(data.train),
    }


def _notes(data: Data, no_actions: str) -> list[str]:
    """What a reader has to know of what was left out."""
    notes = [VECTORS] if are_vectors(data.test["frames"]) else []
    if not _labelled(data):
        return [*notes, f"No probes: {no_actions}."]
    asked, there = data.settings.label_counts, len(data.train)
    shares = [count for count in asked if isinstance(count, Fraction)]
    dropped = usable_label_counts(asked, there)[1]
    return [
        *notes,
        *(
            f"{name_of(share)} of {there} train transitions are {count_of(share, there)} labels."
            for share in shares
        ),
        *(
            f"{count} labels were asked for; the train split has {there} "
            "transitions, so this count is left out."
            for count in dropped
        ),
    ]

"""How well the true action is read from a prefix of k slots, by label count, and its baselines."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from flexlam_jax.evaluation import probes, translator_fit
from flexlam_jax.evaluation.evaluator import Data, Evaluator
from flexlam_jax.evaluation.inverse_model import fit_and_predict
from flexlam_jax.evaluation.lam.settings import chosen_budgets, usable_label_counts
from flexlam_jax.evaluation.prefixes import Prefixes
from flexlam_jax.evaluation.translator_fit import ActionTarget, Recipe
from flexlam_jax.reports.results import Column, Table

PIXEL_DRAWS = 3  # Label draws of the pixel baselines: hundreds of inputs, so their fits are slow.
Scores = dict[str, Any]  # {"score": Number} and, of several datasets, "by_dataset"
BASELINES = ("majority", "observation", "pixel_pair", "shuffled")
PROBES_OF = ("translator", "linear")


def action_probes(lam: Any, data: Data) -> Table:
    """Rows {k, probe, labels, labels_name, score}; `labels_name` is "all" for all there are.

    The translator is the one that experiments.align_translator ships: one for all prefix lengths
    that training drew. The linear probe is fitted to each k by itself.

    With several datasets a row also has `by_dataset`, {dataset: score, "mean": of these}.
    """
    budgets, counts = chosen_budgets(lam, data.settings.budgets), _counts(data)
    tick = data.stage("probe", len(budgets) * len(PROBES_OF) * len(counts))
    scores = {}
    for count, name, k, outputs in _outputs(lam, data, budgets, counts):
        scores[k, name, count] = scores_of(data, outputs)
        tick()
    rows = [
        {"k": int(k), "probe": name, **_labels(data, count), **scores[k, name, count]}
        for k in budgets
        for name in PROBES_OF
        for count in counts
    ]
    columns = [Column("k", "k"), Column("probe", "probe"), Column("labels_name", "labels")]
    columns += [Column("score", target(data).metric, 3)]
    return Table("Probes for the true action", rows, columns, index=("k", "probe", "labels"))


def _outputs(
    lam: Any, data: Data, budgets: Sequence[int], counts: Sequence[int]
) -> Iterator[tuple[int, str, int, np.ndarray]]:
    """(labels, probe, k, its outputs (L, N, size) of the measured split)."""
    settings, spec = data.settings, target(data)
    draws_LN = probes.label_draws(len(data.train), settings.draws, settings.seed)
    slots = jnp.asarray(data.train["codes"]["slots"], jnp.float32)  # On the device once.

    def fit(budgets: Sequence[int], count: int, recipe: Recipe) -> dict:
        features, actions = Prefixes.of(slots, budgets, lam.null), data.train["action"]
        return translator_fit.fit(
            features, actions, draws_LN, count, spec, recipe, seed=settings.seed
        )

    for count in counts:
        translator = fit(lam.budgets, count, translator_fit.TRANSLATOR)
        for k in budgets:
            test = prefix_features(lam, data.test, k)
            outputs = translator_fit.predict(translator, test, spec)
            yield count, "translator", k, np.asarray(outputs)
            linear = fit([k], count, translator_fit.LINEAR)
            outputs = translator_fit.predict(linear, test, spec, translator_fit.LINEAR)
            yield count, "linear", k, np.asarray(outputs)


def probe_baselines(lam: Any, data: Data) -> Table:
    """Rows {name, labels, labels_name, score} for every one of BASELINES, as those of
    `action_probes`; `lam` gives the latents that are shuffled."""
    counts = _counts(data)
    tick = data.stage("baselines", len(BASELINES) * len(counts))
    rows = []
    for name, score in _baselines(lam, data):
        for count in counts:
            rows.append({"name": name, **_labels(data, count), **score(count)})
            tick()
    columns = [Column("name", "baseline"), Column("labels_name", "labels")]
    columns += [Column("score", target(data).metric, 3)]
    return Table("Probes without latents", rows, columns, index=("name", "labels"))


def inverse_model(lam: Any, data: Data) -> Table:
    """One row as those of `probe_baselines`: a network on the pixels of both frames, all labels.

    Measured on the decoded transitions.
    """
    del lam
    tick = data.stage("inverse model", 1)
    train, test = data.train, data.test
    outputs = fit_and_predict(
        train["frames"],
        train["action"][train.rows],
        test["frames"],
        target(data),
        data.settings.seed,
    )
    tick()
    row = {
        "name": "inverse_model",
        **_labels(data, len(train)),
        **scores_of(data, outputs, test.rows),
    }
    columns = [Column("name", "baseline"), Column("score", target(data).metric, 3)]
    return Table("Inverse model of the pixels", [row], columns, index=("name", "labels"))


def target(data: Data) -> ActionTarget:
    """What the probes predict, read off the actions of both splits."""
    actions = np.concatenate([data.train["action"], data.test["action"]])
    return ActionTarget.of(actions, data.settings.num_actions)


def prefix_features(lam: Any, split: Any, k: int) -> np.ndarray:
    """Null-filled codes (N, K * D) of a split."""
    return probes.null_filled(split["codes"]["slots"], k, lam.null)


def _baselines(lam, data: Data) -> Iterator[tuple[str, Callable[[int], Scores]]]:
    """(name, label count -> scores) of every baseline."""
    train, test = data.train, data.test
    outputs = probes.constant_outputs(train["action"], len(test), target(data))
    constant = scores_of(data, outputs)
    yield "majority", lambda count: constant

    probe = _prober(data)

    def fitted(features: list[Any], draws: int | None = None) -> Callable[[int], Scores]:
        return lambda count: probe(*features, count, draws)

    pixels = [split["pixels"] for split in (train, test)]
    yield "observation", fitted([one["o_t"] for one in pixels], PIXEL_DRAWS)
    pairs = [np.concatenate([one["o_t"], one["o_next"]], 1) for one in pixels]
    yield "pixel_pair", fitted(pairs, PIXEL_DRAWS)
    k = chosen_budgets(lam, data.settings.budgets)[-1]
    longest = [prefix_features(lam, split, k) for split in (train, test)]
    seed = data.settings.seed
    yield "shuffled", fitted([rows[probes.shuffled_rows(len(rows), seed)] for rows in longest])


def scores_of(data: Data, outputs_LN: np.ndarray, rows: Any = slice(None)) -> Scores:
    """{"score": …} of the outputs for these rows of the measured split, and `by_dataset`."""
    test, names = data.test, data.settings.datasets
    against = data.train["action"], test["action"][rows], test.episode[rows], target(data)
    scores: Scores = {"score": probes.score(outputs_LN, *against)}
    if len(names) > 1:
        dataset_N = test.dataset[rows]
        there = [number for number in range(len(names)) if (dataset_N == number).any()]
        scores["by_dataset"] = probes.scores_by_dataset(
            outputs_LN,
            *against,
            np.searchsorted(there, dataset_N),
            [names[number] for number in there],
        )
    return scores


def _prober(data: Data) -> Callable[..., Scores]:
    """(train and test features, label count, most label draws) -> scores."""
    settings, spec = data.settings, target(data)
    draws_LN = probes.label_draws(len(data.train), settings.draws, settings.seed)

    def probe(train, test, count: int, draws: int | None = None) -> Scores:
        outputs = probes.probe(
            train,
            data.train["action"],
            test,
            labels=count,
            draws_LN=draws_LN[:draws],
            spec=spec,
            seed=settings.seed,
        )
        return scores_of(data, outputs)

    return probe


def _counts(data: Data) -> list[int]:
    return usable_label_counts(data.settings.label_counts, len(data.train))[0]


def _labels(data: Data, count: int) -> dict[str, Any]:
    name = "all" if count == len(data.train) else str(count)
    return {"labels": int(count), "labels_name": name}


PROBES = Evaluator("probes", action_probes, reads=("codes", "action"), fits=("codes", "action"))
PROBE_BASELINES = Evaluator(
    "probe_baselines",
    probe_baselines,
    reads=("codes", "pixels", "action"),
    fits=("codes", "pixels", "action"),
    once=True,
)
INVERSE_MODEL = Evaluator(
    "inverse_model",
    inverse_model,
    reads=("frames", "action"),
    fits=("frames", "action"),
    once=True,
)

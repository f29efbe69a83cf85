"""The whole evaluation of latent action models: numbers as a JSON-able dict, and pictures.

    evaluation = evaluate({"flexlam": lam, "fixed_k4": other}, train=…, test=…, num_actions=5)
    evaluation.report, evaluation.pictures

The report's layout is documented at `evaluate`. Nothing here reads files or knows a dataset.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from flexlam_jax.evaluation import codes, probes, translator_fit
from flexlam_jax.evaluation.lam import reconstruction
from flexlam_jax.evaluation.lam.collect import Split, collect
from flexlam_jax.evaluation.translator_fit import ActionSpec

SCHEMA = 1
ALL = None  # as a label count: every train transition
PIXEL_DRAWS = (
    3  # label draws of the pixel baselines: hundreds of inputs, so their fits are the slow ones
)
RECIPES = {"translator": translator_fit.TRANSLATOR, "linear": translator_fit.LINEAR}


@dataclasses.dataclass(frozen=True)
class Settings:
    """What to measure.

    Attributes:
      budgets: prefix lengths k; () = powers of two up to K. Lengths that a model's training never
        drew are left out for that model.
      label_counts: labels per probe; None = all of the train split.
      draws: label draws (and probe seeds) per label count.
      seed: of label draws, shuffles and the choice of pictures.
      frames_every: decode every n-th test transition (all are encoded and probed).
      pictures: rows of the picture grid.
    """

    budgets: tuple[int, ...] = ()
    label_counts: tuple[int | None, ...] = (64, 256, 1024, ALL)
    draws: int = 5
    seed: int = 0
    frames_every: int = 1
    pictures: int = 6


@dataclasses.dataclass(frozen=True)
class Pictures:
    """Transitions to look at: uint8 (P, H, W, C), and per prefix length k float32 predictions."""

    o_t: np.ndarray
    o_next: np.ndarray
    predictions: Mapping[int, np.ndarray]
    actions: np.ndarray | None


@dataclasses.dataclass(frozen=True)
class Evaluation:
    report: dict
    pictures: Pictures


def evaluate(
    lams: Mapping[str, object],
    train: Iterable | None,
    test: Iterable,
    settings: Settings = Settings(),
    *,
    num_actions: int | None = None,
    no_actions: str = "the data hold no actions",
    stage: Callable[[str, int | None], Callable] = lambda name, total: lambda *n: None,
) -> Evaluation:
    """Evaluates models side by side; the first one is the main one, whose pictures are shown.

    Args:
      lams: name -> loaded model, in the order of the tables.
      train: batches with actions that probes are fitted on, or None to leave the probes out.
      test: batches of the split that is reported (see `collect.collect` for their fields).
      settings: see `Settings`.
      num_actions: size of a discrete action set; None reads it off the data.
      no_actions: why the probes are left out, told in the report when `train` is None.
      stage: progress; called with a stage's name and number of ticks, returns its tick function.

    Returns:
      `pictures`, and `report`:
        schema     1
        models     [{name, step, slots, slot_width, codebook_size, bits_per_slot, quantizer,
                    encoder, decoder, keep, budgets,
                    reconstruction: [{k, psnr, gain, ssim, delta_psnr}], see reconstruction.py,
                    codes: [one dict per slot], see codes.py,
                    probes: [{k, probe, labels, labels_name, score}]}]
        baselines  {copy: {psnr, ssim}, probes: [{name, labels, labels_name, score}]}
        metric     {name: "accuracy" or "R^2", discrete, size}, or None without actions
        data       {test_transitions, test_episodes, decoded_transitions, train_transitions}
        settings, notes
      Every measured number is {mean, low, high, n, unit, over}, see intervals.py. `labels` is an
      int, `labels_name` "all" where that is the whole train split.
    """
    actions, notes = train is not None, []
    train_split = None
    if actions:
        train_split = collect(
            lams, train, actions=True, name="the train split", tick=stage("encode train", None)
        )
    test_split = collect(
        lams,
        test,
        actions=actions,
        frames_every=settings.frames_every,
        name="the evaluated split",
        tick=stage("encode test", None),
    )
    o_t, o_next = test_split.frames[:, 0], test_split.frames[:, 1]
    frame_episodes = test_split.episode[test_split.rows]
    budgets = {name: chosen_budgets(lam, settings.budgets) for name, lam in lams.items()}

    tick = stage("decode", 2 * sum(map(len, budgets.values())))
    models = [_describe(name, lam) for name, lam in lams.items()]
    for model, (name, lam) in zip(models, lams.items()):
        model["reconstruction"] = reconstruction.reconstruct(
            lam,
            o_t,
            o_next,
            test_split.slots[name][test_split.rows],
            frame_episodes,
            budgets[name],
            seed=settings.seed,
            tick=tick,
        )
        model["codes"] = code_usage(
            lam, test_split.slots[name], test_split.ids[name], test_split.episode
        )
        model["probes"] = []
    baselines = {"copy": reconstruction.copy_baseline(o_t, o_next, frame_episodes), "probes": []}
    spec = None
    if actions:
        spec = ActionSpec.of(np.concatenate([train_split.action, test_split.action]), num_actions)
        counts, dropped = usable_label_counts(settings.label_counts, len(train_split))
        notes += [
            f"{count} labels were asked for; the train split has {len(train_split)} "
            "transitions, so this count is left out."
            for count in dropped
        ]
        _run_probes(
            models, baselines, lams, train_split, test_split, budgets, counts, spec, settings, stage
        )
    else:
        notes.append(f"No probes: {no_actions}.")
    report = {
        "schema": SCHEMA,
        "models": models,
        "baselines": baselines,
        "notes": notes,
        "metric": spec
        and {
            "name": "accuracy" if spec.discrete else "R^2",
            "discrete": spec.discrete,
            "size": spec.size,
        },
        "data": {
            "test_transitions": len(test_split),
            "test_episodes": int(test_split.episode.max()) + 1,
            "decoded_transitions": len(test_split.rows),
            "train_transitions": len(train_split) if actions else 0,
        },
        "settings": dataclasses.asdict(settings),
    }
    main = next(iter(lams))
    return Evaluation(
        report, choose_pictures(lams[main], test_split, test_split.slots[main], settings)
    )


def chosen_budgets(lam, asked: Sequence[int]) -> tuple[int, ...]:
    """The prefix lengths to evaluate a model at: those asked for that its training drew.

    With none asked for: powers of two and the longest. A model none of whose lengths was asked for
    (a Fixed-K baseline) is shown at its own longest.
    """
    trained = tuple(lam.budgets)
    if asked:
        outside = [k for k in asked if not 0 <= k <= lam.slots]
        chosen = [k for k in asked if k in trained]
        if outside and len(trained) > 1:
            raise ValueError(f"budgets {outside} are outside 0..{lam.slots}, this model's slots")
    else:
        chosen = [k for k in trained if k in (0, trained[-1]) or k & (k - 1) == 0]
    return tuple(sorted(set(chosen))) or trained[-1:]


def usable_label_counts(
    counts: Sequence[int | None], available: int
) -> tuple[list[int], list[int]]:
    """(counts that the train split can serve, ascending, ALL last; counts it cannot)."""
    numbers = sorted({count for count in counts if count is not None})
    usable = [count for count in numbers if count < available]
    dropped = [count for count in numbers if count > available]
    if ALL in counts or available in numbers:
        usable.append(available)
    return usable, dropped


def code_usage(lam, slots_NKD, ids_NK, episode_N) -> list[dict]:
    """Per-slot statistics of the slots that training ever used."""
    used = max(lam.budgets)
    if ids_NK is None:
        return codes.continuous_usage(slots_NKD[:, :used], episode_N)
    return codes.discrete_usage(ids_NK[:, :used], lam.codebook_size, episode_N)


def choose_pictures(lam, split: Split, slots_NKD, settings: Settings) -> Pictures:
    """Random transitions from the half in which most changes, decoded at every trained length."""
    o_t, o_next = split.frames[:, 0], split.frames[:, 1]
    change = np.abs(o_t.astype(np.int16) - o_next).mean((1, 2, 3))
    lively = np.flatnonzero(change >= np.median(change))
    rng = np.random.default_rng([settings.seed, 11])
    chosen = np.sort(rng.choice(lively, min(settings.pictures, len(lively)), replace=False))
    rows = split.rows[chosen]
    predictions = {
        int(k): np.asarray(lam.decode(o_t[chosen], lam.null_fill(slots_NKD[rows], k)))
        for k in lam.budgets
    }
    return Pictures(
        o_t[chosen],
        o_next[chosen],
        predictions,
        None if split.action is None else split.action[rows],
    )


def _describe(name: str, lam) -> dict:
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
    }


def _run_probes(
    models, baselines, lams, train: Split, test: Split, budgets, counts, spec, settings, stage
) -> None:
    """Fills in `probes` of every model and of the baselines."""
    draws = probes.label_draws(len(train), settings.draws, settings.seed)
    tick = stage("probe", len(counts) * (2 * sum(map(len, budgets.values())) + 4))

    def entry(count):
        return {"labels": int(count), "labels_name": "all" if count == len(train) else str(count)}

    def run(train_features, test_features, count, recipe, draws_LN=draws):
        result = probes.probe(
            train_features,
            train.action,
            test_features,
            test.action,
            test.episode,
            labels=count,
            draws_LN=draws_LN,
            spec=spec,
            recipe=recipe,
            seed=settings.seed,
        )
        tick()
        return result

    for model, (name, lam) in zip(models, lams.items()):
        for k in budgets[name]:
            features = [
                probes.null_filled(split.slots[name], k, lam.null) for split in (train, test)
            ]
            model["probes"] += [
                {
                    "k": int(k),
                    "probe": probe,
                    **entry(count),
                    "score": run(*features, count, recipe),
                }
                for probe, recipe in RECIPES.items()
                for count in counts
            ]
    main, lam = next(iter(lams.items()))
    longest = budgets[main][-1]
    shuffled = [
        probes.null_filled(split.slots[main], longest, lam.null)[
            probes.shuffled_rows(len(split), settings.seed)
        ]
        for split in (train, test)
    ]
    inputs = {
        "observation": (train.pixels, test.pixels),
        "pixel_pair": (
            np.concatenate([train.pixels, train.next_pixels], 1),
            np.concatenate([test.pixels, test.next_pixels], 1),
        ),
        "shuffled": shuffled,
    }
    constant = probes.constant_baseline(train.action, test.action, test.episode, spec)
    for count in counts:
        baselines["probes"].append({"name": "majority", **entry(count), "score": constant})
        tick()
    for name, features in inputs.items():
        used = draws if name == "shuffled" else draws[:PIXEL_DRAWS]
        baselines["probes"] += [
            {
                "name": name,
                **entry(count),
                "score": run(*features, count, translator_fit.TRANSLATOR, used),
            }
            for count in counts
        ]

"""How much of what the agent does not control a code tells, beside what it tells of the agent.

Dimension keys: N transitions, L probes, K slots, F features, H W image.
"""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from flexlam_jax.evaluation import probes, translator_fit
from flexlam_jax.evaluation.evaluator import Data, Evaluator
from flexlam_jax.evaluation.lam.action_probes import prefix_features
from flexlam_jax.evaluation.lam.carried import ACTION, Targets
from flexlam_jax.evaluation.lam.code_agreement import relative
from flexlam_jax.evaluation.lam.reconstruction import kept_transitions
from flexlam_jax.evaluation.lam.settings import chosen_budgets
from flexlam_jax.evaluation.translator_fit import ActionTarget
from flexlam_jax.reports.results import Column, Number, Table, used

Features = tuple[np.ndarray, np.ndarray]  # (N, F) of the train split, and of the measured one
# As the translator of the report's other probes, but for the most steps: many features are read here.
RECIPE = dataclasses.replace(translator_fit.TRANSLATOR, many_steps=1000)
DRAWS = 3  # probes of each set of features
WIDE, WIDE_DRAWS = 512, 1  # more features than that have fewer probes: theirs are slow
REGIONS = {"exogenous_mask": "exogenous", "agent_mask": "agent"}
COLUMNS = (
    Column("features", "features"),
    Column("accuracy", "action, accuracy", 3),
    Column("action_nmse", "action, NMSE", 3),
    Column("action", "action, R^2", 3),
    Column("endogenous", "endogenous change, R^2", 3),
    Column("exogenous", "exogenous change, R^2", 3),
    Column("exogenous_level", "exogenous state, R^2", 3),
    Column("exogenous_share", "exogenous share", 3),
)
CAPTION = (
    "Probes with all labels of the train split. R^2 is 1 - NMSE. Change: s_{t+1} - s_t of the columns "
    "of the state that the agent controls (endogenous) and does not (exogenous). Exogenous state: the "
    "latter at t + 1. Exogenous share: R^2 "
    "of the exogenous change over its sum with that of the endogenous one (of the action, where no "
    "endogenous state is known); none where hardly anything is read."
)

REGION_COLUMNS = (
    Column("k", "k"),
    Column("exogenous", "exogenous region", 3),
    Column("agent", "agent", 3),
    Column("rest", "rest", 3),
)
REGION_CAPTION = (
    "1 - squared error / that of copying o_t, in the pixels that show something the agent does not "
    "control, the agent, and neither. With a code of actions alone the first would be near 0: what is "
    "predictable without a code is in it too."
)


def leakage(lam: Any, data: Data) -> Table:
    """A row per prefix length (`k`) and per slot by itself (`slot`), of one model.

    Rows {features, k or slot, accuracy (discrete actions), action, action_nmse, endogenous,
    exogenous, exogenous_level, exogenous_share}; those that the data do not tell are left out.
    """
    wanted = {f"k = {k}": ("k", k) for k in chosen_budgets(lam, data.settings.budgets)}
    if lam.slots > 1:
        wanted |= {f"slot {j + 1} alone": ("slot", j + 1) for j in range(max(lam.budgets))}
    prober, tick = _Prober(data), data.stage("leakage", len(wanted))
    rows = []
    for name, (key, number) in wanted.items():
        of = _prefix(lam, number) if key == "k" else _slot(number - 1)
        rows.append({"features": name, key: number, **prober.scores(_of_both(data, of))})
        tick()
    return table("What the code carries", rows)


def leakage_baselines(lam: Any, data: Data) -> Table:
    """The same for what a code has to be better than; `lam` gives the codes that are shuffled.

    true action: what the action itself tells of what it does not cause, as where a policy reacts to
    it. shuffled codes: of other transitions. observation: pooled pixels of o_t. pixel pair: of both
    frames. features NAME: of both frames by another encoder, where supplied.
    """
    prober = _Prober(data)
    named = list(_baselines(lam, data, prober))
    tick, rows = data.stage("leakage baselines", len(named)), []
    for name, features in named:
        rows.append({"features": name, **prober.scores(features)})
        tick()
    return table("What others carry", rows)


def regions(lam: Any, data: Data) -> Table:
    """Reconstruction error by prefix length, inside and outside of masks, against copying o_t.

    Rows {k, exogenous, agent, rest}: 1 - squared error / that of copying, over the pixels that the
    mask of either frame shows: 0, as if o_t had been copied; 1, predicted exactly. `rest` is what no
    mask shows. A region in which nothing changes is left out.
    """
    o_t, o_next, episode = kept_transitions(data)
    masks = {REGIONS[name]: mask for name, mask in data.test["masks"].items()}
    inside = {**masks, "rest": ~np.logical_or.reduce(list(masks.values()))}
    slots = data.test["codes"]["slots"][data.test.rows]
    copied = _by_pixel(o_t.astype(np.float32) / 255, o_next)
    budgets = chosen_budgets(lam, data.settings.budgets)
    tick, rows = data.stage("regions", len(budgets)), []
    for k in budgets:
        error = _by_pixel(np.asarray(lam.decode(o_t, lam.null_fill(slots, k))), o_next)
        rows.append({"k": int(k), **_explained(error, copied, inside, episode)})
        tick()
    columns = used(REGION_COLUMNS, rows)
    return Table("What is reconstructed where", rows, columns, index=("k",), caption=REGION_CAPTION)


def table(title: str, rows: list[dict[str, Any]]) -> Table:
    """Rows of leakage, with the columns that some row has."""
    return Table(title, rows, used(COLUMNS, rows), index=("features",), caption=CAPTION)


class _Prober:
    """Fits the probes of one set of features after another."""

    def __init__(self, data: Data):
        self.data, self.targets = data, Targets.of(data)
        self._spec = ActionTarget(False, self.targets.train.shape[1])
        action = data.train["action"]
        self._classes = None
        if action is not None and np.issubdtype(action.dtype, np.integer):
            both = np.concatenate([action, data.test["action"]])
            self._classes = ActionTarget.of(both, data.settings.num_actions)

    def scores(self, features: Features) -> dict[str, Number]:
        """Of all targets at once, and the accuracy of a discrete action."""
        data, found = self.data, {}
        if self._classes is not None:
            outputs = self._fitted(features, data.train["action"], self._classes)
            actions = data.train["action"], data.test["action"], data.test.episode
            found["accuracy"] = probes.score(outputs, *actions, self._classes)
        outputs = self._fitted(features, self.targets.train, self._spec)
        found |= self.targets.scores(outputs, data.test.episode)
        if ACTION in found:
            found["action_nmse"] = _one_minus(found[ACTION])
        return found

    def _fitted(self, features: Features, wanted: np.ndarray, spec: ActionTarget) -> np.ndarray:
        train, settings = self.data.train, self.data.settings
        draws = min(settings.draws, WIDE_DRAWS if features[0].shape[1] > WIDE else DRAWS)
        return probes.probe(
            features[0],
            wanted,
            features[1],
            labels=len(train),
            draws_LN=probes.label_draws(len(train), draws, settings.seed),
            spec=spec,
            recipe=RECIPE,
            seed=settings.seed,
        )


def _baselines(lam: Any, data: Data, prober: _Prober) -> Iterator[tuple[str, Features]]:
    if (columns := prober.targets.columns.get(ACTION)) is not None:
        yield "true action", (prober.targets.train[:, columns], prober.targets.test[:, columns])
    longest = _prefix(lam, chosen_budgets(lam, data.settings.budgets)[-1])
    seed = data.settings.seed
    yield (
        "shuffled codes",
        _of_both(data, lambda split: longest(split)[probes.shuffled_rows(len(split), seed)]),
    )
    yield "observation", _of_both(data, lambda split: split["pixels"]["o_t"])
    yield "pixel pair", _of_both(data, lambda split: np.concatenate([*split["pixels"].values()], 1))
    for name in data.settings.encoders:
        yield f"features {name}", _of_both(data, _encoder(name))


def _of_both(data: Data, of: Callable[[Any], np.ndarray]) -> Features:
    """The features of the train split, and of the measured one."""
    return of(data.train), of(data.test)


def _prefix(lam: Any, k: int) -> Callable[[Any], np.ndarray]:
    return lambda split: prefix_features(lam, split, k)


def _slot(slot: int) -> Callable[[Any], np.ndarray]:
    return lambda split: np.asarray(split["codes"]["slots"])[:, slot]


def _encoder(name: str) -> Callable[[Any], np.ndarray]:
    return lambda split: split["features"][name]


def _one_minus(number: Number) -> Number:
    return Number(1 - number.mean, 1 - number.high, 1 - number.low, number.n, "NMSE", number.over)


def _by_pixel(prediction_NHWC: np.ndarray, target_NHWC: np.ndarray) -> np.ndarray:
    """Squared error (N, H, W), the mean of the channels, on the [0, 1] scale."""
    return np.square(prediction_NHWC - target_NHWC.astype(np.float32) / 255).mean(-1)


def _explained(error_NHW, copied_NHW, inside, episode_N) -> dict[str, Number]:
    found = {}
    for name, mask in inside.items():
        error, copied = ((one * mask).sum((1, 2)) for one in (error_NHW, copied_NHW))
        if copied.any():
            found[name] = relative(error, copied, episode_N)
    return found


_FIELDS = ("codes", "action", "state")
_OTHERS = ("codes", "pixels", "action", "state", "features")
LEAKAGE = Evaluator("leakage", leakage, reads=_FIELDS, fits=_FIELDS)
LEAKAGE_BASELINES = Evaluator(
    "leakage_baselines", leakage_baselines, reads=_OTHERS, fits=_OTHERS, once=True
)
EXOGENOUS_REGION = Evaluator("exogenous_region", regions, reads=("codes", "frames", "masks"))

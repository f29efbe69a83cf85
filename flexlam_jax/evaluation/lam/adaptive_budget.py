"""Slots where they are needed: mean number of slots against reconstruction, beside fixed budgets.

Dimension keys: M transitions with frames, N budgets.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from flexlam_jax.evaluation import intervals
from flexlam_jax.evaluation.evaluator import Data, Evaluator
from flexlam_jax.evaluation.image_metrics import psnr_from_mse
from flexlam_jax.evaluation.lam.reconstruction import (
    image_errors,
    kept_transitions,
    psnr_difference,
)
from flexlam_jax.evaluation.probes import shuffled_rows
from flexlam_jax.models.gain_head import LEAST_MSE, least_budget, shortfall
from flexlam_jax.reports.results import Column, Curve, Number, Results, Series, Table

TOLERANCES = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0)  # dB


def adaptive_budget(lam: Any, data: Data) -> Results:
    """{"table", "curve"} of a model with the head behind keep="auto" and several budgets to choose
    from; {} of others.

    Every way to choose k is scored on all kept transitions, by the PSNR of their mean squared error:
      fixed      the same k for all;
      auto       the least k within a tolerance by the head's prediction;
      true errors  the same rule with the errors that decoding every prefix finds: what a perfect
                 head would do, and what the head has left;
      shuffled   the k of auto, each for another transition: what mixing budgets alone gives.
    """
    if not lam.chooses or len(lam.budgets) == 1:
        return {}
    slots, (o_t, o_next, episode_M) = (
        data.test["codes"]["slots"][data.test.rows],
        kept_transitions(data),
    )
    tick = data.stage("decode every budget", len(lam.budgets))
    errors = []
    for k in lam.budgets:
        errors.append(image_errors(lam.decode(o_t, lam.null_fill(slots, k)), o_next)["mse"])
        tick()
    mse_MN = np.stack(errors, 1)
    lacking = {
        "auto": np.asarray(lam.shortfall(slots, o_t, o_next)),
        "true errors": shortfall(np.log(np.maximum(mse_MN, LEAST_MSE))),
    }
    partner = shuffled_rows(len(o_t), data.settings.seed)
    score = _Score(lam.budgets, mse_MN, episode_M)
    chosen = {
        (name, tolerance): least_budget(lacks, lam.budgets, tolerance)
        for name, lacks in lacking.items()
        for tolerance in TOLERANCES
    }
    found: dict[str, list[Mapping[str, Number]]] = {
        "fixed": [score(np.full(len(o_t), k, np.int32)) for k in lam.budgets],
        **{name: [score(chosen[name, one]) for one in TOLERANCES] for name in lacking},
        "shuffled": [score(chosen["auto", one][partner]) for one in TOLERANCES],
    }
    return {"table": _table(found), "curve": _curve(found)}


class _Score:
    """k of every transition, int32 (M,) -> {slots, share, psnr, lacks}."""

    def __init__(self, budgets, mse_MN, episode_M):
        self._budgets, self._mse, self._episode = np.asarray(budgets), mse_MN, episode_M

    def __call__(self, keep_M: np.ndarray) -> dict[str, Number]:
        column = np.searchsorted(self._budgets, keep_M)
        mse_M = np.take_along_axis(self._mse, column[:, None], 1)[:, 0]
        return {
            "slots": self._mean(keep_M, "slots"),
            "share": self._mean(100 * keep_M / self._budgets[-1], "%"),
            "psnr": intervals.over_episodes(
                {"mse": mse_M},
                self._episode,
                lambda sums: psnr_from_mse(sums["mse"] / sums["count"]),
                unit="dB",
            ),
            "lacks": psnr_difference(self._mse[:, -1], mse_M, self._episode),
        }

    def _mean(self, values_M, unit):
        return intervals.over_episodes(
            {"x": values_M}, self._episode, lambda sums: sums["x"] / sums["count"], unit=unit
        )


def _table(found) -> Table:
    rows = [
        {
            "tolerance": tolerance,
            **own,
            "true_share": true["share"],
            "true_lacks": true["lacks"],
            "shuffled_lacks": shuffled["lacks"],
        }
        for tolerance, own, true, shuffled in zip(
            TOLERANCES, found["auto"], found["true errors"], found["shuffled"], strict=True
        )
    ]
    columns = [
        Column("tolerance", "tolerance dB"),
        Column("slots", "mean slots"),
        Column("share", "% of full", 1),
        Column("psnr", "PSNR dB"),
        Column("lacks", "below full dB", 3),
        Column("shuffled_lacks", "shuffled, below full dB", 3),
        Column("true_share", "true errors, % of full", 1),
        Column("true_lacks", "true errors, below full dB", 3),
    ]
    return Table(
        "Slots where they are needed",
        rows,
        columns,
        index=("tolerance",),
        caption='k chosen per transition by keep="auto". Below full: PSNR of the mean squared error '
        "over all transitions, with all slots minus with those chosen. Shuffled: the same numbers of "
        "slots, each for another transition. True errors: the same rule, with every prefix decoded.",
    )


def _curve(found) -> Curve:
    series = [
        Series(name, [(one["slots"].mean, one["psnr"]) for one in _by_slots(scores)])
        for name, scores in found.items()
    ]
    return Curve(
        "PSNR by mean number of slots",
        series,
        x_label="mean slots kept",
        y_label="PSNR, dB",
        x_name="slots",
    )


def _by_slots(scores):
    """In order, one of each mean number of slots."""
    by_mean = {one["slots"].mean: one for one in scores}
    return [by_mean[mean] for mean in sorted(by_mean)]


ADAPTIVE_BUDGET = Evaluator("adaptive_budget", adaptive_budget, reads=("codes", "frames"))

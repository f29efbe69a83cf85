"""Trains every case with every seed, and measures it beside its closed form.

Dimension keys: O observation, W slots.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments.linear_lam.sweeps import Case
from flexlam_jax.linear.lam import Params, expected_loss
from flexlam_jax.linear.metrics import contents, subspace_angle, surrogate_code, true_code
from flexlam_jax.linear.objective import CROSS, OWN, Objective, View, view
from flexlam_jax.linear.optimum import Optimum, optimum
from flexlam_jax.linear.process import Process
from flexlam_jax.linear.training import Budget, Fit, train

Row = dict[str, Any]
GAP = 0.02  # Between gains, relative to the largest: below, no subspace is the best one.
_ZERO = 1e-3  # A least loss below this share of the loss without a code counts as 0.


@dataclasses.dataclass(frozen=True)
class Budgets:
    """How long fits of the expected loss are trained, and those on samples."""

    expected: Budget = Budget(steps=4000, learning_rate=0.05)
    sampled: Budget = Budget(steps=5000, batch=128, learning_rate=0.01)

    def told(self) -> str:
        one, other = self.expected, self.sampled
        return (
            f"Adam with a cosine schedule: {one.steps} steps on the expected loss from "
            f"{one.learning_rate:g}; sampled: {other.steps} of {other.batch} transitions from "
            f"{other.learning_rate:g}"
        )


def measure(cases: Sequence[Case], seeds: Sequence[int], budgets: Budgets) -> list[Row]:
    """A row per case, seed and prefix."""
    rows: dict[tuple[Case, int], list[Row]] = {}
    for sampled in (False, True):
        every = [(case, seed) for case in cases if case.sampled == sampled for seed in seeds]
        fits = [Fit(case.drawn(seed), case.objective, seed) for case, seed in every]
        trained = train(fits, budgets.sampled if sampled else budgets.expected)
        for key, one, params in zip(every, fits, trained, strict=True):
            rows[key] = _rows(*key, one.process, params)
    return [row for case in cases for seed in seeds for row in rows[case, seed]]


def _rows(case: Case, seed: int, process: Process, params: Params) -> list[Row]:
    """excess: of the trained loss over the least, as a share of it; of the loss without a code where
    the least is 0. angle: degrees, None where the best subspace is not unique. *_closed: the same of
    the closed form."""
    objective = case.objective
    best, seen = optimum(process, objective), view(process, objective)
    loss = expected_loss(params, process, objective)
    empty = _loss_without_code(best, objective)
    excess = (loss - best.loss) / (best.loss if best.loss > _ZERO * empty else empty)
    told = {"sweep": case.sweep, "arm": case.arm, "x": case.x, "seed": seed}
    told |= {"loss": loss, "minimum": best.loss, "excess": excess}
    return [
        {
            **told,
            "prefix": keep,
            "angle": _angle(params, best, seen, keep),
            **_contents(process, params, seen, keep, ""),
            **_contents(process, best.params, seen, keep, "_closed"),
        }
        for keep in case.prefixes
    ]


def _contents(process: Process, params: Params, seen: View, keep: int, end: str) -> Row:
    """Of the surrogate latent; llo_true and observation_true of the latent itself."""
    told = contents(process, surrogate_code(params, seen, keep, term=_term(seen)))
    true = contents(process, true_code(params, seen, keep))
    found = {"action": told.action, "exogenous": told.exogenous, "llo": told.llo}
    found |= {"observation_true": true.observation, "llo_true": true.llo}
    return {f"{name}{end}": value for name, value in found.items()}


def _term(seen: View) -> str:
    """Whose decoder is looked at."""
    return OWN if OWN in seen.targets else CROSS


def _loss_without_code(best: Optimum, objective: Objective) -> float:
    kept = np.cumsum(np.asarray(objective.chances)[::-1])[::-1]
    return float(best.loss + np.sum(kept[: len(best.gains)] * best.gains[: len(kept)]))


def _angle(params: Params, best: Optimum, seen: View, keep: int) -> float | None:
    gains = np.append(best.gains, 0.0)
    if gains[keep - 1] - gains[keep] < GAP * gains[0]:
        return None
    term = _term(seen)
    return subspace_angle(params[term]["slots"][:, :keep], best.params[term]["slots"][:, :keep])

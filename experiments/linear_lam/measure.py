"""Trains every case with every seed, and measures it beside its closed form.

Dimension keys: O observation, W slots.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments.linear_lam.sweeps import Case
from flexlam_jax.linear.lam import Params, expected_loss
from flexlam_jax.linear.metrics import (
    contents,
    innovation_code,
    said_of,
    subspace_angle,
    surrogate_code,
    true_code,
)
from flexlam_jax.linear.objective import CROSS, OWN, Objective, View, view
from flexlam_jax.linear.optimum import Optimum, optimum
from flexlam_jax.linear.process import Process
from flexlam_jax.linear.training import Fit, train

Row = dict[str, Any]
GAP = 0.02  # Between gains, relative to the largest: below, no subspace is the best one.
_ZERO = 1e-3  # A least loss below this share of the loss without a code counts as 0.


def measure(cases: Sequence[Case], seeds: Sequence[int]) -> list[Row]:
    """A row per case, seed and prefix."""
    rows: dict[tuple[Case, int], list[Row]] = {}
    for budget in dict.fromkeys(case.budget for case in cases):
        every = [(case, seed) for case in cases if case.budget == budget for seed in seeds]
        fits = [Fit(case.drawn(seed), case.objective, seed) for case, seed in every]
        for key, one, params in zip(every, fits, train(fits, budget), strict=True):
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
    told["sampled"] = case.budget.batch > 0
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
    """NMSE of a - E[a | o] and of the exogenous innovation by the code, without what C puts there; the
    LLO of the paper, of the surrogate latent; NMSE of o and LLO of the latent itself."""
    code = innovation_code(params, seen, keep, term=_term(seen))
    surrogate = contents(process, surrogate_code(params, seen, keep, term=_term(seen)))
    true = contents(process, true_code(params, seen, keep))
    found = {
        "action": said_of(process.action_innovation(), code),
        "exogenous": said_of(process.exogenous, code),
        "llo": surrogate.llo,
        "observation_true": true.observation,
        "llo_true": true.llo,
    }
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

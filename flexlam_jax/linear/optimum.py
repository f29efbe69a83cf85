"""The closed-form solution of an objective on a process, as parameters of the linear model."""

from typing import NamedTuple

import numpy as np

from flexlam_jax.linear.closed_forms import ReducedRank, reduced_rank_regression
from flexlam_jax.linear.lam import Params
from flexlam_jax.linear.objective import (
    CROSS,
    OWN,
    Objective,
    View,
    view,
    weights,
)
from flexlam_jax.linear.process import Process, covariance, regression, residual


class Optimum(NamedTuple):
    """loss: the least there is.   gains: of each slot, descending, and of those beyond.   params: that
    have this loss, slots ordered by their gain."""

    loss: float
    gains: np.ndarray
    params: Params


def optimum(process: Process, objective: Objective) -> Optimum:
    """The least loss over all A, B, C, D (and V, W), for one width or for all prefixes at once.

    All targets, times the roots of their weights and without what their decoders read, are regressed on
    the innovation of the encoder's next observation. See docs/exogenous/linear.md for the proof, which
    asks that partners share all that o tells of o' but noise.

    Raises: as `view`.
    """
    seen, weight = view(process, objective), weights(objective)
    encoder = _innovation(seen, objective)  # (W', O) each: x = encoder applied to (now, next)
    x = encoder[0] @ seen.now + encoder[1] @ seen.next
    for reads, _ in seen.targets.values():  # What a decoder reads, no slot need say.
        x = residual(x, reads)
    parts = {term: residual(target, reads) for term, (reads, target) in seen.targets.items()}
    stacked, apart = _stacked(parts, weight, objective.shared)
    y = np.concatenate(list(stacked.values()))
    most = min(len(y), len(x))
    found = reduced_rank_regression(
        covariance(y), covariance(y, x), covariance(x), min(objective.slots, most)
    )
    found = _padded(found, objective.slots)
    chances = np.cumsum(np.asarray(objective.chances)[::-1])[::-1]  # that slot j is kept
    loss = float(np.trace(covariance(y))) + apart - chances @ _gains(found, objective.slots)
    return Optimum(loss, found.gains, _params(found, encoder, seen, stacked, weight))


def _innovation(seen: View, objective: Objective) -> tuple[np.ndarray, np.ndarray]:
    """Maps of (now, next) to what is regressed on.

    With shifts, what the decoder reads does not tell what the encoder read: both inputs count.
    """
    size = len(seen.now)
    if objective.shift:
        same = np.eye(2 * size)
        return same[:, :size], same[:, size:]
    return -regression(seen.next, seen.now), np.eye(size)


def _stacked(
    parts: dict[str, np.ndarray], weight: dict[str, float], shared: bool
) -> tuple[dict[str, np.ndarray], float]:
    """(term -> target times the root of its weight, loss that no code can lower).

    One decoder for two targets predicts their mean, and pays for what they are apart.
    """
    apart = 0.0
    if shared:
        own, cross = weight[OWN], weight[CROSS]
        mean = (own * parts[OWN] + cross * parts[CROSS]) / (own + cross)
        difference = parts[OWN] - parts[CROSS]
        apart = own * cross / (own + cross) * float(np.sum(difference**2))
        parts = {name: of for name, of in parts.items() if name != CROSS} | {OWN: mean}
        weight = {name: of for name, of in weight.items() if name != CROSS} | {OWN: own + cross}
    return {name: np.sqrt(weight[name]) * parts[name] for name in weight}, apart


def _padded(found: ReducedRank, slots: int) -> ReducedRank:
    """With empty slots where there are more than dimensions."""
    missing = slots - len(found.encoder)
    return found._replace(
        decoder=np.pad(found.decoder, ((0, 0), (0, missing))),
        encoder=np.pad(found.encoder, ((0, missing), (0, 0))),
    )


def _gains(found: ReducedRank, slots: int) -> np.ndarray:
    gains = found.gains[:slots]
    return np.pad(gains, (0, slots - len(gains)))


def _params(
    found: ReducedRank,
    encoder: tuple[np.ndarray, np.ndarray],
    seen: View,
    stacked: dict[str, np.ndarray],
    weight: dict[str, float],
) -> Params:
    """With the best A beside every B."""
    C, D = (found.encoder @ of for of in encoder)
    z = C @ seen.now + D @ seen.next
    params: dict[str, dict[str, np.ndarray]] = {"encoder": {"now": C, "next": D}}
    first, shared = 0, CROSS in weight and CROSS not in stacked
    for term, of in stacked.items():
        root = np.sqrt(weight[term] + (weight[CROSS] if shared and term == OWN else 0))
        B = found.decoder[first : first + len(of)] / root
        first += len(of)
        reads, target = seen.targets[term]
        params[term] = {"now": regression(target - B @ z, reads), "slots": B}
    return params

"""The linear IDM and FDM: z = C o + D o', o^' = A o + B z, and a head a^ = V o + W z.

The same lines serve training (jax.numpy, samples) and measuring (NumPy, float64, exact): a batch of
the unit vectors of g times sqrt(N) has covariance I, and the mean over it is the expectation.

Dimension keys: T transitions, O observation, A action, W slots.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from flexlam_jax.linear.objective import CROSS, OWN, Objective, View, view, weights
from flexlam_jax.linear.process import Process

Params = Mapping[str, Mapping[str, Any]]
"""{"encoder": {"now": C, "next": D}, term: {"now": A, "slots": B}}; "own" decodes for "cross" too
where that is missing."""


def encode(params: Params, now: Any, following: Any) -> Any:
    """Slots (T, W) of observations (T, O)."""
    return now @ params["encoder"]["now"].T + following @ params["encoder"]["next"].T


def decode(params: Params, term: str, now: Any, slots: Any) -> Any:
    """What a term predicts, (T, O) or (T, A), from what it reads (T, O) and null-filled slots."""
    of = params[OWN] if term == CROSS and CROSS not in params else params[term]
    return now @ of["now"].T + slots @ of["slots"].T


def errors(params: Params, batch: Mapping[str, Any], kept: Any) -> dict[str, Any]:
    """Squared errors (T,) of every term.

    Args:
      batch: "now", "next" (T, O); "targets", term -> (what is read, what is predicted).
      kept: (T, W) or (W,), 1 for slots of the prefix, 0 for the others.
    """
    slots = encode(params, batch["now"], batch["next"]) * kept
    return {
        term: ((decode(params, term, reads, slots) - target) ** 2).sum(-1)
        for term, (reads, target) in batch["targets"].items()
    }


def exact_batch(seen: View) -> dict[str, Any]:
    """Rows whose mean is the expectation over the process; only for what is squared."""
    size = np.sqrt(seen.now.shape[1])
    targets = {name: (reads.T * size, of.T * size) for name, (reads, of) in seen.targets.items()}
    return {"now": seen.now.T * size, "next": seen.next.T * size, "targets": targets}


def prefix_errors(params: Params, process: Process, objective: Objective) -> dict[str, np.ndarray]:
    """term -> (W,): the expected squared error of each term with each prefix, exact."""
    batch = exact_batch(view(process, objective))
    found = [
        errors(params, batch, np.arange(objective.slots) < keep)
        for keep in range(1, objective.slots + 1)
    ]
    return {term: np.array([one[term].mean() for one in found]) for term in found[0]}


def expected_loss(params: Params, process: Process, objective: Objective) -> float:
    """The loss over the whole process and all prefixes: no sample, float64 (O(N) more work)."""
    of_prefix = prefix_errors(params, process, objective)
    weight = weights(objective)
    chances = np.asarray(objective.chances)
    return float(sum(weight[term] * (chances @ of_prefix[term]) for term in weight))

"""Mean and spread of the columns of a state, put together from parts in any number of processes.

Sums of squares are kept about the mean of their part and joined by Chan's formula, so a column at
300.0 that moves by 0.01 keeps its digits. All in float64; the order of the parts is that of the
shards, so the result never depends on who computed them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def sums_of(state: np.ndarray) -> dict[str, Any]:
    """Sums over the rows of a state float32 (N, S), N at least 1, as JSON."""
    rows = np.asarray(state, np.float64)
    # Sums of equal float32 numbers are exact in float64: the spread of a constant column is 0.
    mean = rows.mean(axis=0)
    return {
        "rows": len(rows),
        "mean": mean.tolist(),
        "squares": np.square(rows - mean).sum(axis=0).tolist(),
        "min": rows.min(axis=0).tolist(),
        "max": rows.max(axis=0).tolist(),
    }


def joined(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The sums of all parts together, one at least (Chan, Golub, LeVeque 1979)."""
    rows, mean = parts[0]["rows"], np.array(parts[0]["mean"])
    squares = np.array(parts[0]["squares"])
    for part in parts[1:]:
        count, total = part["rows"], rows + part["rows"]
        apart = np.array(part["mean"]) - mean
        squares = squares + np.array(part["squares"]) + np.square(apart) * rows * count / total
        mean, rows = mean + apart * (count / total), total
    return {
        "rows": rows,
        "mean": mean.tolist(),
        "squares": squares.tolist(),
        "min": np.min([part["min"] for part in parts], axis=0).tolist(),
        "max": np.max([part["max"] for part in parts], axis=0).tolist(),
    }


def statistics(sums: dict[str, Any]) -> dict[str, Any]:
    """{rows, mean, std, min, max} of `joined`, as JSON. std: divided by the number of rows."""
    std = np.sqrt(np.array(sums["squares"]) / sums["rows"]).tolist()
    return {"rows": sums["rows"], "mean": sums["mean"], "std": std} | {
        key: sums[key] for key in ("min", "max")
    }

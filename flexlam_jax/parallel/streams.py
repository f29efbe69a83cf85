"""Rows per batch: one number, or one for each stream of a batch {stream: {"frames": ...}}.

Streams are read side by side and may differ in rows: few labelled ones and many without actions.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeGuard

import jax

Rows = int | Mapping[str, int]


def by_stream(function: Callable[..., Any], rows: Rows, *trees: Any) -> Any:
    """{stream: function(rows of it, its subtree of each tree)}, or the function of the whole trees
    where `rows` is a number."""
    if not is_streams(rows):
        return function(rows, *trees)
    return {name: function(count, *(tree[name] for tree in trees)) for name, count in rows.items()}


def is_streams(rows: Any) -> TypeGuard[Mapping[str, Any]]:
    """Whether there is a number for each stream (a mapping, or a ConfigDict, which is none)."""
    return hasattr(rows, "items")


def total(rows: Rows, per_row: Any = 1) -> Any:
    """Sum over all rows of what one row has: a number, or {stream: number}."""
    if not is_streams(rows):
        return rows * per_row
    shares = per_row if is_streams(per_row) else dict.fromkeys(rows, per_row)
    return sum(count * shares[name] for name, count in rows.items())


def rows_of(batch: Mapping[str, Any]) -> Rows:
    """Rows of a batch, by its shapes: a number, or one for each stream."""
    if all(map(is_streams, batch.values())):
        return {name: rows_of(stream) for name, stream in batch.items()}
    return next(x.shape[0] for x in jax.tree.leaves(batch))

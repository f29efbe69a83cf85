"""One pass over a split: the fields that evaluators read, of every model."""

import dataclasses
import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import numpy as np

from flexlam_jax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Field:
    """Something that is read of every row of a split.

    Attributes:
      read: (model, batch) -> array, or a pytree of arrays, whose leading axis is the batch's rows.
      of_model: read once with every model; otherwise once for all, and `read` gets None.
      sparse: kept of every n-th row alone, because it is large.
    """

    read: Callable[[Any, Mapping[str, np.ndarray]], Any]
    of_model: bool = False
    sparse: bool = False


@dataclasses.dataclass(frozen=True)
class Split:
    """What was collected of a split; small, whatever the size of its video.

    Attributes:
      shared: field -> (N, ...), or (M, ...) for sparse fields.
      by_model: field -> {model name: (N, ...)}.
      episode: (N,) index, unique over datasets.      t: (N,) time index.
      dataset: (N,) position among the names of the batches.
      rows: (M,) the rows that sparse fields keep.
    """

    shared: Mapping[str, Any]
    by_model: Mapping[str, Mapping[str, Any]]
    episode: np.ndarray
    t: np.ndarray
    dataset: np.ndarray
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.episode)

    def __getitem__(self, field: str) -> Any:
        return self.shared[field]

    def of(self, model: str) -> "Split":
        """The same with the fields of one model among the shared ones."""
        own = {field: values[model] for field, values in self.by_model.items()}
        return dataclasses.replace(self, shared={**self.shared, **own}, by_model={})


def collect(
    models: Mapping[str, Any],
    batches: Iterable[Mapping[str, np.ndarray]],
    fields: Mapping[str, Field],
    *,
    every: int = 1,
    name: str = "the split",
    tick: Callable[[int], None] = lambda count: None,
) -> Split:
    """Reads `fields` of every row of a split, each once.

    Args:
      models: name -> model.
      batches: dicts with `episode`, `t` and `dataset` (B,), and what the fields read.
      every: sparse fields are kept of every n-th row.
      name: for messages.
      tick: called with the number of rows done, for a progress bar.

    Raises:
      UserError: no row.
    """
    keys = [
        (field, model)
        for field, spec in fields.items()
        for model in (models if spec.of_model else (None,))
    ]
    parts: dict[Any, list] = {key: [] for key in keys}
    order: dict[str, list] = {key: [] for key in ("dataset", "episode", "t")}
    done = 0
    for batch in batches:
        size = len(batch["episode"])
        kept = np.flatnonzero((done + np.arange(size)) % every == 0)
        for field, model in keys:
            value = fields[field].read(models.get(model), batch)
            if fields[field].sparse:
                value = jax.tree.map(operator.itemgetter(kept), value)
            parts[field, model].append(value)
        for key, values in order.items():
            values.append(np.asarray(batch[key]))
        done += size
        tick(size)
    if not done:
        raise UserError(
            f"{name} holds no transition; choose another split or dataset, or a "
            "smaller gap if its episodes are shorter than that"
        )
    joined = {key: _concatenate(values) for key, values in parts.items()}
    return Split(
        shared={field: joined[field, None] for field in fields if (field, None) in joined},
        by_model={
            field: {model: joined[field, model] for model in models}
            for field, spec in fields.items()
            if spec.of_model
        },
        episode=_episodes(order),
        t=np.concatenate(order["t"]),
        dataset=np.concatenate(order["dataset"]),
        rows=np.arange(0, done, every),
    )


def _episodes(order: Mapping[str, list]) -> np.ndarray:
    """(N,) index of each row's episode; equal numbers of two datasets are two episodes."""
    pairs = np.stack([np.concatenate(order[key]) for key in ("dataset", "episode")], 1)
    return np.unique(pairs, axis=0, return_inverse=True)[1].reshape(-1)


def _concatenate(values: list) -> Any:
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *values)

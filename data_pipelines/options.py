"""The loader's options, checked once and in one place."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from data_pipelines.errors import DataError


@dataclasses.dataclass(frozen=True)
class LoaderOptions:
    """What `training_batches` reads.

    path: dataset folder.  datasets: names in it, {name: weight}, or () for all. Without weights
    every transition is equally likely.  clip_length: frames T >= 2.  gap: frames between
    neighbours, an int or (lo, hi), both included, drawn per window.  fields: labels wanted, of
    action, reward, state; () never decodes a label. image_size: 0, or the side that frames must
    have.  threads read and decode `prefetch` batches ahead; workers > 0 does so in that many
    processes instead.
    """

    path: str = ""
    datasets: tuple[str, ...] | Mapping[str, float] = ()
    split: str = "train"
    clip_length: int = 2
    gap: int | tuple[int, int] = 1
    fields: tuple[str, ...] = ()
    image_size: int = 0
    threads: int = 2
    prefetch: int = 8
    workers: int = 0

    @property
    def gap_range(self) -> tuple[int, int]:
        """(lo, hi), both included."""
        return (self.gap, self.gap) if isinstance(self.gap, int) else self.gap


def _plain(value: Any) -> Any:
    """ConfigDicts and lists, as configs hold them, to dicts and tuples."""
    if hasattr(value, "items"):
        return {key: _plain(item) for key, item in value.items()}
    return tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else value


def loader_options(config: Mapping[str, Any]) -> LoaderOptions:
    """Checks a config's `data` section; raises DataError naming key, value and what is allowed."""
    config = _plain(config)
    known = {field.name for field in dataclasses.fields(LoaderOptions)}
    unknown = sorted(set(config) - known)
    if unknown:
        raise DataError(
            f"unknown data option {', '.join(unknown)}; known: {', '.join(sorted(known))}"
        )
    datasets = config.get("datasets", ())
    if isinstance(datasets, str):
        config["datasets"] = (datasets,)
    if isinstance(config.get("fields"), str):
        config["fields"] = (config["fields"],)
    options = LoaderOptions(**config)
    if not options.path:
        raise DataError("data.path is empty; give the folder that `data_pipelines.prepare` wrote")
    if options.clip_length < 2:
        raise DataError(
            f"data.clip_length is {options.clip_length}; a window needs at least 2 frames"
        )
    gap = options.gap
    pair = isinstance(gap, tuple) and len(gap) == 2 and all(isinstance(g, int) for g in gap)
    if not (isinstance(gap, int) or pair) or not 1 <= options.gap_range[0] <= options.gap_range[1]:
        raise DataError(f"data.gap is {gap!r}; give an int >= 1 or (lo, hi) with 1 <= lo <= hi")
    if isinstance(options.datasets, dict) and any(w <= 0 for w in options.datasets.values()):
        raise DataError(f"data.datasets has weights {options.datasets}; weights must be positive")
    for name in ("threads", "prefetch", "workers"):
        if getattr(options, name) < (name != "workers"):
            raise DataError(f"data.{name} is {getattr(options, name)}; too small")
    return options

"""The loader's options, checked once and in one place."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any

from data_pipelines.errors import DataError
from data_pipelines.loading.ranges import check_ranges

Gap = int | str | tuple[int, int] | tuple[str, str]


@dataclasses.dataclass(frozen=True)
class Part:
    """Datasets of one folder: all that is read without `mixture`, or one entry of it.

    path: dataset folder.  datasets: names in it, {name: weight}, or () for all. Without weights
    every transition is equally likely.  cameras: keep the datasets of these cameras only, () = all.
    gap: frames between neighbours: an int or (lo, hi), both included, drawn per window; or seconds,
    "0.5s" or ("0.2s", "0.6s"), converted by each dataset's frame rate.  weight: of the whole entry
    in a mixture.  transitions or fraction: keep a fixed random subset of the windows, so many or
    this share of them; `subset_seed` decides which, and a smaller subset is part of a larger one.
    """

    path: str = ""
    datasets: tuple[str, ...] | Mapping[str, float] = ()
    cameras: tuple[str, ...] = ()
    gap: Gap = 1
    weight: float | None = None
    transitions: int = 0
    fraction: float = 1.0
    subset_seed: int = 0


@dataclasses.dataclass(frozen=True)
class LoaderOptions:
    """What `training_batches` reads.

    path, datasets, cameras, gap, transitions, fraction, subset_seed: see Part.  mixture: {name:
    Part} instead of path; the gap above is the default of its entries.  clip_length: frames T >= 2.
    fields: labels wanted, of action, reward, state; () never decodes a label. image_size: 0, or the
    side that frames must have.  resize: bring frames of other sides to image_size instead of
    refusing them.  pair_with: 'camera' or 'exogenous' adds the same instants from a synchronous
    dataset.  pairs_per_clip: so many neighbouring windows are drawn together.  threads read and
    decode `prefetch` batches ahead; workers > 0 does so in that many processes instead.
    """

    path: str = ""
    datasets: tuple[str, ...] | Mapping[str, float] = ()
    cameras: tuple[str, ...] = ()
    mixture: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    split: str = "train"
    clip_length: int = 2
    gap: Gap = 1
    fields: tuple[str, ...] = ()
    image_size: int = 0
    resize: bool = False
    pair_with: str = ""
    pairs_per_clip: int = 1
    transitions: int = 0
    fraction: float = 1.0
    subset_seed: int = 0
    threads: int = 2
    prefetch: int = 8
    workers: int = 0

    @property
    def parts(self) -> dict[str, Part]:
        """Entries of the mixture; a single folder is one entry with an empty name."""
        if not self.mixture:
            shared = {field.name for field in dataclasses.fields(Part)} - {"weight"}
            return {"": Part(**{name: getattr(self, name) for name in shared})}
        return {name: Part(**{"gap": self.gap} | entry) for name, entry in self.mixture.items()}


def _plain(value: Any) -> Any:
    """ConfigDicts and lists, as configs hold them, to dicts and tuples."""
    if hasattr(value, "items"):
        return {key: _plain(item) for key, item in value.items()}
    return tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else value


def loader_options(config: Mapping[str, Any]) -> LoaderOptions:
    """Checks a config's `data` section; raises DataError naming key, value and what is allowed."""
    config = _listed(_plain(config))
    _check_keys("data option", config, LoaderOptions)
    check_ranges(config, "data.")
    config["mixture"] = {k: _listed(v) for k, v in config.get("mixture", {}).items()}
    for name, entry in config["mixture"].items():
        _check_keys(f"key of data.mixture.{name}:", entry, Part)
        check_ranges(entry, f"data.mixture.{name}.")
    options = LoaderOptions(**config)
    _check_source(options)
    for part in options.parts.values():
        if part.transitions and part.fraction != 1.0:
            raise DataError("data.transitions and data.fraction are both set; give one of them")
    if options.resize and not options.image_size:
        raise DataError("data.resize needs data.image_size, the side to resize to")
    return options


def _check_keys(what: str, config: Mapping[str, Any], kind: type) -> None:
    known = {field.name for field in dataclasses.fields(kind)}
    unknown = sorted(set(config) - known)
    if unknown:
        raise DataError(f"unknown {what} {', '.join(unknown)}; known: {', '.join(sorted(known))}")


def _listed(config: Mapping[str, Any]) -> dict[str, Any]:
    """A single name stands for a list of one, a path for its text."""
    lists = ("datasets", "fields", "cameras")
    config = {k: (v,) if k in lists and isinstance(v, str) else v for k, v in config.items()}
    return {k: os.fspath(v) if isinstance(v, os.PathLike) else v for k, v in config.items()}


def _check_source(options: LoaderOptions) -> None:
    if not options.mixture:
        if not options.path:
            raise DataError(
                "data.path is empty; give the folder that `data_pipelines.prepare` wrote"
            )
        return
    default = LoaderOptions()
    per_entry = ("path", "datasets", "cameras", "transitions", "fraction", "subset_seed")
    both = [name for name in per_entry if getattr(options, name) != getattr(default, name)]
    if both:
        raise DataError(
            f"data.{both[0]} and data.mixture are both set; with a mixture, give "
            f"{', '.join(both)} to its entries"
        )
    parts = options.parts
    without = [name for name, part in parts.items() if part.weight is None]
    if without and len(without) < len(parts):
        raise DataError(
            f"data.mixture.{without[0]} has no weight and others have; give every entry one, or "
            "none (then every transition is equally likely)"
        )
    for name, part in parts.items():
        if not part.path:
            raise DataError(f"data.mixture.{name} has no path; give the folder of its datasets")

"""The loader's options, checked once and in one place."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any

from data_pipelines.errors import DataError
from data_pipelines.loading.ranges import (
    GAP,
    NAMES,
    SEED,
    SWITCH,
    TEXT,
    WEIGHT,
    Range,
    check_ranges,
    one_of,
    real,
    whole,
)

Gap = int | str | tuple[int, int] | tuple[str, str]
PAIRS = ("camera", "exogenous")


def option(
    default: Any,
    range_: Range,
    help_: str,
    *,
    each: Range | type | None = None,
    required: bool = False,
) -> Any:
    """A field of a dataclass of options: its default, its range and what it is for.

    each: what the values of a mapping may be, a range or the dataclass of their own options.
    required: the config of a run must say it, because its model depends on it.
    """
    metadata = {"range": range_, "help": help_, "each": each, "required": required}
    if isinstance(default, dict):
        return dataclasses.field(default_factory=dict, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def _is_sidecar(value: Any) -> bool:
    given = value if isinstance(value, Mapping) else {"path": value}
    texts = {key: item for key, item in given.items() if isinstance(item, str)}
    return bool(texts.get("path")) and given.keys() == texts.keys() <= {"path", "array", "model"}


def ranges_of(kind: type) -> dict[str, Range]:
    """{option: its range} of a dataclass of options."""
    return {field.name: field.metadata["range"] for field in dataclasses.fields(kind)}


@dataclasses.dataclass(frozen=True)
class FolderOptions:
    """Datasets of one folder, and which of their windows are read.

    A smaller subset (episodes, transitions, fraction) of one subset_seed is part of a larger one.
    """

    path: str = option("", TEXT, "the folder that data_pipelines.prepare wrote")
    datasets: tuple[str, ...] | Mapping[str, float] = option(
        (),
        Range(
            f"{NAMES.text}, or {{name: weight}}",
            lambda value: isinstance(value, Mapping) or NAMES.holds(value),
        ),
        "names in it, {name: weight}, or () for all; without weights every transition is equally "
        "likely",
        each=WEIGHT,
    )
    cameras: tuple[str, ...] = option((), NAMES, "only datasets of these cameras; () for all")
    gap: Gap = option(
        1,
        GAP,
        'frames between neighbours, or (lo, hi), both included, drawn per window; "0.5s" are '
        "seconds, by each dataset's frame rate",
    )
    transitions: int = option(
        0, whole(0, note=" (0 for all)"), "a fixed random subset of so many windows"
    )
    fraction: float = option(
        1.0,
        real("a share above 0, at most 1", lambda value: 0 < value <= 1),
        "a fixed random subset of this share of the windows",
    )
    episodes: float = option(
        1.0,
        real("a share above 0, at most 1", lambda value: 0 < value <= 1),
        "a fixed random subset of this share of the episodes of every dataset, one at least; "
        "transitions and fraction are of what it leaves",
    )
    subset_seed: int = option(0, SEED, "which subset episodes, transitions or fraction keep")
    label_draw: int | None = option(
        None,
        Range(
            "None, or a whole number, at least 0",
            lambda value: value is None or whole(0, 10**6).holds(value),
        ),
        "that subset is the first windows of this label draw of subset_seed, as translators take",
    )
    sidecars: Mapping[str, str | Mapping[str, str]] = option(
        {},
        Range(
            "{name: folder, or {path, array, model}}",
            lambda value: isinstance(value, Mapping) and all(map(_is_sidecar, value.values())),
        ),
        "{column of the batch: folder of a sidecar}, or {path, array, model} where it holds several "
        "arrays, or must be made by the model of this fingerprint",
    )


@dataclasses.dataclass(frozen=True)
class Entry(FolderOptions):
    """One entry of a mixture."""

    weight: float | None = option(
        None,
        Range(WEIGHT.text, lambda value: value is None or WEIGHT.holds(value)),
        "of the whole entry; all have one, or none (then every transition is equally likely)",
    )


@dataclasses.dataclass(frozen=True)
class LoaderOptions(FolderOptions):
    """What `training_batches` reads: the datasets of one folder, or a mixture of several."""

    mixture: Mapping[str, Mapping[str, Any]] = option(
        {},
        Range(
            "{name: {path, weight, gap, ...}}",
            lambda value: (
                isinstance(value, Mapping)
                and all(isinstance(entry, Mapping) for entry in value.values())
            ),
        ),
        "{name: {path, weight, gap, ...}} instead of path; gap is the default of its entries",
        each=Entry,
    )
    split: str = option(
        "train",
        Range("the name of a split", lambda value: isinstance(value, str) and value != ""),
        "which records are read",
        required=True,
    )
    clip_length: int = option(
        2,
        whole(2, note=": a window needs at least 2 frames"),
        "frames per clip; a clip of T frames holds T - 1 transitions",
        required=True,
    )
    fields: tuple[str, ...] = option(
        (), NAMES, "labels to load, of action, reward and state; () never decodes one"
    )
    image_size: int = option(
        0, whole(0, 8192, ": pixels of a side, 0 for that of the data"), "side that frames have"
    )
    resize: bool = option(
        False, SWITCH, "bring frames of another size to image_size, or refuse them"
    )
    pair_with: str = option(
        "", one_of(PAIRS), "adds the same instants from the synchronous dataset of this kind"
    )
    views: tuple[str, ...] = option(
        (),
        NAMES,
        "cameras, masks and depth whose frames stand beside `frames` in every row, as "
        "frames_<camera>; all: every one of the recording",
    )
    language: bool = option(
        False, SWITCH, "adds language and task of the episode, as numbers of their texts"
    )
    chunk: int = option(
        0,
        whole(0, 2**16, ": actions, 0 for none"),
        "adds action_chunk: so many actions from the first frame on, masked after the episode",
    )
    column_chunk: int = option(
        0,
        whole(0, 2**16, ": rows, 0 for none"),
        "adds <column>_chunk: so many rows of each column of sidecars from the first frame on, a "
        "frame apart, masked after the episode",
    )
    frame_chunk: int = option(
        0,
        Range(
            "a whole number, 2 to 65536: frames, 0 for none",
            lambda value: value == 0 or whole(2, 2**16).holds(value),
        ),
        "adds frame_chunk: so many frames from the first one on, a frame apart, masked after the "
        "episode",
    )
    actions_between: bool = option(
        False, SWITCH, "adds actions_between: all actions from one frame to the next, not the first"
    )
    pairs_per_clip: int = option(
        1, whole(1), "neighbouring windows drawn together: cheaper to read"
    )
    threads: int = option(2, whole(1, 1024), "threads that read and decode")
    prefetch: int = option(8, whole(1, 2**20), "batches that are read ahead")
    workers: int = option(0, whole(0, 1024), "processes that read instead of threads, 0 for none")

    @property
    def entries(self) -> dict[str, Entry]:
        """Entries of the mixture; a single folder is one entry with an empty name."""
        if not self.mixture:
            shared = [field.name for field in dataclasses.fields(FolderOptions)]
            return {"": Entry(**{name: getattr(self, name) for name in shared})}
        return {name: Entry(**{"gap": self.gap} | entry) for name, entry in self.mixture.items()}


def plain_options(config: Mapping[str, Any]) -> dict[str, Any]:
    """A `data` section as plain dicts and tuples; a single name stands for a list of one."""
    plain = _listed(_plain(config))
    mixture = plain.get("mixture")
    if isinstance(mixture, Mapping):
        entries = mixture.items()
        plain["mixture"] = {k: _listed(v) if isinstance(v, Mapping) else v for k, v in entries}
    return plain


def _plain(value: Any) -> Any:
    """ConfigDicts and lists, as configs hold them, to dicts and tuples."""
    if hasattr(value, "items"):
        return {key: _plain(item) for key, item in value.items()}
    return tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else value


def loader_options(config: Mapping[str, Any]) -> LoaderOptions:
    """Checks a config's `data` section; raises DataError naming key, value and what is allowed."""
    config = plain_options(config)
    _check_keys("data option", config, LoaderOptions)
    _check_ranges(config, "data.", LoaderOptions)
    for name, entry in config.get("mixture", {}).items():
        _check_keys(f"key of data.mixture.{name}:", entry, Entry)
        _check_ranges(entry, f"data.mixture.{name}.", Entry)
    options = LoaderOptions(**config)
    _check_source(options)
    for entry in options.entries.values():
        if entry.transitions and entry.fraction != 1.0:
            raise DataError("data.transitions and data.fraction are both set; give one of them")
    if options.resize and not options.image_size:
        raise DataError("data.resize needs data.image_size, the side to resize to")
    return options


def _check_keys(what: str, config: Mapping[str, Any], kind: type) -> None:
    known = {field.name for field in dataclasses.fields(kind)}
    unknown = sorted(set(config) - known)
    if unknown:
        raise DataError(f"unknown {what} {', '.join(unknown)}; known: {', '.join(sorted(known))}")


def _check_ranges(config: Mapping[str, Any], prefix: str, kind: type) -> None:
    check_ranges(config, prefix, ranges_of(kind))
    weights = config.get("datasets", ())
    if isinstance(weights, Mapping):
        check_ranges(weights, f"{prefix}datasets.", dict.fromkeys(weights, WEIGHT))


def _listed(config: Mapping[str, Any]) -> dict[str, Any]:
    """A single name stands for a list of one, a path for its text."""
    lists = ("datasets", "fields", "cameras", "views")
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
    per_entry = [field.name for field in dataclasses.fields(FolderOptions) if field.name != "gap"]
    both = [name for name in per_entry if getattr(options, name) != getattr(default, name)]
    if both:
        raise DataError(
            f"data.{both[0]} and data.mixture are both set; with a mixture, give "
            f"{', '.join(both)} to its entries"
        )
    entries = options.entries
    without = [name for name, entry in entries.items() if entry.weight is None]
    if without and len(without) < len(entries):
        raise DataError(
            f"data.mixture.{without[0]} has no weight and others have; give every entry one, or "
            "none (then every transition is equally likely)"
        )
    for name, entry in entries.items():
        if not entry.path:
            raise DataError(f"data.mixture.{name} has no path; give the folder of its datasets")

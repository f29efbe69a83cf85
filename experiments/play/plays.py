"""A dataset of what was recorded on the page: a recipe of `prepare`, by its dotted path.

    python -m data_pipelines.prepare experiments.play.plays --source=runs/played --out=data/played

A play_*.npz is an episode: the frames that the world showed, and as true actions those that the
translator reads in the codes that were played. Where a simulator ran beside it, its frames are a
second dataset, `simulator`, of the same instants. Three plays are needed, for the three splits.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import pathlib
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np

from data_pipelines.errors import DataError
from data_pipelines.format.spec import ActionSpec, DatasetSpec
from data_pipelines.readers.files.listing import list_files
from data_pipelines.readers.files.paths import source_folder
from data_pipelines.readers.frame_options import add_trust_arguments, follow_links
from data_pipelines.readers.recordings import Item, ItemError, Plan, Recording, Skipped
from data_pipelines.typed_json import as_type

DESCRIPTION = "what was recorded on the page of a world"
WORLD, SIMULATOR = "world", "simulator"


@dataclasses.dataclass
class _Facts:
    """Of a play, beside its frames."""

    fps: float
    actions: list[str]
    discrete: bool
    codes: list[str]
    checkpoint: str = ""
    start: str = ""
    seed: int = 0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--source", required=True, help="folder of play_*.npz")
    parser.add_argument("--seed", type=int, default=0, help="decides the split")
    parser.add_argument("--clip-stride", type=int, default=8, help="transitions owned by a record")
    parser.add_argument(
        "--max-span", type=int, default=8, help="longest window, in frames minus one"
    )
    add_trust_arguments(parser, share="share of the plays that may be unusable", of="frames")


def options(args: argparse.Namespace) -> dict[str, Any]:
    if not 0 <= args.max_failures <= 1:
        raise DataError(f"--max-failures is {args.max_failures}; give a share from 0 to 1")
    kept = ("seed", "clip_stride", "max_span", "max_failures", "leaks")
    source = str(pathlib.Path(args.source).expanduser().absolute())
    kept = {"source": source} | {name: getattr(args, name) for name in kept}
    return kept if args.follow_links else kept | {"follow_links": False}


def plan(options: dict[str, Any]) -> Plan:
    root = source_folder(options["source"])
    named = lambda name: name.startswith("play_") and name.endswith(".npz")
    listing = list_files(root, named=named, follow_links=follow_links(options), deep=False)
    items, skipped, specs = [], list(listing.skipped), {}
    for path in listing.files:
        try:
            facts, shapes, _ = _opened(path)
        except ItemError as error:
            skipped.append(Skipped(path.name, error.reason, str(error)))
            continue
        for spec in _specs(facts, shapes, options):
            if specs.setdefault(spec.name, spec) != spec:
                raise DataError(
                    f"{path}: its {spec.name} is of another size, rate or set of actions than that "
                    "of the plays before it; make a dataset of each by moving them apart"
                )
        items.append(Item(path.name, {"parts": list(shapes)}, path.stat().st_size))
    return Plan(list(specs.values()), items, skipped, {"folder": str(root)})


def _opened(path: pathlib.Path) -> tuple[_Facts, dict[str, tuple[int, ...]], dict[str, np.ndarray]]:
    """Facts, shapes of the frames, and all arrays; raises ItemError for what is no play."""
    arrays = _arrays(path)
    facts = as_type(
        json.loads(str(arrays["facts"])),
        _Facts,
        where=f"{path}, facts",
        remedy="record it again",
    )
    names = {"frames": WORLD, "truth": SIMULATOR}
    shapes = {name: arrays[key].shape for key, name in names.items() if key in arrays}
    if any(len(shape) != 4 or shape[0] != len(facts.codes) + 1 for shape in shapes.values()):
        raise ItemError("damaged", f"{path}: frames have shapes {shapes}, {len(facts.codes)} codes")
    return facts, shapes, arrays


def _arrays(path: pathlib.Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as data:
            arrays = {key: data[key] for key in data.files}
        json.loads(str(arrays["facts"]))
        arrays["frames"].shape  # noqa: B018 (whether it is there)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ItemError("damaged", f"{path}: is no recording of the page ({error})") from error
    return arrays


def _specs(facts: _Facts, shapes: dict, options: dict[str, Any]) -> Iterator[DatasetSpec]:
    action = None
    if facts.actions:
        kind = "discrete" if facts.discrete else "continuous"
        action = ActionSpec(kind, tuple(facts.actions))
    for name, (_, height, width, channels) in shapes.items():
        yield DatasetSpec(
            name=name,
            image_shape=(height, width, channels),
            codec="zstd",
            action=action,
            behaviour="a person at the page of a world",
            fps=facts.fps,
            camera=name if len(shapes) > 1 else "",
            recording="played" if len(shapes) > 1 else "",
            clip_stride=options["clip_stride"],
            max_span=options["max_span"],
        )


def read(item: Item, options: dict[str, Any]) -> Iterator[Recording | Skipped]:
    path = source_folder(options["source"]) / item.name
    facts, shapes, arrays = _opened(path)
    told = {"codes": facts.codes, "checkpoint": facts.checkpoint}
    keys = {WORLD: "frames", SIMULATOR: "truth"}
    yield Recording(
        item.name,
        frames={name: arrays[keys[name]] for name in shapes},
        action=arrays.get("action"),
        metadata=told | {"start": facts.start, "seed": facts.seed},
    )

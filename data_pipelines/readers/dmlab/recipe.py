"""`prepare dmlab`: DeepMind Lab data as published, one dataset per level."""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
import types
from collections.abc import Iterator
from typing import Any

from data_pipelines.errors import DataError
from data_pipelines.readers.dmlab import parquet, rlu, teco, tfds
from data_pipelines.readers.dmlab.actions import TABLES
from data_pipelines.readers.files.listing import is_junk
from data_pipelines.readers.files.paths import source_folder
from data_pipelines.readers.frame_options import (
    add_frame_arguments,
    follow_links,
    frame_options,
)
from data_pipelines.readers.recordings import Item, Plan, Recording, Skipped

DESCRIPTION = "DeepMind Lab: RL Unplugged (files or TFDS), 30-level parquet, TECO npz"
FORMATS = {"tfds": tfds, "rlu": rlu, "parquet": parquet, "teco": teco}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_frame_arguments(
        parser, source="folder of one of the layouts in docs/data/dmlab.md", formats=FORMATS
    )
    parser.add_argument("--levels", default="", help="by comma; default: all that are there")
    parser.add_argument(
        "--channels",
        default="auto",
        choices=("auto", "rgb", "bgr"),
        help="order in the source; auto: bgr for rlu and TFDS versions before 1.2.0, else rgb. "
        "Stored frames are RGB",
    )
    parser.add_argument(
        "--actions",
        default="auto",
        choices=("auto", *TABLES),
        help="what the numbers mean (parquet only); auto: the smallest table that holds them all",
    )


def options(args: argparse.Namespace) -> dict[str, Any]:
    levels = [level for level in args.levels.split(",") if level]
    kept = ("format", "channels", "actions")
    return frame_options(args) | {"levels": levels} | {name: getattr(args, name) for name in kept}


def detect(root: pathlib.Path, asked: str, links: bool = True) -> str:
    """The format of `root`; raises DataError if there is none, or several."""
    found = [name for name, layout in FORMATS.items() if layout.find(root, links)]
    if asked in found:
        return asked
    known = "; ".join(f"{name}: {layout.LAYOUT}" for name, layout in FORMATS.items())
    if asked != "auto" or not found:
        names = sorted(path.name for path in root.iterdir() if not is_junk(path.name))
        held = ", ".join(names[:8]) or "nothing"
        raise DataError(f"{root}: no DMLab data (--format={asked}). Known {known}. Found: {held}")
    if len(found) > 1:
        raise DataError(f"{root}: looks like {' and '.join(found)}; choose with --format")
    return found[0]


def plan(options: dict[str, Any]) -> Plan:
    root = source_folder(options["source"])
    name = detect(root, options["format"], follow_links(options))
    if options["actions"] != "auto" and name != "parquet":
        raise DataError(f"--actions is for the parquet layout; {name} has actions of its own")
    made = FORMATS[name].plan(root, options)
    items = [
        dataclasses.replace(item, payload=item.payload | {"format": name}) for item in made.items
    ]
    return dataclasses.replace(
        made, items=items, sources={"folder": str(root), "format": name} | made.sources
    )


def read(item: Item, options: dict[str, Any]) -> Iterator[Recording | Skipped]:
    layout: types.ModuleType = FORMATS[item.payload["format"]]
    yield from layout.read(item, source_folder(options["source"]), options)

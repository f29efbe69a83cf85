"""`prepare videos`: a folder of mp4, webm, gif ... files, or of sub-folders of pictures.

Every file or sub-folder is one episode of a video-only dataset, or, with --cut, every piece of a
file. What cannot be read is skipped, counted and listed with its reason; above a share of failures
the whole job stops.
"""

from __future__ import annotations

import argparse
import math
import pathlib
import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from data_pipelines.errors import DataError
from data_pipelines.format.spec import DatasetSpec
from data_pipelines.optional import require
from data_pipelines.readers.files.paths import natural, source_folder
from data_pipelines.readers.frame_options import (
    add_frame_arguments,
    follow_links,
    frame_options,
    record_fields,
)
from data_pipelines.readers.recordings import Item, Plan, Recording, Skipped
from data_pipelines.readers.video import picture_sequences
from data_pipelines.readers.video import pieces as video_pieces
from data_pipelines.readers.video import rates as video_rates
from data_pipelines.readers.video.decoding import frames
from data_pipelines.readers.video.sources import Found, find

DESCRIPTION = "your own folder of videos (mp4, webm, gif, ...) or of picture sequences; no labels"
NAME = "videos"
_KEPT = ("size", "fit", "fps", "stride")


def add_rate_arguments(parser: argparse.ArgumentParser, *, fps: float = 0.0) -> None:
    """Adds --fps and --stride; `fps` is the default rate."""
    parser.add_argument(
        "--fps",
        type=float,
        default=fps,
        help="frames to keep per second, by time stamp; 0 = all. Folders of pictures have no "
        "times: it is taken as their rate",
    )
    parser.add_argument("--stride", type=int, default=1, help="then keep every n-th frame")


def rate_options(args: argparse.Namespace) -> dict[str, Any]:
    """--fps and --stride as data; raises DataError for values that make no sense."""
    if args.stride < 1 or not 0 <= args.fps < float("inf"):
        raise DataError(f"--stride must be >= 1 and --fps >= 0; got {args.stride} and {args.fps}")
    return {"fps": args.fps, "stride": args.stride}


def decoder_versions() -> dict[str, str]:
    """Which decoder makes the pixels, for the manifest; raises DataError if there is none."""
    av = require("av")
    libavcodec = ".".join(map(str, av.library_versions["libavcodec"]))
    return {"pyav": av.__version__, "libavcodec": libavcodec}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_frame_arguments(parser, source="folder, searched with its sub-folders")
    add_rate_arguments(parser)
    parser.add_argument(
        "--cut",
        type=float,
        default=0.0,
        help="seconds: cut every video into pieces of this length, each an episode; 0 = do not",
    )
    parser.add_argument("--name", default=NAME, help="name of the dataset in the folder")


def options(args: argparse.Namespace) -> dict[str, Any]:
    if not re.fullmatch(r"[a-z][a-z0-9_]*", args.name):
        raise DataError(f"--name is {args.name!r}; use lower-case letters, digits and _")
    chosen = frame_options(args) | rate_options(args) | {"name": args.name}
    if not 0 <= args.cut < math.inf or 0 < args.cut * (args.fps or math.inf) < 2 * args.stride:
        raise DataError(
            f"--cut is {args.cut:g}; give seconds, enough for two frames at --fps={args.fps:g} and "
            f"--stride={args.stride}"
        )
    # Only where it is given: folders of before have no such option.
    return chosen | {"cut": args.cut} if args.cut else chosen


def read_item(
    item: pathlib.Path,
    *,
    size: int,
    fit: str = "crop",
    fps: float,
    stride: int,
    links: bool = True,
    facts: dict[str, Any] | None = None,
) -> Iterator[np.ndarray]:
    """Frames uint8 (size, size, 3) of one video file or folder of pictures, one at a time.

    facts: what decoding found out, see `video_decoding.timed_frames`.
    """
    if item.is_dir():
        return picture_sequences.read_sequence(
            item, size=size, fit=fit, stride=stride, follow_links=links
        )
    return frames(item, size=size, fit=fit, fps=fps, stride=stride, facts=facts)


def plan(options: dict[str, Any]) -> Plan:
    root = source_folder(options["source"])
    found = find(root, links=follow_links(options))
    length = options.get("cut", 0.0)
    if not length:
        _check_number(root, found)
    versions = decoder_versions() if found.videos else {}
    items, skipped = _items(root, found, length, follow_links(options))
    surveyed = video_rates.survey(found.videos)
    sources = {
        "folder": str(root),
        "items": len(found.videos) + len(found.sequences),
        "video_files": len(found.videos),
    }
    return Plan(
        specs=[_spec(options, surveyed, found)],
        items=items,
        skipped=found.skipped + skipped,
        sources=sources | versions | video_rates.facts(surveyed, options["fps"]),
        one_recording_per_item=all(item.episodes == 1 for item in items),
        passed_over=found.passed_over,
    )


def _check_number(root: pathlib.Path, found: Found) -> None:
    """Raises DataError now, not after hours of decoding, if there is too little to split."""
    count = len(found.videos) + len(found.sequences)
    if count < 3:
        what = f"{len(found.videos)} video(s) and {len(found.sequences)} folder(s) of pictures"
        raise DataError(
            f"--source {root}: {what}; train, validation and test need at least three episodes. "
            "Add more, or cut long videos into pieces with --cut=SECONDS, e.g. --cut=60"
        )


def _items(
    root: pathlib.Path, found: Found, length: float, links: bool
) -> tuple[list[Item], list[Skipped]]:
    """Items in natural order of their files, and what the headers rule out already."""
    if length:
        videos, skipped = video_pieces.cut(
            root, found.videos, length, kept_whole=len(found.sequences)
        )
    else:
        videos = [Item(_name(root, path), size=path.stat().st_size) for path in found.videos]
        skipped = []
    sequences = [Item(_name(root, path), size=_bytes(path, links)) for path in found.sequences]
    return sorted(videos + sequences, key=lambda item: natural(item.name)), skipped


def _name(root: pathlib.Path, path: pathlib.Path) -> str:
    return str(path.relative_to(root))


def _bytes(folder: pathlib.Path, links: bool) -> int:
    files = picture_sequences.sequence_files(folder, follow_links=links)
    return sum(file.stat().st_size for file in files)


def _spec(options: dict[str, Any], surveyed: video_rates.Survey, found: Found) -> DatasetSpec:
    fps, stride = options["fps"], options["stride"]
    known = fps or not found.sequences  # folders of pictures have the rate that --fps says, or none
    return DatasetSpec(
        name=options["name"],
        behaviour="recorded video",
        fps=video_rates.stored_rate(surveyed, fps, stride) if known else 0.0,
        details={key: options[key] for key in ("fit", "fps", "stride", "cut") if key in options},
        **record_fields(options),
    )


def read(item: Item, options: dict[str, Any]) -> Iterator[Recording | Skipped]:
    root, dataset = source_folder(options["source"]), options["name"]
    chosen = {key: options[key] for key in _KEPT}
    if "pieces" in item.payload:
        yield from video_pieces.read_pieces(root, item, dataset, chosen)
        return
    facts: dict[str, Any] = {}  # known once the frames are read, and stored after them
    shown = read_item(root / item.name, **chosen, links=follow_links(options), facts=facts)
    yield Recording(item.name, frames={dataset: shown}, metadata=facts)

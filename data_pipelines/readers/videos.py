"""`prepare videos`: a folder of mp4, webm, gif ... files, or of sub-folders of images.

Every file or sub-folder is one episode of a video-only dataset. What cannot be read is skipped,
counted and listed with its reason; above a share of failures the whole job stops.
"""

from __future__ import annotations

import pathlib
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from data_pipelines.errors import DataError
from data_pipelines.readers.frame_options import add_frame_arguments, frame_options, record_fields
from data_pipelines.framing import square_frame
from data_pipelines.optional import require
from data_pipelines.readers.paths import natural, source_folder
from data_pipelines.recordings import Item, Plan, Recording, Skipped
from data_pipelines.spec import DatasetSpec
from data_pipelines.readers.video_decoding import frames
from data_pipelines.readers.video_opening import SUFFIXES as VIDEO_SUFFIXES

DESCRIPTION = "your own folder of videos (mp4, webm, gif, ...) or of image sequences; no labels"
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
NAME = "videos"


def add_rate_arguments(parser, *, fps: float = 0.0) -> None:
    """Adds --fps and --stride; `fps` is the default rate."""
    parser.add_argument(
        "--fps",
        type=float,
        default=fps,
        help="frames to keep per second, by time stamp; 0 = all (image folders: use --stride)",
    )
    parser.add_argument("--stride", type=int, default=1, help="then keep every n-th frame")


def rate_options(args) -> dict[str, Any]:
    """--fps and --stride as data; raises DataError for values that make no sense."""
    if args.stride < 1 or not 0 <= args.fps < float("inf"):
        raise DataError(f"--stride must be >= 1 and --fps >= 0; got {args.stride} and {args.fps}")
    return {"fps": args.fps, "stride": args.stride}


def decoder_versions() -> dict[str, str]:
    """Which decoder makes the pixels, for the manifest; raises DataError if there is none."""
    av = require("av")
    libavcodec = ".".join(map(str, av.library_versions["libavcodec"]))
    return {"pyav": av.__version__, "libavcodec": libavcodec}


def add_arguments(parser) -> None:
    add_frame_arguments(parser, source="folder, searched with its sub-folders")
    add_rate_arguments(parser)
    parser.add_argument("--name", default=NAME, help="name of the dataset in the folder")


def options(args) -> dict[str, Any]:
    if not re.fullmatch(r"[a-z][a-z0-9_]*", args.name):
        raise DataError(f"--name is {args.name!r}; use lower-case letters, digits and _")
    return frame_options(args) | rate_options(args) | {"name": args.name}


def find_items(source: str | pathlib.Path) -> list[pathlib.Path]:
    """Video files, and folders with at least two images, below `source`, in natural order.

    Raises DataError if there is no such folder or nothing to read in it. Links out of the folder
    are not followed.
    """
    root = source_folder(str(source))
    items, images = [], {}
    for path in root.rglob("*"):
        if path.is_symlink() or not path.is_file():
            continue
        if path.suffix.lower() in VIDEO_SUFFIXES:
            items.append(path)
        elif path.suffix.lower() in IMAGE_SUFFIXES:
            images[path.parent] = images.get(path.parent, 0) + 1
    items += [folder for folder, count in images.items() if count > 1]
    if not items:
        raise DataError(
            f"--source {root}: found no videos ({' '.join(VIDEO_SUFFIXES)}) and no folders of "
            f"images ({' '.join(IMAGE_SUFFIXES)})"
        )
    return sorted(items, key=lambda item: natural(item.relative_to(root)))


def read_item(
    item: pathlib.Path, *, size: int, fit: str = "crop", fps: float, stride: int
) -> Iterator[np.ndarray]:
    """Frames uint8 (size, size, 3) of one video file or image folder, one at a time."""
    if item.is_dir():
        return _images(item, size, fit, stride)
    return frames(item, size=size, fit=fit, fps=fps, stride=stride)


def _image_files(folder: pathlib.Path) -> list[pathlib.Path]:
    files = [path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES]
    return sorted(files, key=lambda path: natural(path.name))


def _images(folder: pathlib.Path, size: int, fit: str, stride: int) -> Iterator[np.ndarray]:
    for path in _image_files(folder)[::stride]:
        with Image.open(path) as image:
            yield square_frame(ImageOps.exif_transpose(image), size, fit)


def plan(options: dict[str, Any]) -> Plan:
    root = source_folder(options["source"])
    paths = find_items(root)
    files = [path for path in paths if path.is_file()]
    spec = DatasetSpec(
        name=options["name"],
        behaviour="recorded video",
        fps=options["fps"] / options["stride"],
        details={"fit": options["fit"], "fps": options["fps"], "stride": options["stride"]},
        **record_fields(options),
    )
    sources = {"folder": str(root), "items": len(paths), "video_files": len(files)}
    return Plan(
        specs=[spec],
        items=[
            Item(str(path.relative_to(root)), size=_bytes(path)) for path in paths
        ],
        sources=sources | (decoder_versions() if files else {}),
    )


def _bytes(path: pathlib.Path) -> int:
    files = _image_files(path) if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files)


def read(item: Item, options: dict[str, Any]) -> Iterator[Recording | Skipped]:
    path = source_folder(options["source"]) / item.name
    chosen = {key: options[key] for key in ("size", "fit", "fps", "stride")}
    yield Recording(item.name, frames={options["name"]: read_item(path, **chosen)})

"""`prepare videos`: a folder of mp4, webm, gif ... files, or of sub-folders of images.

Every file or sub-folder is one episode of a video-only dataset. What cannot be read is skipped,
counted and listed with its reason; above a share of failures the whole job stops.
"""

from __future__ import annotations

import errno
import importlib.util
import pathlib
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from PIL import Image

from data_pipelines.errors import DataError
from data_pipelines.framing import FITS, square_frame
from data_pipelines.registry import Collected
from data_pipelines.spec import DatasetSpec
from data_pipelines.spool import write_episode

DESCRIPTION = "your own folder of videos (mp4, webm, gif, ...) or of image sequences; no labels"
VIDEO_SUFFIXES = (".mp4", ".webm", ".gif", ".mkv", ".mov", ".avi", ".m4v")
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
NAME = "videos"
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)  # about the output, not about an item


def add_arguments(parser) -> None:
    parser.add_argument("--source", required=True, help="folder, searched with its sub-folders")
    parser.add_argument("--size", type=int, default=64, help="pixels of a side")
    parser.add_argument("--fit", default="crop", choices=FITS, help="centre square, or all of it")
    parser.add_argument(
        "--fps",
        type=float,
        default=0.0,
        help="frames to keep per second, by time stamp; 0 = all (image folders: use --stride)",
    )
    parser.add_argument("--stride", type=int, default=1, help="then keep every n-th frame")
    parser.add_argument("--name", default=NAME, help="name of the dataset in the folder")
    parser.add_argument("--seed", type=int, default=0, help="decides the split")
    parser.add_argument(
        "--codec",
        default="auto",
        choices=("auto", "raw", "png", "jpeg", "zstd"),
        help="auto: zstd up to 128 pixels, jpeg above",
    )
    parser.add_argument("--clip-stride", type=int, default=8, help="transitions owned by a record")
    parser.add_argument(
        "--max-span", type=int, default=8, help="longest window, in frames minus one"
    )
    parser.add_argument(
        "--max-failures", type=float, default=0.1, help="share of items that may be unreadable"
    )


def options(args) -> dict[str, Any]:
    if args.stride < 1 or args.fps < 0 or args.size < 8:
        raise DataError(
            f"--stride must be >= 1, --fps >= 0 and --size >= 8; got {args.stride}, {args.fps}, "
            f"{args.size}"
        )
    if not re.fullmatch(r"[a-z][a-z0-9_]*", args.name):
        raise DataError(f"--name is {args.name!r}; use lower-case letters, digits and _")
    kept = ["size", "fit", "fps", "stride", "name", "seed"]
    kept += ["clip_stride", "max_span", "max_failures"]
    codec = args.codec if args.codec != "auto" else ("zstd" if args.size <= 128 else "jpeg")
    source = str(pathlib.Path(args.source).absolute())
    return {"source": source, "codec": codec} | {name: getattr(args, name) for name in kept}


def expected_transitions(options: dict[str, Any]) -> None:
    return None  # known only after decoding


def _natural(path: pathlib.Path) -> list:
    """Sorts frame2.png before frame10.png."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", str(path))]


def find_items(source: str | pathlib.Path) -> list[pathlib.Path]:
    """Video files, and folders with at least two images, below `source`, in natural order.

    Raises DataError if there is no such folder or nothing to read in it. Links out of the folder
    are not followed.
    """
    root = pathlib.Path(source)
    if not root.is_dir():
        raise DataError(f"--source {root}: no such folder")
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
    return sorted(items, key=_natural)


def read_item(
    item: pathlib.Path, *, size: int, fit: str = "crop", fps: float, stride: int
) -> Iterator[np.ndarray]:
    """Frames uint8 (size, size, 3) of one video file or image folder, one at a time."""
    pictures = _images(item) if item.is_dir() else _video(item, fps)
    for i, image in enumerate(pictures):
        if i % stride == 0:
            yield square_frame(image, size, fit)


def _images(folder: pathlib.Path) -> Iterator[Image.Image]:
    files = (path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
    for path in sorted(files, key=_natural):
        with Image.open(path) as image:
            image.load()
            yield image


def _video(path: pathlib.Path, fps: float) -> Iterator[Image.Image]:
    """Upright frames; with `fps`, the first at or after each tick of that rate."""
    import av

    with av.open(str(path)) as container:
        if not container.streams.video:
            raise ValueError("no video stream")
        stream = container.streams.video[0]
        stream.thread_type = "SLICE"  # measured fastest for one file on few cores
        start, due = None, 0
        for frame in container.decode(stream):
            if fps and frame.time is not None:
                start = frame.time if start is None else start
                tick = int((frame.time - start) * fps + 1e-6)
                if tick < due:
                    continue
                due = tick + 1
            image = frame.to_image()
            yield image.rotate(frame.rotation, expand=True) if frame.rotation else image


def _check_decoder(items: list[pathlib.Path]) -> None:
    if any(item.is_file() for item in items) and importlib.util.find_spec("av") is None:
        raise DataError(
            "reading video files needs PyAV, which is not installed; "
            "run `pip install 'flexlam_jax[video]'` (or `pip install av`)"
        )


def collect(
    options: dict[str, Any], spool: pathlib.Path, report: Callable[[int], None]
) -> Collected:
    root = pathlib.Path(options["source"])
    items = find_items(root)
    _check_decoder(items)
    size = options["size"]
    spec = DatasetSpec(
        name=options["name"],
        image_shape=(size, size, 3),
        codec=options["codec"],
        behaviour="recorded video",
        fps=options["fps"] / options["stride"],
        clip_stride=options["clip_stride"],
        max_span=options["max_span"],
    )
    collected = Collected(specs=[spec], sources={"folder": str(root), "items": len(items)})
    for number, item in enumerate(items):
        name = str(item.relative_to(root))
        try:
            frames = read_item(
                item, size=size, fit=options["fit"], fps=options["fps"], stride=options["stride"]
            )
            report(write_episode(spool / spec.name, spec, number, frames, source=name) - 1)
        except Exception as error:  # decoders raise dozens of kinds; the manifest keeps the text
            if getattr(error, "errno", None) in _DISK_ERRORS:
                raise
            collected.skipped_items.append((name, _reason(error), str(error)))
            _check_failures(collected, len(items), options["max_failures"])
    return collected


def _reason(error: Exception) -> str:
    """A short class for the manifest's counts; the full text stays in skipped_items."""
    if isinstance(error, DataError):
        return "blank" if "blank" in str(error) else "too short"
    return "unreadable"


def _check_failures(collected: Collected, items: int, share: float) -> None:
    failed = len(collected.skipped_items)
    if failed > max(1, share * items):
        item, reason, detail = collected.skipped_items[-1]
        raise DataError(
            f"{failed} of {items} items cannot be used, more than --max-failures={share:g} "
            f"allows; last: {item}: {reason} ({detail})"
        )

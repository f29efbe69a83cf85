"""The options that every reader of files shares: frames, records, split, tolerance."""

from __future__ import annotations

import argparse
import pathlib
from collections.abc import Iterable
from typing import Any

from data_pipelines.errors import DataError
from data_pipelines.format.framing import FITS

SMALLEST = 8  # pixels of a side
_KEPT = ("size", "fit", "seed", "clip_stride", "max_span", "max_failures", "leaks")


def add_frame_arguments(
    parser: argparse.ArgumentParser, *, size: int = 64, source: str, formats: Iterable[str] = ()
) -> None:
    """Adds --source (described by `source`), --format and the shared options.

    size: the default side; 0 for pictures as they are stored. formats: layouts that the reader can
    be told to expect; by default it finds out itself (`auto`), and a dataset with one layout has no
    other choice.
    """
    parser.add_argument("--source", required=True, help=source)
    parser.add_argument(
        "--format", default="auto", choices=("auto", *formats), help="layout of the source"
    )
    kept = "" if size else "; 0: as stored"
    parser.add_argument("--size", type=int, default=size, help=f"pixels of a side{kept}")
    parser.add_argument("--fit", default="crop", choices=FITS, help="centre square, or all of it")
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
    add_trust_arguments(
        parser, share="share of the episodes (by number and time) that may be unusable", of="frames"
    )


def add_trust_arguments(parser: argparse.ArgumentParser, *, share: str, of: str) -> None:
    """Adds --max-failures (described by `share`), --leaks and --no-follow-links: what a source may
    hold. of: what episodes are sequences of."""
    parser.add_argument("--max-failures", type=float, default=0.1, help=share)
    parser.add_argument(
        "--leaks",
        default="stop",
        choices=("stop", "report"),
        help=f"what to do if two splits share a sequence of {of}: stop, or list it in the manifest",
    )
    parser.add_argument(
        "--no-follow-links",
        dest="follow_links",
        action="store_false",
        help="skip symbolic links of the source; for sources that are not trusted",
    )


def frame_options(args: argparse.Namespace, *, as_stored: bool = False) -> dict[str, Any]:
    """The shared options as data; raises DataError for values that make no sense.

    as_stored: whether the reader can keep pictures as they are (--size=0); codec 'auto' then stays
    open until their size is known.
    """
    if args.size < SMALLEST and not (as_stored and args.size == 0):
        zero = ", or 0 for pictures as they are stored" if as_stored else ""
        raise DataError(f"--size is {args.size}; use at least {SMALLEST}{zero}")
    if not 0 <= args.max_failures <= 1:
        raise DataError(f"--max-failures is {args.max_failures}; give a share from 0 to 1")
    codec = _codec(args.codec, args.size) if args.size else args.codec
    source = str(pathlib.Path(args.source).expanduser().absolute())
    kept = {"source": source, "codec": codec} | {name: getattr(args, name) for name in _KEPT}
    # Only where it is not the default: folders of before links were followed have no such option.
    return kept if args.follow_links else kept | {"follow_links": False}


def follow_links(options: dict[str, Any]) -> bool:
    """Whether symbolic links of the source are followed, for `listing` and `paths.inside`."""
    return options.get("follow_links", True)


def _codec(asked: str, side: int) -> str:
    return asked if asked != "auto" else ("zstd" if side <= 128 else "jpeg")


def record_fields(options: dict[str, Any], stored: tuple[int, int] | None = None) -> dict[str, Any]:
    """The DatasetSpec fields that follow from the shared options, for DatasetSpec(**...).

    stored: height and width of the source, which count where --size is 0.
    """
    size = options["size"]
    height, width = (size, size) if size else stored
    return {
        "image_shape": (height, width, 3),
        "codec": _codec(options["codec"], max(height, width)),
        "clip_stride": options["clip_stride"],
        "max_span": options["max_span"],
    }

"""Names that come out of files and become paths.

A name of a dataset, camera, split or shard is one plain word. Whatever a spec, a manifest or a
source says is checked here once, where it is opened; `child` is the one way from names to files.
"""

from __future__ import annotations

import pathlib
import re

from data_pipelines.errors import DataError

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")
LONGEST = 200  # bytes; file systems take 255, and suffixes are added


def check_name(name: object, what: str) -> str:
    """`name` if it is one: letters, digits and _ . + -, not beginning with . + or -.

    what: what it names, for the DataError ("dataset", "split of data/doom").
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name) or len(name) > LONGEST:
        raise DataError(
            f"{what} {str(name)[:80]!r} is no name: use letters, digits and _ . + - only, "
            f"{LONGEST} at most, beginning with a letter, a digit or _"
        )
    return name


def child(root: pathlib.Path, *names: str) -> pathlib.Path:
    """`root / names[0] / ...`; raises DataError unless every one of them is a name."""
    for name in names:
        check_name(name, f"below {root}: file")
    return root.joinpath(*names)


def plain_name(text: str, prefix: str = "d") -> str:
    """Any text as a name: lower-case letters, digits and _, beginning with a letter.

    prefix: put before what begins with something else, or is empty.
    """
    name = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")[:LONGEST]
    return name if name[:1].isalpha() else f"{prefix}_{name}".rstrip("_")

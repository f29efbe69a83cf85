"""Sources that another command reads, recognised by their files, before anything is decoded."""

from __future__ import annotations

import pathlib

from data_pipelines.errors import DataError
from data_pipelines.readers.files.listing import Listing

_HDF5 = (".hdf5", ".h5")
_DEEPEST = 2  # folders between the source and a set in it


def check_own(listing: Listing, episodes: int) -> None:
    """Raises DataError, naming the right command, if the source is another command's.

    episodes: how many videos and sequences were found. HDF5 files are a sign where there are at
    least as many of them.
    """
    root, tables = listing.root, set(listing.others.get(".json", ()))
    for name in sorted(tables):
        path = pathlib.PurePath(name)
        if len(path.parents) > _DEEPEST + 2:
            continue
        if path.parts[-2:] == ("meta", "info.json") and _says_lerobot(root / path):
            _refuse(root, name, "belongs to a LeRobot set", "lerobot", path.parent.parent)
        if path.name == "features.json" and str(path.with_name("dataset_info.json")) in tables:
            _refuse(root, name, "belongs to a TFDS or RLDS dataset", "rlds", path.parent)
    files = [name for suffix in _HDF5 for name in listing.others.get(suffix, ())]
    if files and len(files) >= episodes:
        what = f"is one of {len(files)} HDF5 files, as LIBERO and robomimic publish them"
        _refuse(root, files[0], what, "libero", pathlib.PurePath())


def _says_lerobot(path: pathlib.Path) -> bool:
    try:
        with open(path, "rb") as file:
            return b"codebase_version" in file.read(1 << 20)
    except OSError:
        return False


def _refuse(
    root: pathlib.Path, name: str, what: str, command: str, folder: pathlib.PurePath
) -> None:
    raise DataError(
        f"--source {root}: {name} {what}. Read it with `prepare {command} "
        f"--source={root / folder}`, or give `videos` a folder that holds videos only"
    )

"""Where a dataset folder is built, and what of it may be touched.

`--out` is new, empty, or a finished folder of the same recipe and options. Everything is written to
a hidden sibling, which is locked, and emptied only if everything in it was made by a build.
Whatever else lies in either place is refused and stays as it is.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pathlib
import re
import shutil
from collections.abc import Iterator
from typing import Any

from data_pipelines.conversion.bundles import BUNDLES
from data_pipelines.conversion.engines import STOP
from data_pipelines.conversion.output import OutputError, cannot_write
from data_pipelines.conversion.shards import DONE
from data_pipelines.errors import DataError
from data_pipelines.format.layout import VERSION
from data_pipelines.format.manifest import FILE_NAME, read_manifest
from data_pipelines.whole_files import UNFINISHED

PLAN = "plan.json"
ASSEMBLY = "assembly.json"
_WORKING = (BUNDLES, DONE, PLAN, ASSEMBLY, STOP)
_AFTER_ROOM = "What is finished is kept: once there is room, the same command goes on"


def out_folder(out: str | os.PathLike) -> pathlib.Path:
    """--out as an absolute path; raises DataError for what can be no folder."""
    text = os.fspath(out)
    if not text.strip():
        raise DataError("--out is empty; give the folder to write")
    if "://" in text:
        raise DataError(
            f"--out {text} is a URL; give a local path (a bucket can be mounted or copied to)"
        )
    try:
        path = pathlib.Path(os.path.abspath(pathlib.Path(text).expanduser()))
        path.exists()
    except (OSError, RuntimeError, ValueError) as error:  # a name too long, a home of nobody
        raise DataError(f"--out {text}: {error}; give another --out") from error
    return path


def already_there(out: pathlib.Path, recipe: str, options: dict[str, Any]) -> bool:
    """True if `out` was finished by this recipe and options, False if it is new or empty.

    Raises DataError for anything else.
    """
    if out.is_symlink() and not (out / FILE_NAME).exists():
        raise DataError(
            f"{out} is a link to {os.readlink(out)}; nothing is written through links. Give --out "
            "that folder itself"
        )
    if not out.exists():
        return False
    if not out.is_dir():
        raise DataError(f"{out} is a file; give --out a new folder")
    if not (out / FILE_NAME).exists():
        if any(out.iterdir()):
            raise DataError(
                f"{out} holds files but no {FILE_NAME}; it is not a dataset folder and is left as "
                "it is. Give --out a new or empty folder"
            )
        return False
    manifest = read_manifest(out)
    if manifest["recipe"] != recipe:
        raise DataError(f"{out} holds {manifest['recipe']!r}, not {recipe!r}; give another --out")
    there = manifest["options"]
    differences = [
        f"{key}: {there.get(key)!r} there, {options.get(key)!r} asked"
        for key in sorted(there.keys() | options.keys())
        if there.get(key) != options.get(key)
    ]
    if differences:
        raise DataError(
            f"{out} was prepared with other options ({'; '.join(differences)}). Give another --out"
        )
    return True


def check_apart(out: pathlib.Path, source: object) -> None:
    """Raises DataError if `out` is or lies in the source: the next reading would find it there."""
    if not isinstance(source, str) or not source:
        return
    real, root = (pathlib.Path(os.path.realpath(path)) for path in (out, source))
    if real.is_relative_to(root):
        raise DataError(f"--out {out} lies in --source {source}; give --out a folder outside of it")


@contextlib.contextmanager
def building_folder(out: pathlib.Path) -> Iterator[pathlib.Path]:
    """The locked, hidden sibling of `out`; what is in it, if anything, was made by a build.

    A failure leaves nothing of it, unless something was begun. On file systems without locks two
    builds of one `out` are not noticed.
    """
    folder = out.parent / f".{out.name}.partial"
    made = [path for path in (folder, *folder.parents) if not os.path.lexists(path)]
    descriptor = _opened(folder, out)
    try:
        _lock(descriptor, folder, out)
        _check_ours(folder, out)
        try:
            yield folder
        except BaseException:
            with contextlib.suppress(OSError):
                for path in made:  # those that are empty
                    path.rmdir()
            raise
    except OutputError as error:
        raise OutputError(f"{error}. {_AFTER_ROOM}") from error
    except OSError as error:
        told = cannot_write(error.filename or out, error)
        raise OutputError(f"{told}. {_AFTER_ROOM}") from error
    finally:
        os.close(descriptor)


def _opened(folder: pathlib.Path, out: pathlib.Path) -> int:
    if os.path.lexists(folder) and (folder.is_symlink() or not folder.is_dir()):
        what = "a link" if folder.is_symlink() else "a file"
        raise DataError(f"{folder}, where {out} would be built, is {what}; give another --out")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise DataError(
            f"cannot write in {out.parent}: {error}; give --out a writable place"
        ) from error


def _lock(descriptor: int, folder: pathlib.Path, out: pathlib.Path) -> None:
    with contextlib.suppress(OSError):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DataError(f"another run is preparing {out}; wait for it to finish") from error
        if os.path.samestat(os.fstat(descriptor), os.stat(folder)):
            return
    # It was renamed to `out` between opening and locking, or the file system knows no locks.
    if not folder.exists():
        raise DataError(f"another run has just prepared {out}; give the same command again")


def _check_ours(folder: pathlib.Path, out: pathlib.Path) -> None:
    proven = _is_plan(folder / PLAN)
    foreign = sorted(entry.name for entry in os.scandir(folder) if not _is_ours(entry, proven))
    if foreign:
        raise DataError(
            f"{folder}, where {out} would be built, holds files of somebody else "
            f"({', '.join(foreign[:3])}{', ...' if len(foreign) > 3 else ''}); they are left as "
            "they are. Give another --out"
        )


def _is_plan(file: pathlib.Path) -> bool:
    if file.is_symlink() or not file.is_file():
        return False
    with open(file, errors="replace") as opened:
        return re.fullmatch(r"[0-9a-f]{64}|", opened.read(100)) is not None  # "": killed just then


def _is_ours(entry: os.DirEntry, proven: bool) -> bool:
    """Working files of a build, and beside its plan what it began to write."""
    if entry.is_symlink():
        return False
    if entry.name in _WORKING:
        return proven or entry.name != PLAN
    if entry.name == FILE_NAME:
        return proven
    return proven and entry.is_dir() and set(os.listdir(entry.path)) <= {VERSION}


def begin(folder: pathlib.Path, fingerprint: str) -> None:
    """Keeps what is in a building folder if it was made for the same `fingerprint`."""
    file = folder / PLAN
    if not file.exists() or file.read_text() != fingerprint:
        for path in folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        file.write_text(fingerprint)
    for leftover in (*(folder / BUNDLES).glob("work-*"), *(folder / DONE).glob(f"{UNFINISHED}*")):
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()


def finish(folder: pathlib.Path, out: pathlib.Path) -> None:
    """Flushes the result to disk, then makes it visible under its name in one step."""
    for name in set(_WORKING) - {PLAN}:
        path = folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    for path in folder.rglob("*"):
        if path.is_file():
            with open(path, "rb") as file:
                os.fsync(file.fileno())
    os.rename(folder, out)
    (out / PLAN).unlink()  # last: it proves that the folder is ours

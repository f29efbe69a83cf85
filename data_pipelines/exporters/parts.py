"""A folder that is written file by file and finished by one that says so.

    with ExportFolder(path, identity) as folder:
        if not folder.finished():
            folder.write("data/file-000.parquet", lambda path: fill(path))
            folder.finish()

Files appear whole or not at all. Next to each that is done, .parts notes its hash and what its
writer gave back, so that the same call after a kill writes what is missing. `finish` writes
export.json, which lists all files, and takes .parts away. A folder that holds (parts of) anything
else is refused.
"""

from __future__ import annotations

import fcntl
import json
import os
import pathlib
import shutil
from collections.abc import Callable
from typing import Any, TextIO

from data_pipelines.errors import DataError
from data_pipelines.format.manifest import file_hash
from data_pipelines.typed_json import read_json
from data_pipelines.whole_files import whole_file

FILE_NAME = "export.json"
_PARTS, _PLAN, _LOCK = ".parts", "plan.json", "lock"
_AGAIN = "remove that folder and run the same command again"


class ExportFolder:
    """The folder of one export; a context manager that keeps other processes out.

    Args:
      identity: JSON, what the export is of; another one in the folder is an error.

    Raises on entering:
      DataError: the folder holds another export, or files that are none, or cannot be written.
    """

    def __init__(self, path: str | os.PathLike, identity: dict[str, Any]):
        self.path = pathlib.Path(path)
        self._identity = json.loads(json.dumps(identity))
        self._parts = self.path / _PARTS
        self._files: dict[str, dict[str, Any]] = {}
        self._lock: TextIO | None = None

    def __enter__(self) -> ExportFolder:
        self._check_place()
        try:
            self._parts.mkdir(parents=True, exist_ok=True)
            self._lock = open(self._parts / _LOCK, "a")
            fcntl.flock(self._lock, fcntl.LOCK_EX)
        except OSError as error:
            raise _cannot_write(self.path, error) from error
        self._check_place()  # Another process may have begun, or finished, since.
        self._put(self._parts / _PLAN, {"identity": self._identity})
        return self

    def __exit__(self, *error: object) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None
        if (self.path / FILE_NAME).is_file():
            shutil.rmtree(self._parts, ignore_errors=True)

    def finished(self) -> bool:
        """Whether all of it is there as it was written. What is damaged is told of and removed."""
        if not (self.path / FILE_NAME).is_file():
            return False
        files = read_json(self.path / FILE_NAME, dict[str, Any], remedy=_AGAIN)["files"]
        damaged = [name for name, facts in files.items() if not self._is_whole(name, facts)]
        if not damaged:
            return True
        print(f"written again: {self.path / damaged[0]} is damaged or missing")
        (self.path / FILE_NAME).unlink()
        for name in files:
            path = self.path / name
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        return False

    def write(
        self, name: str, fill: Callable[[pathlib.Path], dict[str, Any] | None]
    ) -> dict[str, Any]:
        """One file of the export, unless it is there; returns what `fill` said of it (JSON).

        fill: writes to the path that it is given. Raises DataError for a disk that takes no more.
        """
        note = self._note(name)
        known = _read_note(note)
        if known is None or not self._is_whole(name, known):
            path = self.path / name
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                with whole_file(path, scratch=self._parts, durable=True) as unfinished:
                    said = fill(unfinished) or {}
                known = {"bytes": path.stat().st_size, "sha256": file_hash(path), "said": said}
            except OSError as error:
                raise _cannot_write(path, error) from error
            known = json.loads(json.dumps(known))
            self._put(note, known)
        self._files[name] = {"bytes": known["bytes"], "sha256": known["sha256"]}
        return known["said"]

    def said(self, name: str) -> dict[str, Any]:
        """What `fill` said of a file that this call wrote or found."""
        known = _read_note(self._note(name))
        if known is None:
            raise DataError(f"{self._note(name)}: damaged while it was in use; {_AGAIN}")
        return known["said"]

    def write_folder(
        self, name: str, fill: Callable[[pathlib.Path], dict[str, Any] | None]
    ) -> dict[str, Any]:
        """As `write`, for a folder of many small files, which appears whole or not at all.

        What is noted of it is the number and the size of its files.
        """
        note = self._note(name)
        known = _read_note(note)
        if known is None or not self._is_whole(name, known):
            path, unfinished = self.path / name, self._parts / "unfinished"
            try:
                for place in (unfinished, path):
                    if place.exists():
                        shutil.rmtree(place)
                unfinished.mkdir()
                said = fill(unfinished) or {}
                path.parent.mkdir(parents=True, exist_ok=True)
                known = _measured(unfinished) | {"said": said}
                unfinished.replace(path)
            except OSError as error:
                raise _cannot_write(path, error) from error
            known = json.loads(json.dumps(known))
            self._put(note, known)
        self._files[name] = {key: known[key] for key in known if key != "said"}
        return known["said"]

    def write_text(self, name: str, text: str) -> None:
        """A small file, always anew."""
        path = self.path / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(path, scratch=self._parts, durable=True) as unfinished:
                unfinished.write_text(text, encoding="utf-8")
        except OSError as error:
            raise _cannot_write(path, error) from error
        self.adopt(name)

    def adopt(self, name: str) -> None:
        """Lists a file that a library wrote into the folder."""
        path = self.path / name
        self._files[name] = {"bytes": path.stat().st_size, "sha256": file_hash(path)}

    def finish(self, **facts: Any) -> None:
        """Says that every file is there. facts: JSON that export.json is to hold as well."""
        values = {"identity": self._identity, **facts, "files": self._files}
        self._put(self.path / FILE_NAME, values, indent=1)

    def _note(self, name: str) -> pathlib.Path:
        return self._parts / f"{name.replace('/', '+')}.json"

    def _is_whole(self, name: str, facts: dict[str, Any]) -> bool:
        path = self.path / name
        try:
            if "files" in facts:
                return _measured(path) == {key: facts[key] for key in ("files", "bytes")}
            return path.stat().st_size == facts["bytes"] and file_hash(path) == facts["sha256"]
        except OSError:
            return False

    def _put(self, path: pathlib.Path, values: dict[str, Any], indent: int | None = None) -> None:
        try:
            with whole_file(path, scratch=self._parts, durable=True) as unfinished:
                unfinished.write_text(json.dumps(values, indent=indent) + "\n", encoding="utf-8")
        except OSError as error:
            raise _cannot_write(path, error) from error

    def _check_place(self) -> None:
        """Raises DataError unless the folder is new, empty, or holds (parts of) this export."""
        if not self.path.exists():
            return
        if not self.path.is_dir():
            raise DataError(f"{self.path} is a file; give another folder")
        done, plan = self.path / FILE_NAME, self._parts / _PLAN
        if done.is_file() or plan.is_file():
            file = done if done.is_file() else plan
            found = read_json(file, dict[str, Any], remedy=_AGAIN).get("identity")
            if found != self._identity:
                raise DataError(
                    f"{self.path} holds an export of another model, dataset or options "
                    f"({_difference(found, self._identity)}); give another folder, or remove that one"
                )
        elif any(entry.name != _PARTS for entry in self.path.iterdir()):
            raise DataError(
                f"{self.path} holds files that are no export of this package; give another folder"
            )


def check_outside(path: str | os.PathLike, original: pathlib.Path) -> None:
    """Raises DataError for a folder in (or that is) the set that an export is made beside."""
    place = pathlib.Path(path).expanduser().absolute()
    if original == place or original in place.parents:
        raise DataError(f"{path} lies in {original}, which stays as it is; give another folder")


def _read_note(note: pathlib.Path) -> dict[str, Any] | None:
    """What is noted of a file; None for a note that is missing or damaged."""
    try:
        found = json.loads(note.read_text())
        return found if {"bytes", "said"} <= found.keys() else None
    except (OSError, ValueError, AttributeError):
        return None


def _measured(folder: pathlib.Path) -> dict[str, int]:
    """{files, bytes} of the files in a folder; raises OSError."""
    sizes = [entry.stat().st_size for entry in os.scandir(folder)]
    return {"files": len(sizes), "bytes": sum(sizes)}


def _difference(found: Any, mine: dict[str, Any], above: str = "") -> str:
    """The first entry in which two descriptions differ, in words."""
    if not isinstance(found, dict):
        return f"{above or 'identity'} is {str(found)[:40]}"
    for key in sorted(mine.keys() | found.keys()):
        one, other = found.get(key), mine.get(key)
        if one != other:
            name = f"{above}{key}"
            if isinstance(one, dict) and isinstance(other, dict):
                return _difference(one, other, f"{name}.")
            return f"{name} {str(one)[:24]} instead of {str(other)[:24]}"
    return "nothing"


def _cannot_write(path: pathlib.Path, error: OSError) -> DataError:
    return DataError(
        f"{path}: cannot be written ({error.strerror or error}); mend the storage or give another "
        "folder, then run the same command again"
    )

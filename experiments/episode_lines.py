"""Folders with a line per episode that was played, so that a killed command goes on.

settings.json says by whom and how; a folder of other settings is refused. A file of JSON lines grows
as episodes end.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from flexlam_jax.errors import UserError
from flexlam_jax.files import write_atomically, writing_to
from flexlam_jax.typed_json import parse_json, read_json

Line = TypeVar("Line")
_AGAIN = "remove the folder to play all episodes again"


def check_settings(folder: Path, settings: Mapping[str, Any], noun: str) -> None:
    """Writes the settings of a folder. Raises UserError where it holds others, of `noun`."""
    path, text = folder / "settings.json", json.dumps(settings, indent=1) + "\n"
    if not path.exists():
        write_atomically(path, text)
        return
    old, new = read_json(path, dict[str, Any], remedy=_AGAIN), json.loads(text)
    if old == new:
        return
    changed = [key for key in {**old, **new} if old.get(key) != new.get(key)]
    told = "; ".join(f"{key} was {old.get(key)}, is {new.get(key)}" for key in changed)
    raise UserError(f"--out={folder} holds {noun} of other settings ({told}); give another")


def read_lines(path: Path, kind: type[Line]) -> list[Line]:
    """The lines of a file, none where there is no file; one that a kill cut short is taken away.

    Raises UserError for a line that is no `kind`.
    """
    if not path.exists():
        return []
    text = path.read_text()
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        write_atomically(path, whole)
    return [
        parse_json(row, kind, where=f"line {number} of {path}", remedy=_AGAIN)
        for number, row in enumerate(whole.splitlines(), 1)
    ]


def add_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Raises UserError if they cannot be written."""
    with writing_to(path), open(path, "a") as file:
        file.write("".join(json.dumps(row) + "\n" for row in rows))

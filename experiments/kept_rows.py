"""Rows that a study measured in this process, kept so that the same command need not measure them again.

Studies whose parts are commands of their own have `experiments.pieces`.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from flexlam_jax.files import write_atomically
from flexlam_jax.typed_json import read_json


class Kept(NamedTuple):
    """rows: plain values.   cpu_seconds: that they took, whenever that was."""

    rows: list[dict[str, Any]]
    cpu_seconds: float


def kept_rows(
    path: Path, asked: Mapping[str, Any], measure: Callable[[], Sequence[Mapping[str, Any]]]
) -> Kept:
    """Those in the file, if they are what is asked for; else new ones, which are written there.

    Args:
      asked: all that the rows depend on, as plain values.

    Raises:
      UserError: the file is damaged.
    """
    asked = json.loads(json.dumps(asked))  # As it is read: tuples are lists.
    if path.exists():
        found = read_json(path, dict[str, Any], remedy="remove it, and it is measured again")
        if found.get("asked") == asked and {"rows", "cpu_seconds"} <= found.keys():
            return Kept(found["rows"], found["cpu_seconds"])
    start = time.process_time()
    rows = [dict(row) for row in measure()]
    seconds = time.process_time() - start
    path.parent.mkdir(exist_ok=True)
    told = {"asked": asked, "cpu_seconds": seconds, "rows": rows}
    write_atomically(path, json.dumps(told, allow_nan=False) + "\n")
    return Kept(rows, seconds)

"""What was trained so far: rows.json, by sweep. Another call adds the sweeps that are missing."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.linear_lam.measure import Row
from flexlam_jax.errors import UserError
from flexlam_jax.files import write_atomically
from flexlam_jax.typed_json import read_json

FILE = "rows.json"


@dataclasses.dataclass(frozen=True)
class Record:
    """seeds, fast: what all rows were made with.   rows: sweep -> a row per case, seed and prefix.

    seconds, cpu_seconds: of the calls that made them, together.
    """

    seeds: tuple[int, ...]
    fast: bool
    rows: dict[str, list[Row]] = dataclasses.field(default_factory=dict)
    seconds: float = 0.0
    cpu_seconds: float = 0.0

    def with_rows(self, rows: Sequence[Row], seconds: float, cpu_seconds: float) -> "Record":
        """Those of more sweeps."""
        more: dict[str, list[Row]] = {}
        for row in rows:
            more.setdefault(row["sweep"], []).append(row)
        return Record(
            self.seeds,
            self.fast,
            self.rows | more,
            self.seconds + seconds,
            self.cpu_seconds + cpu_seconds,
        )


def read(folder: Path, seeds: Sequence[int], fast: bool) -> Record:
    """What an earlier call left, or nothing yet.

    Raises:
      UserError: it was made with other seeds, or is a smoke run, or is damaged.
    """
    if not (folder / FILE).is_file():
        return Record(tuple(seeds), fast)
    remedy = "give --out a new folder"
    told: dict[str, Any] = read_json(folder / FILE, dict[str, Any], remedy=remedy)
    found = Record(**told | {"seeds": tuple(told["seeds"])})
    if (found.seeds, found.fast) != (tuple(seeds), fast):
        raise UserError(
            f"--out={folder} holds rows of seeds {', '.join(map(str, found.seeds))}"
            f"{' of a smoke run (--fast)' if found.fast else ''}; ask for the same, or {remedy}"
        )
    return found


def write(folder: Path, record: Record) -> None:
    write_atomically(folder / FILE, json.dumps(dataclasses.asdict(record), allow_nan=False) + "\n")

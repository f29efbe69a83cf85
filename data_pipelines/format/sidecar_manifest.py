"""sidecar.json: what a sidecar is. Written last: a folder with one is complete."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import pathlib
from typing import Annotated, Any

import msgspec
import numpy as np

from data_pipelines.errors import DataError
from data_pipelines.names import check_name
from data_pipelines.typed_json import as_type, read_json

FORMAT = 1
FILE_NAME = "sidecar.json"
ALIGNMENTS = ("frame", "transition", "episode")
AGAIN = "write the sidecar again"
TABLES = ("episodes", "offsets")  # files beside the arrays

Count = Annotated[int, msgspec.Meta(ge=0, le=2**62)]


@dataclasses.dataclass(frozen=True)
class RowType:
    """What one row of an array is: NumPy's name of the type, as "<f4", and its shape."""

    dtype: str
    shape: tuple[Count, ...]


@dataclasses.dataclass(frozen=True)
class File:
    """What the manifest knows of a file."""

    bytes: Count
    sha256: str


@dataclasses.dataclass(frozen=True)
class Facts:
    """What a sidecar is.

    kind: of content, as "latents".  data: fingerprint of the records (`split_fingerprint`).
    alignment: what a row stands for, one of ALIGNMENTS.  gap: frames of a transition, None for
    other alignments.  rows: of every array.  arrays: name -> type of a row.  made_by: what made it,
    JSON; `model` in it is the fingerprint of a model.
    """

    kind: str
    dataset: str
    split: str
    data: str
    alignment: str
    gap: Count | None
    rows: Count
    arrays: dict[str, RowType]
    made_by: dict[str, Any]


def read_facts(place: pathlib.Path) -> tuple[Facts, dict[str, File]]:
    """(what the sidecar in `place` is, name -> file); raises DataError for none, or a damaged one."""
    file = place / FILE_NAME
    if not file.is_file():
        raise DataError(f"{place}: no finished sidecar ({FILE_NAME} is missing); write it first")
    values = read_json(file, dict[str, Any], remedy=AGAIN)
    if values.get("format") != FORMAT:
        raise DataError(
            f"{file}: format {values.get('format')!r}, this code reads {FORMAT}; {AGAIN}"
        )
    if values.get("sha256") != content_hash(values):
        raise DataError(f"{file}: its fields are not those that were written; {AGAIN}")
    facts = as_type(values, Facts, where=str(file), remedy=AGAIN)
    files = as_type(values.get("files"), dict[str, File], where=f"{file}, files", remedy=AGAIN)
    check_facts(facts, str(file))
    if files.keys() != {f"{name}.npy" for name in (*facts.arrays, *TABLES)}:
        raise DataError(f"{file}: lists the files {', '.join(files)}; {AGAIN}")
    return facts, files


def check_facts(facts: Facts, where: str) -> None:
    """Raises DataError for an alignment, a gap, names or types that no sidecar can have."""
    if facts.alignment not in ALIGNMENTS:
        raise DataError(
            f"{where}: alignment {facts.alignment!r} is not one of {', '.join(ALIGNMENTS)}"
        )
    if (facts.alignment == "transition") != bool(facts.gap):
        raise DataError(
            f"{where}: gap {facts.gap} with alignment {facts.alignment!r}; transitions have a gap "
            "of at least 1 frame, and nothing else has one"
        )
    if not facts.arrays:
        raise DataError(f"{where}: no arrays; give at least one")
    for name, row in facts.arrays.items():
        check_name(name, f"{where}: array")
        if name in TABLES:
            raise DataError(f"{where}: an array cannot be called {name!r}; name it otherwise")
        row_dtype(row, f"{where}, array {name!r}")


def row_dtype(row: RowType, where: str) -> np.dtype:
    """The type of a row's elements; DataError unless it is a number of fixed size."""
    try:
        dtype = np.dtype(row.dtype)
    except TypeError:
        dtype = None
    if dtype is None or dtype.kind not in "biuf" or dtype.newbyteorder("<").str != row.dtype:
        raise DataError(
            f"{where}: {row.dtype!r} is no type of numbers; give bool, integers or floats, "
            'little-endian as "<f4"'
        )
    return dtype


def content_hash(values: dict[str, Any]) -> str:
    """sha256 of all fields but "sha256", where it is kept."""
    rest = {key: value for key, value in values.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()

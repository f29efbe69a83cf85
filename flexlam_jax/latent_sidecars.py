"""Latents that lie in sidecars: <dataset>/<split>/sidecar.json beside one .npy file per array.

The format is that of data_pipelines.format.sidecars, which the loader joins to batches; here they
are read without it, verified, and memory-mapped.
"""

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from flexlam_jax.errors import DamagedFile
from flexlam_jax.typed_json import as_type, content_hash, read_json

FORMAT = 1
FILE_NAME = "sidecar.json"
_AGAIN = "restore it, or write it again with experiments.extract_latents"


@dataclasses.dataclass(frozen=True)
class _Row:
    """What one row of an array is."""

    dtype: str
    shape: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class _File:
    bytes: int
    sha256: str


@dataclasses.dataclass(frozen=True)
class _Sidecar:
    dataset: str
    split: str
    alignment: str
    gap: int
    rows: int
    arrays: dict[str, _Row]
    files: dict[str, _File]
    made_by: dict[str, Any]


def read_arrays(place: Path, model: str, gap: int) -> dict[str, np.ndarray]:
    """slots, ids (if discrete), episode, t and gap of one split, verified; see latents.Latents.

    Args:
      place: the folder <dataset>/<split>.  model, gap: that the folder's latents must be of.

    Raises:
      DamagedFile: not what was written, or of another dataset, split, model or gap.
    """
    sidecar = _read_manifest(place / FILE_NAME)
    if (sidecar.dataset, sidecar.split) != (place.parent.name, place.name):
        raise DamagedFile(
            f"{place} holds latents of dataset {sidecar.dataset!r}, split {sidecar.split!r}: "
            f"folders were renamed; {_AGAIN}"
        )
    if (sidecar.made_by.get("model"), sidecar.gap) != (model, gap):
        raise DamagedFile(
            f"{place} holds latents of another model or gap than its folder; {_AGAIN}"
        )
    arrays = {name: _array(place, name, sidecar) for name in sidecar.arrays}
    episodes, offsets = (_table(place, name, sidecar) for name in ("episodes", "offsets"))
    counts = np.diff(offsets)
    if len(counts) != len(episodes) or (counts < 0).any() or counts.sum() != sidecar.rows:
        raise DamagedFile(f"{place} is damaged: its offsets do not fit its rows; {_AGAIN}")
    first = np.repeat(offsets[:-1], counts)
    return arrays | {
        "episode": np.repeat(episodes, counts),
        "t": (np.arange(sidecar.rows) - first).astype(np.int32),
        "gap": np.full(sidecar.rows, gap, np.int32),
    }


def _read_manifest(file: Path) -> _Sidecar:
    values = read_json(file, dict[str, Any], remedy=_AGAIN)
    if values.get("format") != FORMAT:
        raise DamagedFile(
            f"{file} has format {values.get('format')}, this program reads {FORMAT}; "
            "update flexlam_jax"
        )
    if values.get("sha256") != content_hash(values):
        raise DamagedFile(
            f"{file} is damaged: its fields are not those that were written; {_AGAIN}"
        )
    sidecar = as_type(values, _Sidecar, where=str(file), remedy=_AGAIN)
    names = {"slots", *(sidecar.arrays.keys() & {"ids"})}
    known = {f"{name}.npy" for name in (*names, "episodes", "offsets")}
    if sidecar.alignment != "transition" or sidecar.arrays.keys() != names:
        raise DamagedFile(f"{file} is no sidecar of latent actions; {_AGAIN}")
    if sidecar.files.keys() != known:
        raise DamagedFile(f"{file} is damaged: it lists other files; {_AGAIN}")
    return sidecar


def _array(place: Path, name: str, sidecar: _Sidecar) -> np.ndarray:
    row = sidecar.arrays[name]
    return _verified(place / f"{name}.npy", sidecar, row.dtype, (sidecar.rows, *row.shape))


def _table(place: Path, name: str, sidecar: _Sidecar) -> np.ndarray:
    return _verified(place / f"{name}.npy", sidecar, "<i8", None)


def _verified(
    file: Path, sidecar: _Sidecar, dtype: str, shape: tuple[int, ...] | None
) -> np.ndarray:
    """The memory-mapped array of a file whose sha256 is right; shape None: any of one axis."""
    known = sidecar.files[file.name]
    try:
        with open(file, "rb") as stream:
            whole = hashlib.file_digest(stream, "sha256").hexdigest() == known.sha256
        size = file.stat().st_size
        if size != known.bytes:
            raise ValueError(f"it has {size} bytes instead of {known.bytes}")
        if not whole:
            raise ValueError(f"it does not match its sha256 in {FILE_NAME}")
        array = np.load(file, mmap_mode="r", allow_pickle=False)
        if array.dtype.str != dtype or array.ndim < 1 or shape not in (None, array.shape):
            raise ValueError(f"it is {array.dtype} {array.shape}, its manifest says otherwise")
        return array
    except (OSError, ValueError, EOFError) as error:
        why = getattr(error, "strerror", None) or error
        raise DamagedFile(f"{file} is damaged: {why}; {_AGAIN}") from error

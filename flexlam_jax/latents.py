"""Latent actions of whole datasets on disk, as `experiments.extract_latents` writes them.

    rows = flexlam_jax.read_latents("latents", "square", "train")
    rows.slots[i]           # of the transition of frames t[i] and t[i] + gap[i] of episode[i]

A folder holds manifest.json and, of each split, a sidecar in <dataset>/<split>/ or a file
<dataset>/<split>.npz. The manifest (for a sidecar its own) is written after every file, and knows
the sha256 of each: what does not match is never mistaken for latents.

Dimension keys: N transitions, K slots, D slot width.
"""

import dataclasses
import hashlib
import json
import logging
import uuid
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from flexlam_jax import latent_sidecars
from flexlam_jax.errors import DamagedFile
from flexlam_jax.files import write_atomically, writing_to
from flexlam_jax.typed_json import as_type, content_hash, read_json

FORMAT = 1
FILE_NAME = "manifest.json"
_AGAIN = "restore it, or write it again with experiments.extract_latents"
_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Entry:
    """What the manifest knows of one file; early versions wrote no sha256.

    arrays: name -> (dtype, shape).
    """

    transitions: int
    episodes: int
    arrays: dict[str, tuple[str, tuple[int, ...]]]
    bytes: int
    sha256: str | None = None


@dataclasses.dataclass(frozen=True)
class Manifest:
    """Whose latents a folder holds.

    model: fingerprint of the model (`LoadedLam.fingerprint`).  step: of its training.  data: hash
    of the dataset folder's manifest.  gap: frames between the two of a transition.  codebook_size:
    None for continuous slots.  budgets: prefix lengths the model was trained on.  null: the latent
    (D,) that stands for a slot that is not kept.  files: "<dataset>/<split>.npz" -> Entry; sidecars
    are not listed here.
    """

    model: str
    step: int
    gap: int
    data: str
    slots: int
    slot_width: int
    codebook_size: int | None
    budgets: tuple[int, ...]
    null: tuple[float, ...]
    files: dict[str, Entry] = dataclasses.field(default_factory=dict)
    format: int = FORMAT


@dataclasses.dataclass(frozen=True)
class Latents:
    """One row per transition, in the order of the dataset.

    slots: float32 (N, K, D), not null-filled.  ids: int32 (N, K), None for continuous slots.
    episode: int64, t: int32, gap: int32 (N,): a row is of frames t and t + gap of its episode.
    """

    slots: np.ndarray
    ids: np.ndarray | None
    episode: np.ndarray
    t: np.ndarray
    gap: np.ndarray


def read_latents(folder: Any, dataset: str, split: str) -> Latents:
    """Reads one split of one dataset, verified. Nothing is unpickled.

    Arrays of a sidecar are memory-mapped, read only.

    Raises:
      DamagedFile (a ValueError): not there, or not what was written.
    """
    name = file_name(dataset, split)
    manifest = read_manifest(folder)
    if manifest is None:
        raise DamagedFile(
            f"no latents in {folder}: {FILE_NAME} is missing; make some with "
            "python -m experiments.extract_latents"
        )
    place = Path(folder) / name.removesuffix(".npz")
    if (place / latent_sidecars.FILE_NAME).is_file():
        arrays = latent_sidecars.read_arrays(place, manifest.model, manifest.gap)
        return Latents(**{"ids": None, **arrays})
    if name not in manifest.files:
        raise DamagedFile(
            f"{folder} holds no latents of dataset {dataset!r}, split {split!r}; it "
            f"holds: {', '.join([*manifest.files, *_sidecars(folder)]) or 'nothing yet'}"
        )
    entry = manifest.files[name]
    verify(folder, name, entry)
    if entry.sha256 is None:
        _log.info("%s was written by an early version: it cannot be verified", Path(folder) / name)
    return Latents(**{"ids": None, **_load(Path(folder) / name, entry)})


def read_manifest(folder: Any) -> Manifest | None:
    """The manifest of a folder, None if there is none.

    Raises:
      DamagedFile: it cannot be read, or does not hold what it should.
    """
    file = Path(folder) / FILE_NAME
    if not file.exists():
        return None
    values = read_json(file, dict[str, Any], remedy=_AGAIN)
    if values.get("format") != FORMAT:
        raise DamagedFile(
            f"{file} has format {values.get('format')}, this program reads {FORMAT}; "
            "update flexlam_jax, or give another folder"
        )
    files = as_type(values.get("files"), dict[str, Any], where=f"{file}, files,", remedy=_AGAIN)
    entries = {
        name: as_type(entry, Entry, where=f"{file}, files[{name!r}],", remedy=_AGAIN)
        for name, entry in files.items()
    }
    manifest = as_type({**values, "files": {}}, Manifest, where=str(file), remedy=_AGAIN)
    if values.get("sha256", content_hash(values)) != content_hash(values):  # Early ones have none.
        raise DamagedFile(
            f"{file} is damaged: its fields are not those that were written; {_AGAIN}"
        )
    return dataclasses.replace(manifest, files=entries)


def write_manifest(folder: Any, manifest: Manifest) -> None:
    """Writes the manifest of a folder, and a hash of itself; whole or not at all."""
    values = dataclasses.asdict(manifest)
    values["sha256"] = content_hash(values)
    # By way of a name of its own, as several processes may begin at once.
    own = Path(folder) / f".{FILE_NAME}.{uuid.uuid4().hex[:8]}"
    write_atomically(own, json.dumps(values, indent=1) + "\n")
    with writing_to(folder):
        own.replace(Path(folder) / FILE_NAME)


def write_latents(folder: Any, name: str, rows: Latents) -> Entry:
    """Writes <folder>/<name> and returns what the manifest is to know of it."""
    arrays = {field.name: getattr(rows, field.name) for field in dataclasses.fields(rows)}
    arrays = {key: value for key, value in arrays.items() if value is not None}
    file = Path(folder) / name
    write_atomically(file, lambda stream: np.savez(stream, **arrays))
    return Entry(
        transitions=len(rows.t),
        episodes=len(np.unique(rows.episode)),
        bytes=file.stat().st_size,
        arrays={key: (str(value.dtype), value.shape) for key, value in arrays.items()},
        sha256=_sha256(file),
    )


def verify(folder: Any, name: str, entry: Entry) -> None:
    """Raises DamagedFile if a file is missing or not what was written, as far as is known."""
    file = Path(folder) / name
    try:
        size = file.stat().st_size
        damage = f"it has {size} bytes instead of {entry.bytes}" if size != entry.bytes else ""
        if not damage and entry.sha256 not in (None, _sha256(file)):
            damage = f"it does not match its sha256 in {FILE_NAME}"
    except OSError as error:
        damage = f"it cannot be read ({error.strerror})"
    if damage:
        raise DamagedFile(f"{file} is damaged: {damage}; {_AGAIN}")


def file_name(dataset: str, split: str) -> str:
    """The file of a split, below its folder. Names from elsewhere lead nowhere else.

    Raises:
      DamagedFile: a name that is no plain name.
    """
    for name in (dataset, split):
        if name in ("", ".", "..") or any(sign in name for sign in "/\\\0"):
            raise DamagedFile(
                f"{name!r} is no name of a dataset or split: it would lead out of its folder"
            )
    return f"{dataset}/{split}.npz"


def _sidecars(folder: Any) -> list[str]:
    """`<dataset>/<split>` of the sidecars that are finished."""
    found = Path(folder).glob(f"*/*/{latent_sidecars.FILE_NAME}")
    return sorted(file.parent.relative_to(folder).as_posix() for file in found)


def _load(file: Path, entry: Entry) -> dict[str, np.ndarray]:
    """The arrays of a file, if they are those of its entry."""
    names = {"slots", "ids", "episode", "t", "gap"}
    try:
        with zipfile.ZipFile(file) as archive:  # Nothing packed: it cannot grow when it is read.
            grown = sum(member.file_size for member in archive.infolist()) > entry.bytes
        if grown or not names - {"ids"} <= entry.arrays.keys() <= names:
            raise ValueError("it holds other arrays")
        with np.load(file, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in entry.arrays}
    except (OSError, ValueError, KeyError, EOFError, MemoryError, zipfile.BadZipFile) as error:
        raise DamagedFile(f"{file} is damaged: {error}; {_AGAIN}") from error
    for key, value in arrays.items():
        if (str(value.dtype), value.shape) != entry.arrays[key] or len(value) != entry.transitions:
            raise DamagedFile(
                f"{file} is damaged: {key} is {value.dtype} {value.shape}, the "
                f"manifest says {entry.arrays[key]}; {_AGAIN}"
            )
    return arrays


def _sha256(file: Path) -> str:
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()

"""The RLDS set that a dataset folder was made from, with the latent columns in its steps.

The original is only read. Every record of the new set holds all fields of its own, byte for byte,
and `steps/latent_action/*` behind them. Episodes that the dataset does not have hold the empty
prefix in all steps, `is_pad` true, like the last steps of every episode.
"""

from __future__ import annotations

import json
import pathlib
import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from google.protobuf import json_format

from data_pipelines.errors import DataError
from data_pipelines.exporters.columns import latent_rows
from data_pipelines.exporters.episodes import EpisodeEntry, LatentSet
from data_pipelines.exporters.parts import ExportFolder, check_outside
from data_pipelines.exporters.rlds.examples import latent_fields, latent_schema, packed
from data_pipelines.exporters.rlds.tfrecord_writing import write_records
from data_pipelines.format.manifest import file_hash
from data_pipelines.optional import require
from data_pipelines.readers.recordings import ItemError
from data_pipelines.readers.tfds.features import FILE as FEATURES
from data_pipelines.readers.tfds.folder import INFO, STEPS, TfdsFolder, find_folders, open_folder
from data_pipelines.readers.tfds.tfrecord import parse_example, records
from data_pipelines.typed_json import read_json

_SOURCE = re.compile(r"(?:.*/)?([^/]+):(\d{1,9})")
_NAME = "latent_action"


def write_rlds_beside(
    path: str | pathlib.Path,
    source: LatentSet,
    original: str | pathlib.Path,
    *,
    texts: dict[str, str] | None = None,
) -> None:
    """Writes the version folder PATH, unless it is there; killed, the same call goes on.

    Args:
      original: the folder with features.json, or one above it.
      texts: further files, name -> content (cards).

    Raises:
      DataError: a set that the dataset was not made from, or that has latent actions already;
        damaged records; `path` inside `original`.
    """
    require("google_crc32c")
    folder, entries = check_original(original, source.spec.name, source.entries)
    check_outside(path, folder.path)
    counter = _step_counter(folder)
    identity = {
        "format": "rlds",
        "beside": {name: file_hash(folder.path / name) for name in (FEATURES, INFO)},
    } | source.identity()
    with ExportFolder(path, identity) as out:
        if out.finished():
            return
        for shard in (shard for shards in folder.shards.values() for shard in shards):

            def fill(path: pathlib.Path, shard: pathlib.Path = shard) -> None:
                write_records(path, _records(shard, source, entries, counter))

            out.write(shard.name, fill)
        features = read_json(folder.path / FEATURES, dict[str, Any], remedy="copy it again")
        steps = features["featuresDict"]["features"]["steps"]["sequence"]["feature"]
        steps["featuresDict"]["features"][_NAME] = _node(source)
        out.write_text(FEATURES, json.dumps(features, indent=1) + "\n")
        out.write_text(INFO, (folder.path / INFO).read_text(encoding="utf-8"))
        for name, text in (texts or {}).items():
            out.write_text(name, text)
        out.finish(episodes=sum(folder.lengths.values()), with_latents=len(entries))


def _open(root: pathlib.Path) -> TfdsFolder:
    found = [root] if (root / FEATURES).is_file() else find_folders(root)
    if len(found) != 1:
        raise DataError(
            f"{root}: expected one folder with {FEATURES} and {INFO}, found {len(found)}; name it"
        )
    folder = open_folder(found[0])
    if folder.file_format != "tfrecord":
        raise DataError(
            f"{folder.path}: shards are {folder.file_format}; latent columns are written beside "
            "tfrecord. Leave out --beside for a set of its own"
        )
    if any(key.startswith(f"{STEPS}{_NAME}/") for key in folder.leaves):
        raise DataError(f"{folder.path}: its steps have {_NAME} already; nothing is replaced")
    return folder


def _step_counter(folder: TfdsFolder) -> str:
    """A field that has one value per step."""
    leaves = [leaf for key, leaf in folder.leaves.items() if key.startswith(STEPS)]
    for leaf in leaves:
        scalar = leaf.kind == "tensor" and leaf.shape == () and leaf.encoding == "none"
        if leaf.sequences == 1 and (scalar or leaf.kind in ("image", "text")):
            return leaf.key
    raise DataError(f"{folder.path}: no field tells how many steps an episode has")


def check_original(
    original: str | pathlib.Path, dataset: str, entries: Sequence[EpisodeEntry]
) -> tuple[TfdsFolder, dict[tuple[str, int], EpisodeEntry]]:
    """The original set, opened, and (shard, record) -> episode of the dataset; no record is read.

    Raises DataError as `write_rlds_beside`.
    """
    folder = _open(pathlib.Path(original).expanduser().resolve())
    matched = {}
    for entry in entries:
        found = _SOURCE.fullmatch(entry.source)
        place = (found[1], int(found[2])) if found else ("", 0)
        if place[1] >= folder.lengths.get(place[0], 0):
            raise DataError(
                f"dataset {dataset}: episode {entry.number} was made from {entry.source[:80]!r}, and "
                f"{folder.path} has no such record. Give the set that the folder was prepared from"
            )
        matched[place] = entry
    return folder, matched


def _records(
    shard: pathlib.Path,
    source: LatentSet,
    entries: dict[tuple[str, int], EpisodeEntry],
    counter: str,
) -> Iterator[bytes]:
    facts = source.facts
    nothing = np.empty((0, facts.slots, facts.slot_width), np.float32)
    ids = np.empty((0, facts.slots), np.int64)
    for number, record in enumerate(records(shard)):
        where = f"{shard}, record {number}"
        if isinstance(record, ItemError):
            raise DataError(f"{record}; copy the original set again")
        length = len(parse_example(record).get(counter, ()))
        entry = entries.get((shard.name, number))
        if entry is not None and entry.length != length:
            raise DataError(
                f"{where}: has {length} steps, and episode {entry.number} of dataset "
                f"{source.spec.name}, which was made from it, {entry.length} frames; prepare the "
                "dataset again"
            )
        latents = source.latents(entry) if entry else latent_rows(facts, length, nothing, ids)
        yield packed(latent_fields(latents), record)


def _node(source: LatentSet) -> dict[str, Any]:
    """The entry of features.json."""
    f = tfds.features
    columns = {
        name: f.Tensor(shape=shape, dtype=np.dtype(kind).type)
        for name, (shape, kind) in latent_schema(source.facts).items()
    }
    return json_format.MessageToDict(f.FeaturesDict(columns).to_proto())

"""A folder that TFDS prepared in the RLDS schema: what its metadata says.

The folder holds `dataset_info.json` (splits, shards, file format), `features.json` (what each
record holds) and shards `<dataset>-<split>.<tfrecord|array_record>-<i>-of-<n>`, one episode per
record (see tfds_episodes.py).
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Iterator
from typing import Any

from data_pipelines.errors import DataError

STEPS = "steps/"
FILE_FORMATS = ("tfrecord", "array_record")


@dataclasses.dataclass(frozen=True)
class Leaf:
    """One field of the schema. shape: of one step, None where it varies; classes: of a label."""

    key: str  # "steps/observation/image"
    kind: str  # 'image' | 'tensor' | 'text' | 'other'
    dtype: str = ""
    shape: tuple[int | None, ...] = ()
    encoding: str = "none"
    sequences: int = 0  # nested sequences around it, `steps` included
    classes: int = 0

    @property
    def is_image(self) -> bool:
        """A colour picture with 8 bits per channel, encoded or not."""
        if self.sequences != 1 or self.dtype != "uint8" or len(self.shape) != 3:
            return False
        return self.kind in ("image", "tensor") and self.shape[-1] == 3

    @property
    def is_number(self) -> bool:
        """Numbers of a fixed shape, one set per step."""
        return self.kind == "tensor" and self.sequences == 1 and None not in self.shape


@dataclasses.dataclass(frozen=True)
class TfdsFolder:
    """A prepared dataset. leaves: by key; shards: split -> files in order, present or not;
    lengths: file name of a shard -> records that it should hold."""

    path: pathlib.Path
    name: str
    config: str
    version: str
    file_format: str
    leaves: dict[str, Leaf]
    shards: dict[str, list[pathlib.Path]]
    lengths: dict[str, int]

    def step_leaves(self) -> dict[str, Leaf]:
        """The fields of a step, by key without "steps/"."""
        return {k[len(STEPS) :]: v for k, v in self.leaves.items() if k.startswith(STEPS)}


def find_folders(root: pathlib.Path) -> list[pathlib.Path]:
    """Folders at or below `root` (three levels) that TFDS prepared."""
    patterns = ("", "*/", "*/*/", "*/*/*/")
    found = {p.parent for start in patterns for p in root.glob(start + "features.json")}
    return sorted(path for path in found if (path / "dataset_info.json").is_file())


def open_folder(path: str | pathlib.Path) -> TfdsFolder:
    """Reads the metadata; raises DataError if the folder is not in RLDS schema or not readable."""
    path = pathlib.Path(path)
    info, features = _json(path / "dataset_info.json"), _json(path / "features.json")
    file_format = info.get("fileFormat") or "tfrecord"
    if file_format not in FILE_FORMATS:
        raise DataError(
            f"{path}: shards are {file_format}; this reads {', '.join(FILE_FORMATS)}. Convert it "
            "with tfds.beam.convert or prepare it again"
        )
    leaves = {leaf.key: leaf for leaf in _leaves(features, "", 0, path)}
    if not any(key.startswith(STEPS) for key in leaves):
        raise DataError(
            f"{path}: no nested sequence `steps` in features.json, so this is no RLDS dataset; it "
            f"holds {', '.join(sorted(leaves)) or 'nothing'}"
        )
    shards = {split["name"]: _shards(path, info, split) for split in info.get("splits", ())}
    if not any(shards.values()):
        raise DataError(f"{path}: dataset_info.json lists no shards")
    return TfdsFolder(
        path=path,
        name=info.get("name", path.name),
        config=info.get("configName", ""),
        version=info.get("version", ""),
        file_format=file_format,
        leaves=leaves,
        shards=shards,
        lengths={
            shard.name: int(length)
            for split in info.get("splits", ())
            for shard, length in zip(shards[split["name"]], split.get("shardLengths", ()))
        },
    )


def _json(path: pathlib.Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text())
    except FileNotFoundError:
        raise DataError(f"{path}: missing; give the folder with features.json in it") from None
    except ValueError as error:
        raise DataError(f"{path}: not JSON ({error})") from None
    if not isinstance(data, dict):
        raise DataError(f"{path}: expected a JSON object")
    return data


def _shards(path: pathlib.Path, info: dict[str, Any], split: dict[str, Any]) -> list[pathlib.Path]:
    count = len(split.get("shardLengths", ()))
    template = split.get("filepathTemplate") or "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
    fields = {
        "{DATASET}": info.get("name", ""),
        "{SPLIT}": split["name"],
        "{FILEFORMAT}": info.get("fileFormat") or "tfrecord",
        "{NUM_SHARDS}": f"{count:05d}",
    }
    for field, value in fields.items():
        template = template.replace(field, value)
    names = [
        template.replace("{SHARD_X_OF_Y}", f"{i:05d}-of-{count:05d}").replace(
            "{SHARD_INDEX}", f"{i:05d}"
        )
        for i in range(count)
    ]
    for name in names:
        # Not a check of where links lead: download caches link shards to a store of their own.
        if pathlib.PurePath(name).name != name:
            raise DataError(f"{path}/dataset_info.json: shard {name!r} is no plain file name")
    return [path / name for name in names]


def _leaves(node: dict[str, Any], key: str, sequences: int, path: pathlib.Path) -> Iterator[Leaf]:
    """Walks features.json (the JSON form of tensorflow_datasets/core/proto/feature.proto)."""
    if "type" in node and "content" in node:
        raise DataError(f"{path}: features.json is of TFDS before 4.4; prepare the dataset again")
    if "featuresDict" in node:
        for name, child in node["featuresDict"].get("features", {}).items():
            yield from _leaves(child, f"{key}/{name}" if key else name, sequences, path)
    elif "sequence" in node:
        yield from _leaves(node["sequence"]["feature"], key, sequences + 1, path)
    elif "image" in node:
        image = node["image"]
        shape = _shape(image) or (None, None, 3)
        yield Leaf(key, "image", image.get("dtype") or "uint8", shape, sequences=sequences)
    elif "tensor" in node:
        tensor = node["tensor"]
        kind = "text" if tensor["dtype"] in ("string", "object") else "tensor"
        encoding = tensor.get("encoding") or "none"
        yield Leaf(key, kind, tensor["dtype"], _shape(tensor), encoding, sequences)
    elif "text" in node:
        yield Leaf(key, "text", "string", sequences=sequences)
    elif "classLabel" in node:
        classes = int(node["classLabel"].get("numClasses", 0))
        yield Leaf(key, "tensor", "int64", sequences=sequences, classes=classes)
    else:
        yield Leaf(key, "other", sequences=sequences)


def _shape(node: dict[str, Any]) -> tuple[int | None, ...]:
    sizes = [int(size) for size in node.get("shape", {}).get("dimensions", ())]
    return tuple(None if size < 0 else size for size in sizes)

"""A folder that TFDS prepared in the RLDS schema: what its metadata says.

The folder holds `dataset_info.json` (splits, shards, file format), `features.json` (what each
record holds) and shards `<dataset>-<split>.<tfrecord|array_record>-<i>-of-<n>`, one episode per
record (see tfds_episodes.py).
"""

from __future__ import annotations

import dataclasses
import pathlib

from data_pipelines.errors import DataError
from data_pipelines.readers.files.listing import list_files
from data_pipelines.readers.files.opening import source_json
from data_pipelines.readers.files.paths import inside, natural
from data_pipelines.readers.recordings import ItemError
from data_pipelines.readers.tfds import features as tfds_features
from data_pipelines.readers.tfds.features import Leaf

STEPS = "steps/"
# What the shards of each format are called in messages.
FILE_FORMATS = {"tfrecord": "a TFRecord file", "array_record": "an ArrayRecord file"}
INFO = "dataset_info.json"
_TEMPLATE = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
_LONGEST_TEMPLATE = 1000


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


@dataclasses.dataclass
class _Split:
    name: str
    shardLengths: list[int | str] = dataclasses.field(default_factory=list)  # noqa: N815
    filepathTemplate: str | None = None  # noqa: N815


@dataclasses.dataclass
class _Info:
    name: str | None = None
    configName: str | None = None  # noqa: N815
    version: str | None = None
    fileFormat: str | None = None  # noqa: N815
    splits: list[_Split] = dataclasses.field(default_factory=list)


def find_folders(root: pathlib.Path, *, follow_links: bool = True) -> list[pathlib.Path]:
    """Folders at or below `root` that TFDS prepared, in natural order.

    Raises DataError if the only metadata that are there cannot be read (broken links, say).
    """
    names = (INFO, tfds_features.FILE)
    listing = list_files(root, named=names.__contains__, follow_links=follow_links)
    files = set(listing.files)
    found = {path.parent for path in files if path.name == tfds_features.FILE}
    whole = [folder for folder in found if folder / INFO in files]
    lost = [entry for entry in listing.skipped if pathlib.PurePath(entry.name).name in names]
    if lost and not whole:
        raise DataError(f"--source {root}: {lost[0].detail}")
    return sorted(whole, key=lambda path: natural(path.relative_to(root)))


def open_folder(path: str | pathlib.Path) -> TfdsFolder:
    """Reads the metadata; raises DataError if the folder is not in RLDS schema or not readable."""
    path = pathlib.Path(path)
    info = source_json(path / INFO, _Info, remedy="copy the folder again")
    leaves = tfds_features.read_leaves(path)
    file_format = info.fileFormat or "tfrecord"
    if file_format not in FILE_FORMATS:
        raise DataError(
            f"{path}: shards are {file_format}; this reads {', '.join(FILE_FORMATS)}. Convert it "
            "with tfds.beam.convert or prepare it again"
        )
    if not any(key.startswith(STEPS) for key in leaves):
        raise DataError(
            f"{path}: no nested sequence `steps` in features.json, so this is no RLDS dataset; it "
            f"holds {', '.join(sorted(leaves)) or 'nothing'}"
        )
    shards = {split.name: _shards(path, info, split) for split in info.splits}
    if len(shards) < len(info.splits):
        raise DataError(f"{path / INFO}: two splits have the same name; copy the folder again")
    if not any(shards.values()):
        raise DataError(f"{path / INFO} lists no shards; prepare the dataset again with TFDS 4")
    return TfdsFolder(
        path=path,
        name=info.name or path.name,
        config=info.configName or "",
        version=info.version or "",
        file_format=file_format,
        leaves=leaves,
        shards=shards,
        lengths={
            shard.name: max(0, tfds_features.integer(length, f"{path / INFO}: a shard's length"))
            for split in info.splits
            for shard, length in zip(shards[split.name], split.shardLengths, strict=True)
        },
    )


def _shards(path: pathlib.Path, info: _Info, split: _Split) -> list[pathlib.Path]:
    count = len(split.shardLengths)
    template = split.filepathTemplate or _TEMPLATE
    fields = {
        "{DATASET}": info.name or "",
        "{SPLIT}": split.name,
        "{FILEFORMAT}": info.fileFormat or "tfrecord",
        "{NUM_SHARDS}": f"{count:05d}",
    }
    for field, value in fields.items():
        template = template.replace(field, value)
    if len(template) > _LONGEST_TEMPLATE:
        raise DataError(f"{path / INFO}: names of shards have {len(template)} characters")
    names = [
        template.replace("{SHARD_X_OF_Y}", f"{i:05d}-of-{count:05d}").replace(
            "{SHARD_INDEX}", f"{i:05d}"
        )
        for i in range(count)
    ]
    return [_shard(path, name) for name in names]


def _shard(path: pathlib.Path, name: str) -> pathlib.Path:
    """Not a check of where a link leads: download caches link shards to a store of their own."""
    try:
        shard = inside(path, name)
    except ItemError:
        shard = None
    if shard is None or shard.name != name:
        raise DataError(f"{path / INFO}: shard {name[:80]!r} is no plain file name")
    return shard

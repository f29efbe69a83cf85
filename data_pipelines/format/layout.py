"""Where the files of a dataset folder lie. Every name is checked on its way into a path."""

from __future__ import annotations

import pathlib

from data_pipelines.names import child

VERSION = "1.0.0"


def dataset_folder(root: pathlib.Path, name: str) -> pathlib.Path:
    """Where the shards of dataset `name` lie below a dataset folder."""
    return child(root, name, VERSION)


def shard_file(root: pathlib.Path, name: str, file: str) -> pathlib.Path:
    """One shard of dataset `name`."""
    return child(dataset_folder(root, name), file)


def index_file(root: pathlib.Path, name: str, split: str) -> pathlib.Path:
    """The int32 (records, 4) index of one split; columns in records.INDEX_COLUMNS."""
    return child(dataset_folder(root, name), f"index-{split}.npy")


def episodes_file(root: pathlib.Path, name: str, split: str) -> pathlib.Path:
    """One JSON object per episode of a split, in record order."""
    return child(dataset_folder(root, name), f"episodes-{split}.jsonl")

"""Where the files of a dataset folder lie."""

from __future__ import annotations

import pathlib

VERSION = "1.0.0"


def dataset_folder(root: pathlib.Path, name: str) -> pathlib.Path:
    """Where the shards of dataset `name` lie below a dataset folder."""
    return root / name / VERSION


def index_file(root: pathlib.Path, name: str, split: str) -> pathlib.Path:
    """The int32 (records, 4) index of one split; columns in records.INDEX_COLUMNS."""
    return dataset_folder(root, name) / f"index-{split}.npy"


def episodes_file(root: pathlib.Path, name: str, split: str) -> pathlib.Path:
    """One JSON object per episode of a split, in record order."""
    return dataset_folder(root, name) / f"episodes-{split}.jsonl"

"""The TFDS builder that packs spooled episodes into ArrayRecord shards (no TensorFlow)."""

from __future__ import annotations

import contextlib
import io
import pathlib
import shutil
import unittest.mock
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import tensorflow_datasets as tfds
from tensorflow_datasets.core import example_serializer

from data_pipelines.records import ClipRow, episode_examples, features
from data_pipelines.spec import DatasetSpec
from data_pipelines.spool import read_episode

VERSION = "1.0.0"


class _StableSerializer(example_serializer.ExampleSerializer):
    """Gives a record the same bytes in every process; protobuf maps alone have no fixed order."""

    def serialize_example(self, example) -> bytes:
        return self.get_tf_example(example).SerializeToString(deterministic=True)


class ClipBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """One dataset, split by episode. One class serves all: name and features come from `spec`."""

    VERSION = tfds.core.Version(VERSION)

    def __init__(
        self,
        *,
        spec: DatasetSpec,
        spool: pathlib.Path,
        splits: dict[str, Sequence[int]],
        on_record: Callable[[str, ClipRow], None] = lambda split, row: None,
        **kwargs,
    ):
        self.name = spec.name
        self._spec, self._spool, self._splits, self._on_record = spec, spool, splits, on_record
        super().__init__(**kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        # Records stay in time order on disk; the loader shuffles globally.
        return self.dataset_info_from_configs(
            description="Clips of consecutive frames with their labels.",
            features=features(self._spec),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager):
        del dl_manager
        return {split: self._generate_examples(split) for split in self._splits}

    def _generate_examples(self, split: str) -> Iterator[tuple[int, dict]]:
        key = 0
        for episode in self._splits[split]:
            for row, example in episode_examples(self._spec, read_episode(self._spool, episode)):
                self._on_record(split, row)
                yield key, example
                key += 1


def dataset_folder(root: pathlib.Path, name: str) -> pathlib.Path:
    """Where the shards of dataset `name` lie below a dataset folder."""
    return root / name / VERSION


def index_file(root: pathlib.Path, name: str, split: str) -> pathlib.Path:
    """The int32 (records, 4) index of one split; columns in records.INDEX_COLUMNS."""
    return dataset_folder(root, name) / f"index-{split}.npy"


def write_shards(
    spec: DatasetSpec,
    spool: pathlib.Path,
    splits: dict[str, Sequence[int]],
    root: pathlib.Path,
    *,
    num_shards: int | None = None,
    on_transitions: Callable[[int], None] = lambda count: None,
) -> dict[str, np.ndarray]:
    """Writes `root/<name>/1.0.0/`: shards, TFDS's own JSON files, and one index per split.

    Returns the index of each split.
    """
    rows: dict[str, list[ClipRow]] = {split: [] for split in splits}

    def on_record(split: str, row: ClipRow) -> None:
        rows[split].append(row)
        on_transitions(min(spec.clip_stride, row.length - 1))

    downloads = root / ".downloads"
    builder = ClipBuilder(
        spec=spec,
        spool=spool,
        splits=splits,
        on_record=on_record,
        data_dir=str(root),
        file_format="array_record",
    )
    tfds.disable_progress_bar()
    stable = unittest.mock.patch.object(
        example_serializer, "ExampleSerializer", _StableSerializer
    )  # TFDS has no option for it
    # TFDS prints; the caller has its own progress bar.
    with stable, contextlib.redirect_stdout(io.StringIO()):
        builder.download_and_prepare(
            download_dir=str(downloads),
            download_config=tfds.download.DownloadConfig(num_shards=num_shards),
        )
    shutil.rmtree(downloads, ignore_errors=True)
    index = {split: np.array(rows[split], np.int32).reshape(-1, 4) for split in splits}
    for split, array in index.items():
        np.save(index_file(root, spec.name, split), array)
    return index

"""Spooled episodes to ArrayRecord shards, in TFDS's layout (no TensorFlow).

Each shard is written by one call on any worker; its bytes depend on its episodes only.
"""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import pathlib
import tempfile
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from array_record.python import array_record_module as array_record
from tensorflow_datasets.core import example_serializer

from data_pipelines.conversion.examples import episode_examples
from data_pipelines.conversion.output import writing
from data_pipelines.conversion.splits import SPLITS
from data_pipelines.conversion.spool import read_episode
from data_pipelines.conversion.state_statistics import joined, statistics, sums_of
from data_pipelines.format.clips import ClipRow, clip_rows, features
from data_pipelines.format.layout import VERSION, dataset_folder, episodes_file, index_file
from data_pipelines.format.manifest import file_hash
from data_pipelines.format.spec import DatasetSpec
from data_pipelines.format.vectors import STATISTICS, is_vector
from data_pipelines.whole_files import UNFINISHED, whole_file

DONE = ".shards"
TEMPLATE = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"


@dataclasses.dataclass(frozen=True)
class ShardJob:
    """One shard to write: `episodes` lists (spool folder, id in it, id in the dataset)."""

    folder: str  # of the build
    spec: dict[str, Any]
    split: str
    index: int
    count: int
    episodes: tuple[tuple[str, int, int], ...]

    @property
    def file_name(self) -> str:
        name = self.spec["name"]
        return f"{name}-{self.split}.array_record-{self.index:05d}-of-{self.count:05d}"

    @property
    def file(self) -> pathlib.Path:
        return dataset_folder(pathlib.Path(self.folder), self.spec["name"]) / self.file_name

    @property
    def done_file(self) -> pathlib.Path:
        """Written last; says that the shard is complete."""
        return pathlib.Path(self.folder) / DONE / f"{self.file_name}.json"


def make_serializer(spec: DatasetSpec) -> Callable[[dict[str, Any]], bytes]:
    """example dict -> bytes, the same in every process (protobuf maps alone have no fixed order)."""
    typed = features(spec)
    serializer = example_serializer.ExampleSerializer(typed.get_serialized_info())

    def serialize(example: dict[str, Any]) -> bytes:
        encoded = typed.encode_example(example)
        return serializer.get_tf_example(encoded).SerializeToString(deterministic=True)

    return serialize


def write_shard(job: ShardJob) -> None:
    """Writes one shard and then its `done_file`; does nothing if that is there already.

    Raises OutputError where it cannot be written.
    """
    if job.done_file.exists():
        return
    spec = DatasetSpec.from_json(job.spec)
    serialize = make_serializer(spec)
    with writing(job.file.parent):
        job.file.parent.mkdir(parents=True, exist_ok=True)
        job.done_file.parent.mkdir(exist_ok=True)
        # Runners may run a task twice at once: each has a file of its own until it is complete.
        handle, temporary = tempfile.mkstemp(dir=job.done_file.parent, prefix=UNFINISHED)
        os.close(handle)
    try:
        done = _write_records(job, spec, serialize, pathlib.Path(temporary))
        with writing(job.file):  # Not what reads the episodes: its errors are no output's.
            os.chmod(temporary, 0o644)
            os.replace(temporary, job.file)
            with whole_file(job.done_file) as unfinished:
                unfinished.write_text(json.dumps(done))
    finally:
        pathlib.Path(temporary).unlink(missing_ok=True)


def _write_records(
    job: ShardJob,
    spec: DatasetSpec,
    serialize: Callable[[dict[str, Any]], bytes],
    file: pathlib.Path,
) -> dict[str, Any]:
    """Writes the shard's records to `file`; returns what its `done_file` says."""
    episodes, record_bytes, records = [], 0, 0
    sums = []
    with writing(job.file, RuntimeError):
        writer = array_record.ArrayRecordWriter(str(file), "group_size:1")
    for folder, number, episode in job.episodes:
        spooled = dataclasses.replace(
            read_episode(pathlib.Path(job.folder) / folder, number), episode=episode
        )
        if is_vector(spec):
            sums.append(sums_of(spooled.state))
        for _, example in episode_examples(spec, spooled):
            record = serialize(example)
            record_bytes += len(record)
            records += 1
            with writing(job.file, RuntimeError):
                writer.write(record)
        facts = {"episode": episode, "length": spooled.length, "source": spooled.source}
        facts["episode_return"] = spooled.episode_return
        episodes.append(facts | spooled.metadata | facts)  # a source's own `length` is not ours
    with writing(job.file, RuntimeError):
        writer.close()
        held = array_record.ArrayRecordReader(str(file)).num_records()
        if held != records:  # the writer keeps some errors to itself
            raise OSError(errno.EIO, f"{held} of {records} records arrived")
        return {
            "file": job.file_name,
            "records": records,
            "bytes": os.path.getsize(file),
            "sha256": file_hash(file),
            "record_bytes": record_bytes,
            "episodes": episodes,
            **({"state": joined(sums)} if sums else {}),
        }


def _rows(spec: DatasetSpec, facts: dict[str, Any]) -> list[ClipRow]:
    return clip_rows(facts["episode"], facts["length"], spec.clip_stride, spec.max_span)


def finish_dataset(
    folder: pathlib.Path, spec: DatasetSpec, jobs: Sequence[ShardJob]
) -> dict[str, Any]:
    """Index, episode list and TFDS's JSON files of one dataset whose shards are all written.

    Returns its entry of the manifest; the spec of a dataset of vectors with the statistics of its
    train split.
    """
    root = dataset_folder(folder, spec.name)
    splits: dict[str, list[dict[str, Any]]] = {}
    for job in jobs:
        splits.setdefault(job.split, []).append(json.loads(job.done_file.read_text()))
    counts, shards, infos = {}, {}, []
    described = spec.to_json()
    for split, parts in splits.items():
        sums = [part.pop("state") for part in parts if "state" in part]
        if sums and split == SPLITS[0]:
            described["details"] = described["details"] | {STATISTICS: statistics(joined(sums))}
        episodes = [facts for part in parts for facts in part.pop("episodes")]
        rows = [row for facts in episodes for row in _rows(spec, facts)]
        index = np.array(rows, np.int32).reshape(-1, 4)
        np.save(index_file(folder, spec.name, split), index)
        episodes_file(folder, spec.name, split).write_text(
            "".join(json.dumps(facts) + "\n" for facts in episodes)
        )
        record_bytes = sum(part.pop("record_bytes") for part in parts)
        counts[split] = {
            "episodes": len(episodes),
            "transitions": sum(facts["length"] - 1 for facts in episodes),
            "records": len(index),
        }
        shards[split] = parts
        lengths = [part["records"] for part in parts]
        infos.append(_split_info(root, spec.name, split, lengths, record_bytes))
    tfds.folder_dataset.write_metadata(
        data_dir=root,
        features=features(spec),
        split_infos=infos,
        version=VERSION,
        check_data=False,  # it would read through TensorFlow
        description="Clips of consecutive frames with their labels.",
    )
    return {"spec": described, "splits": counts, "shards": shards}


def _split_info(root, name: str, split: str, lengths: list[int], record_bytes: int):
    template = tfds.core.ShardedFileTemplate(
        data_dir=root,
        template=TEMPLATE,
        dataset_name=name,
        split=split,
        filetype_suffix="array_record",
    )
    return tfds.core.SplitInfo(
        name=split, shard_lengths=lengths, num_bytes=record_bytes, filename_template=template
    )

"""An RLDS set out of a dataset folder and its latents.

A record is an episode; step t has frame t, and the action and reward that lead from it to the next.
The last step repeats the action before it and has reward 0; by RLDS neither means anything there.
Pictures are PNG, or JPEG where the folder's are, equal to what the model read.
"""

from __future__ import annotations

import math
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from data_pipelines.exporters.columns import LatentFacts
from data_pipelines.exporters.episodes import EpisodeEntry, LatentEpisode, LatentSet, last_repeated
from data_pipelines.exporters.parts import ExportFolder
from data_pipelines.exporters.rlds.examples import latent_fields, latent_schema, packed
from data_pipelines.exporters.rlds.tfrecord_writing import write_records
from data_pipelines.format.spec import DatasetSpec
from data_pipelines.format.vectors import is_vector
from data_pipelines.optional import require

VERSION = "1.0.0"
_SHARD_BYTES = 200 << 20  # of a shard, before its pictures are compressed


def write_rlds(
    path: str | pathlib.Path, source: LatentSet, *, texts: dict[str, str] | None = None
) -> None:
    """Writes the version folder PATH, unless it is there; killed, the same call goes on.

    Args:
      texts: further files, name -> content (cards).

    Raises:
      DataError: google-crc32c is missing; a folder of anything else; damaged records.
    """
    require("google_crc32c")
    identity = {"format": "rlds", "version": VERSION} | source.identity()
    with ExportFolder(path, identity) as folder:
        if folder.finished():
            return
        splits = []
        for split in source.splits:
            shards = _shards(source, source.of_split(split))
            sizes = []
            for number, entries in enumerate(shards):

                def fill(path: pathlib.Path, entries: Sequence[EpisodeEntry] = entries) -> dict:
                    write_records(path, (_record(source.read(entry)) for entry in entries))
                    return {"bytes": path.stat().st_size}

                name = f"{source.spec.name}-{split}.tfrecord-{number:05d}-of-{len(shards):05d}"
                sizes.append(folder.write(name, fill)["bytes"])
            splits.append((split, [len(entries) for entries in shards], sum(sizes)))
        _write_metadata(folder, source, splits)
        labels = sorted(place.name for place in folder.path.glob("*.labels.txt"))
        for name in ("features.json", "dataset_info.json", *labels):
            folder.adopt(name)
        for name, text in (texts or {}).items():
            folder.write_text(name, text)
        folder.finish(episodes=len(source.entries), frames=source.frames)


def set_features(spec: DatasetSpec, facts: LatentFacts) -> tfds.features.FeaturesDict:
    """The features of a set made of a dataset."""
    f = tfds.features
    observation: dict[str, Any] = {}
    if not is_vector(spec):
        encoding = "jpeg" if spec.codec == "jpeg" else "png"
        observation["image"] = f.Image(shape=spec.image_shape, encoding_format=encoding)
    if spec.state_names:
        observation["state"] = f.Tensor(shape=(len(spec.state_names),), dtype=np.float32)
    steps: dict[str, Any] = {
        "observation": observation,
        "latent_action": {
            name: f.Tensor(shape=shape, dtype=np.dtype(kind).type)
            for name, (shape, kind) in latent_schema(facts).items()
        },
        "language_instruction": f.Text(),
        "discount": f.Scalar(np.float32),
    }
    if spec.action is not None and spec.action.kind == "discrete":
        steps["action"] = f.ClassLabel(names=spec.action.names)
    elif spec.action is not None:
        steps["action"] = f.Tensor(shape=spec.action.shape, dtype=spec.action.dtype.type)
    if spec.has_reward:
        steps["reward"] = f.Scalar(np.float32)
    steps |= {name: f.Scalar(np.bool_) for name in ("is_first", "is_last", "is_terminal")}
    metadata = {"source": f.Text(), "episode": f.Scalar(np.int64)}
    return f.FeaturesDict({"steps": f.Dataset(steps), "episode_metadata": metadata})


def _shards(source: LatentSet, entries: Sequence[EpisodeEntry]) -> list[list[EpisodeEntry]]:
    """The episodes of each shard, the same at every call."""
    frame = math.prod(source.spec.image_shape) + 256
    shards: list[list[EpisodeEntry]] = []
    frames = 0
    for entry in entries:
        if not shards or (frames + entry.length) * frame > _SHARD_BYTES:
            shards.append([])
            frames = 0
        shards[-1].append(entry)
        frames += entry.length
    return shards


def _record(episode: LatentEpisode) -> bytes:
    """One episode as TFDS serializes it."""
    entry, times = episode.entry, np.arange(episode.entry.length)
    last = times == times[-1]
    language = entry.language.encode("utf-8", "replace")
    fields: dict[str, Any] = {
        "steps/language_instruction": [language] * entry.length,
        "steps/discount": np.ones(entry.length, np.float32),
        "steps/is_first": times == 0,
        "steps/is_last": last,
        "steps/is_terminal": last & (entry.facts.get("terminal") is True),
        "episode_metadata/source": [entry.source.encode("utf-8", "backslashreplace")],
        "episode_metadata/episode": np.array([entry.number]),
    }
    if episode.pictures:
        fields["steps/observation/image"] = episode.pictures
    if episode.state is not None:
        fields["steps/observation/state"] = episode.state
    if episode.action is not None:
        fields["steps/action"] = last_repeated(episode.action)
    if episode.reward is not None:
        fields["steps/reward"] = np.append(episode.reward, np.float32(0))
    return packed(fields | latent_fields(episode.latents))


def _write_metadata(
    folder: ExportFolder, source: LatentSet, splits: list[tuple[str, list[int], int]]
) -> None:
    """features.json and dataset_info.json, as `tfds.builder_from_directory` reads them."""
    name = source.spec.name
    template = tfds.core.ShardedFileTemplate(
        data_dir=folder.path, dataset_name=name, filetype_suffix="tfrecord"
    )
    tfds.folder_dataset.write_metadata(
        data_dir=folder.path,
        features=set_features(source.spec, source.facts),
        split_infos=[
            tfds.core.SplitInfo(
                name=split,
                shard_lengths=lengths,
                num_bytes=size,
                filename_template=template.replace(split=split),
            )
            for split, lengths, size in splits
        ],
        version=VERSION,
        check_data=False,  # it would read through TensorFlow
        description=f"{name}: episodes with the latent action of every transition.",
    )

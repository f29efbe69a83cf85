"""The middle of a build: all spooled episodes to splits, a leak check and a list of shards.

It sees hashes, sizes and names, never pixels, and is the one step that runs in one place.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

from data_pipelines.conversion.bundles import BUNDLES, SUMMARY
from data_pipelines.conversion.leakage import EpisodeHashes, check_leakage
from data_pipelines.conversion.losses import Loss, told, weigh
from data_pipelines.conversion.shards import ShardJob
from data_pipelines.conversion.splits import SPLITS, assign_splits
from data_pipelines.conversion.spool import read_episode
from data_pipelines.errors import DataError
from data_pipelines.format.spec import DatasetSpec
from data_pipelines.readers.recordings import Item, Skipped
from data_pipelines.typed_json import read_json

SHARD_BYTES = 256 << 20


@dataclasses.dataclass(frozen=True)
class Spooled:
    """One recording among all bundles; `episode` numbers them in the order of the source."""

    folder: str  # of the bundle, relative to the build
    number: int  # in the bundle
    episode: int
    name: str
    datasets: tuple[str, ...]
    group: str
    split: str | None
    item: str
    frames: int
    language: bool | None  # whether it has a text; None where the source has no such field


@dataclasses.dataclass(frozen=True)
class Assembly:
    """What all bundles together hold, and the shards they become.

    loss: what the failures of bundles and plan lose. language: {"recordings", "empty"} of those
    whose source has texts, or None.
    """

    jobs: list[ShardJob]
    recordings: int
    skipped: list[Skipped]
    leakage: dict[str, Any]
    loss: Loss
    language: dict[str, int] | None


def assemble(
    folder: pathlib.Path,
    specs: list[DatasetSpec],
    seed: int,
    shard_bytes: int = SHARD_BYTES,
    *,
    stop_at_leaks: bool = True,
    items: Sequence[Item] = (),
    skipped: Sequence[Skipped] = (),
) -> Assembly:
    """Reads the summaries of all bundles below `folder`; `items` and `skipped` are the plan's.

    Raises DataError if nothing could be read, a name occurs twice, a dataset is too small to
    split, or two splits share a sequence of frames.
    """
    recordings, missed = _recordings(folder)
    skipped = [*skipped, *missed]
    if not recordings:
        raise DataError(f"no episode could be read{told(skipped) or '; the source holds none'}")
    splits = _assign(recordings, specs, seed)
    jobs: list[ShardJob] = []
    hashes: list[EpisodeHashes] = []
    for spec in specs:
        for split in SPLITS:
            members = [
                recording
                for recording in recordings
                if splits.get((spec.name, recording.episode)) == split
                and spec.name in recording.datasets
            ]
            sizes = []
            for member in members:
                episode = read_episode(folder / member.folder / spec.name, member.number)
                sizes.append(episode.encoded_bytes)
                if not spec.is_map:  # masks of different frames are often equal
                    hashes.append(
                        EpisodeHashes(spec.name, split, member.episode, episode.hashes, member.name)
                    )
            jobs += _shard_jobs(folder, spec, split, members, sizes, shard_bytes)
    return Assembly(
        jobs,
        len(recordings),
        skipped,
        leakage=check_leakage(hashes, stop=stop_at_leaks),
        loss=_loss(recordings, skipped, items),
        language=_language(recordings),
    )


def _loss(recordings: list[Spooled], skipped: list[Skipped], items: Sequence[Item]) -> Loss:
    kept = dict.fromkeys((item.name for item in items), 0)
    for recording in recordings:
        kept[recording.item] = kept.get(recording.item, 0) + 1
    return weigh(skipped, kept, sum(recording.frames for recording in recordings))


def _language(recordings: list[Spooled]) -> dict[str, int] | None:
    known = [recording.language for recording in recordings if recording.language is not None]
    return {"recordings": len(known), "empty": known.count(False)} if known else None


def _recordings(folder: pathlib.Path) -> tuple[list[Spooled], list[Skipped]]:
    recordings: list[Spooled] = []
    skipped: list[Skipped] = []
    seen: dict[str, str] = {}
    for bundle in sorted((folder / BUNDLES).glob("[0-9]*")):
        summary = read_json(bundle / SUMMARY, dict[str, list])
        skipped += [Skipped(*item) for item in summary["skipped"]]
        relative = str(bundle.relative_to(folder))
        base = recordings[-1].episode + 1 if recordings else 0
        for entry in summary["recordings"]:
            if entry["name"] in seen:
                raise DataError(
                    f"two recordings are called {entry['name']!r}; names of a source must be "
                    "unique, or one would be taken for the other"
                )
            seen[entry["name"]] = relative
            recordings.append(
                Spooled(
                    folder=relative,
                    number=entry["number"],
                    episode=base + entry["number"],
                    name=entry["name"],
                    datasets=tuple(entry["datasets"]),
                    group=entry["group"],
                    split=entry["split"],
                    item=entry.get("item", entry["name"]),
                    frames=entry.get("frames", 0),
                    language=entry.get("language"),
                )
            )
    return recordings, skipped


def _assign(
    recordings: list[Spooled], specs: list[DatasetSpec], seed: int
) -> dict[tuple[str, int], str]:
    """(dataset, episode) -> split. Datasets that show the same recordings are split as one."""
    family_of = {spec.name: spec.recording or spec.name for spec in specs}
    families: dict[str, list[Spooled]] = {}
    for recording in recordings:
        families.setdefault(family_of[recording.datasets[0]], []).append(recording)
    splits: dict[tuple[str, int], str] = {}
    for family, members in families.items():
        published: dict[str, str] = {}
        for member in members:
            if member.split and published.setdefault(member.group, member.split) != member.split:
                raise DataError(
                    f"{member.name}: group {member.group!r} is published in two splits, "
                    f"{published[member.group]} and {member.split}"
                )
        groups = list(dict.fromkeys(member.group for member in members))
        assigned = assign_splits(groups, seed, family, published)
        for member in members:
            for dataset in member.datasets:
                splits[dataset, member.episode] = assigned[member.group]
    return splits


def _shard_jobs(
    folder: pathlib.Path,
    spec: DatasetSpec,
    split: str,
    members: list[Spooled],
    sizes: list[int],
    shard_bytes: int,
) -> Iterator[ShardJob]:
    """Whole episodes in order, about `shard_bytes` of records in each shard."""
    stored = 1 + spec.max_span / spec.clip_stride  # how often a frame is stored
    parts: list[list[Spooled]] = []
    filled = 0.0
    for member, size in zip(members, sizes, strict=True):
        if not parts or filled + size * stored > shard_bytes:
            parts.append([])
            filled = 0.0
        parts[-1].append(member)
        filled += size * stored
    for index, part in enumerate(parts):
        yield ShardJob(
            folder=str(folder),
            spec=spec.to_json(),
            split=split,
            index=index,
            count=len(parts),
            episodes=tuple((f"{m.folder}/{spec.name}", m.number, m.episode) for m in part),
        )

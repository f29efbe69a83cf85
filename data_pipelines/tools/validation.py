"""`prepare validate`: reads every record again and compares with what the manifest says."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

import numpy as np
from tqdm import tqdm

from data_pipelines.conversion.leakage import EpisodeHashes, check_leakage
from data_pipelines.conversion.spool import frame_hash, is_blank
from data_pipelines.errors import DataError
from data_pipelines.format.clips import ClipRow, clip_rows
from data_pipelines.format.layout import shard_file
from data_pipelines.format.manifest import AGAIN, DatasetInfo, file_hash, open_dataset
from data_pipelines.format.vectors import is_vector, row_hashes
from data_pipelines.loading.windows import ClipReader
from data_pipelines.system_errors import system_error

MAX_BLANK = 0.5  # share of blank frames in a split above which something is wrong


def validate(path: str | pathlib.Path) -> dict[str, int]:
    """Raises DataError naming the first fault; prints and returns the counts of what was checked.

    Checked: size and sha256 of every shard; the index against the records; that the records of an
    episode follow on one another, overlap in equal frames and end where the episode ends; labels of
    the right length, finite, and in range; blank frames; episodes and transitions against the
    manifest; frame sequences in two splits.
    """
    info = open_dataset(path)
    episodes: list[EpisodeHashes] = []
    checked = {"records": 0, "transitions": 0, "blank_frames": 0, "episodes": 0}
    total = sum(split["records"] for split in info.splits.values())
    with tqdm(total=total, unit=" records", desc="validate", disable=None) as bar:
        for name, splits in info.shards.items():
            for split in splits:
                _check_shards(info, name, split)
                reader = ClipReader(info, name, split)
                sources = _listed_sources(info, name, split, reader)
                count, blank, transitions = 0, 0, 0
                for hashes, blank_frames in _episodes(reader, sources, bar):
                    # Maps of different frames are often equal, or show nothing.
                    episodes += [] if reader.spec.is_map else [hashes]
                    count += 1
                    blank += 0 if reader.spec.is_map else blank_frames
                    transitions += len(hashes.hashes) - 1
                _check_counts(info, name, split, count, transitions, blank)
                checked["episodes"] += count
                checked["records"] += len(reader)
                checked["transitions"] += transitions
                checked["blank_frames"] += blank
    checked |= _leakage(info, episodes)
    print(f"{path}: valid: " + ", ".join(f"{value} {key}" for key, value in checked.items()))
    return checked


def _leakage(info: DatasetInfo, episodes: list[EpisodeHashes]) -> dict[str, int]:
    found = check_leakage(episodes, stop=info.manifest["options"].get("leaks") != "report")
    return found | ({"leaks": len(found["leaks"])} if "leaks" in found else {})


def _check_shards(info: DatasetInfo, name: str, split: str) -> None:
    info.shard_paths(name, split)
    for shard in info.shards[name][split]:
        file = shard_file(info.path, name, shard["file"])
        try:
            found = file_hash(file)
        except OSError as error:
            raise DataError(f"{file}: {system_error(error.strerror)}") from error
        if found != shard["sha256"]:
            raise DataError(
                f"{file}: content differs from the manifest's sha256; it is damaged, prepare the "
                "folder again"
            )


def _listed_sources(info: DatasetInfo, name: str, split: str, reader: ClipReader) -> dict[int, str]:
    """Episode -> what it was made of, after comparing the list of episodes with the index."""
    listed = info.episodes(name, split)
    held = dict.fromkeys((int(row[0]), int(row[3])) for row in reader.index)
    if [(facts["episode"], facts["length"]) for facts in listed] != list(held):
        raise DataError(
            f"dataset {name}, split {split}: the list of episodes does not fit the index; {AGAIN}"
        )
    return {facts["episode"]: facts["source"] for facts in listed}


def _check_counts(info, name, split, episodes, transitions, blank) -> None:
    found = {"episodes": episodes, "transitions": transitions}
    for key, value in found.items():
        if info.counts[name][split][key] != value:
            raise DataError(
                f"dataset {name}, split {split}: {value} {key}, the manifest says "
                f"{info.counts[name][split][key]}; prepare the folder again"
            )
    if blank > MAX_BLANK * (transitions + episodes):
        raise DataError(
            f"dataset {name}, split {split}: {blank} of {transitions + episodes} frames are "
            "blank; the source or the renderer is broken"
        )


def _episodes(
    reader: ClipReader, sources: dict[int, str], bar: tqdm
) -> Iterator[tuple[EpisodeHashes, int]]:
    """Every episode put together from its records: (frame hashes, number of blank frames)."""
    index = np.asarray(reader.index)
    starts = np.flatnonzero(np.diff(index[:, 0], prepend=-1))
    for first, stop in zip(starts, np.append(starts[1:], len(index)), strict=True):
        episode, _, _, length = (int(v) for v in index[first])
        expected = clip_rows(episode, length, reader.spec.clip_stride, reader.spec.max_span)
        where = f"dataset {reader.spec.name}, split {reader.split}, episode {episode}"
        if [ClipRow(*map(int, row)) for row in index[first:stop]] != expected:
            raise DataError(f"{where}: records do not cover the episode; prepare the folder again")
        hashes, blank = np.zeros(length, np.uint64), 0
        for record in range(first, stop):
            blank += _check_record(reader, record, hashes, where)
            bar.update()
        if len(set(hashes.tolist())) == 1 and not reader.spec.is_map:
            raise DataError(f"{where}: all {length} frames are equal; the source is broken")
        place = reader.spec.name, reader.split, episode
        yield EpisodeHashes(*place, hashes, sources[episode]), blank


def _check_record(reader: ClipReader, record: int, hashes: np.ndarray, where: str) -> int:
    """Checks one record and adds its frames' hashes; returns how many new frames are blank."""
    clip = reader.clip(record)
    episode, start, length, _ = reader.index[record].tolist()
    if clip.integer("episode") != episode:
        raise DataError(f"{where}: record {record} belongs to episode {clip.integer('episode')}")
    blank = 0
    shown = not is_vector(reader.spec)
    rows = () if shown else row_hashes(clip.decode_label("state"))
    for t, frame in enumerate(clip.decode_frames(np.arange(length)), start):
        encoded = clip.encoded_frame(t - start)
        value = np.uint64(frame_hash(encoded)) if shown else rows[t - start]
        if hashes[t] not in (0, value):
            raise DataError(f"{where}: frame {t} differs between two records")
        blank += bool(shown and hashes[t] == 0 and is_blank(frame))
        hashes[t] = value
    for label in reader.spec.labels:
        values = clip.decode_label(label)
        if not np.isfinite(values).all():
            raise DataError(f"{where}: {label} of record {record} is not finite")
        if label == "action":
            fault = reader.spec.action.fault(values)
            if fault:
                raise DataError(f"{where}: record {record}: {fault}")
    return blank

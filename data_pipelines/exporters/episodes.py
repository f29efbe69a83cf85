"""A dataset of a folder and the latents of its transitions, joined, an episode at a time."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from data_pipelines.errors import DataError
from data_pipelines.exporters.columns import LatentFacts, latent_facts, latent_rows
from data_pipelines.format.codecs import get_codec
from data_pipelines.format.index import read_index
from data_pipelines.format.layout import index_file
from data_pipelines.format.manifest import AGAIN, DatasetInfo
from data_pipelines.format.sidecars import Sidecar, open_sidecar, split_fingerprint
from data_pipelines.format.spec import DatasetSpec
from data_pipelines.format.vectors import is_vector
from data_pipelines.loading.windows import ClipReader

# (slots (B, K, D), o_t, o_next uint8 (B, H, W, C)) -> int (B,), how many slots to keep.
Choose = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]

_BATCH = 256  # transitions that are chosen for at once
_AS_THEY_ARE = ("png", "jpeg")  # codecs whose bytes every program reads


@dataclasses.dataclass(frozen=True)
class EpisodeEntry:
    """Where an episode is. number: in its folder. facts: its line in the list of episodes."""

    split: str
    number: int
    length: int
    records: range
    facts: dict[str, Any]

    @property
    def language(self) -> str:
        text = self.facts.get("language")
        return text if isinstance(text, str) else ""

    @property
    def source(self) -> str:
        return str(self.facts.get("source", ""))


@dataclasses.dataclass(frozen=True)
class LatentEpisode:
    """One episode of N frames.

    Attributes:
      pictures: N encoded pictures (PNG or JPEG), () for a dataset of vectors.
      action: (N - 1, ...), reward float32 (N - 1,), state float32 (N, S); None where there is none.
      latents: see `columns.latent_rows`.
    """

    entry: EpisodeEntry
    pictures: Sequence[bytes]
    action: np.ndarray | None
    reward: np.ndarray | None
    state: np.ndarray | None
    latents: dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class LatentSet:
    """One dataset, some of its splits, and their latents. entries: in the order of splits.

    data: split -> fingerprint of its records.  choose: how many slots each transition keeps.
    """

    info: DatasetInfo
    spec: DatasetSpec
    splits: tuple[str, ...]
    facts: LatentFacts
    entries: tuple[EpisodeEntry, ...]
    data: dict[str, str]
    choose: Choose | None = dataclasses.field(repr=False)
    readers: dict[str, ClipReader] = dataclasses.field(repr=False)
    sidecars: dict[str, Sidecar] = dataclasses.field(repr=False)

    @property
    def has_pictures(self) -> bool:
        return not is_vector(self.spec)

    @property
    def camera(self) -> str:
        """What its pictures are called; the spec's camera, where it has a name."""
        return self.spec.camera or "camera"

    @property
    def frames(self) -> int:
        return sum(entry.length for entry in self.entries)

    @property
    def transitions(self) -> int:
        return sum(max(0, entry.length - self.facts.gap) for entry in self.entries)

    def of_split(self, split: str) -> tuple[EpisodeEntry, ...]:
        return tuple(entry for entry in self.entries if entry.split == split)

    def latents(self, entry: EpisodeEntry) -> dict[str, np.ndarray]:
        """The latent columns of one episode; raises DataError for damaged sidecars."""
        sidecar = self.sidecars[entry.split]
        times = np.arange(max(0, entry.length - self.facts.gap))
        slots = sidecar.values("slots", entry.number, times)
        ids = None
        if self.facts.codebook_size is not None:
            ids = sidecar.values("ids", entry.number, times)
        keep = None
        if self.choose is not None:
            chosen = [
                self.choose(slots[first : first + len(o_t)], o_t, o_next)
                for first, o_t, o_next in self._pairs(entry)
            ]
            keep = np.concatenate([np.zeros(0, np.int64), *chosen])
        return latent_rows(self.facts, entry.length, slots, ids, keep)

    def _pairs(self, entry: EpisodeEntry) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """(number of the first, o_t, o_next uint8 (b, H, W, C)) of all transitions, in order."""
        gap, first = self.facts.gap, 0
        held: list[tuple[np.ndarray, np.ndarray]] = []
        for record in entry.records:
            clip = self.readers[entry.split].clip(record)
            # A record holds both frames of the transitions that it owns.
            own = min(self.spec.clip_stride, clip.frame_count() - gap)
            if own > 0:
                frames = clip.decode_frames(np.arange(own + gap))
                held.append((frames[:own], frames[gap:]))
            ready = sum(len(o_t) for o_t, _ in held)
            if ready and (ready >= _BATCH or record == entry.records[-1]):
                o_t, o_next = (np.concatenate(frames) for frames in zip(*held, strict=True))
                yield first, o_t, o_next
                first, held = first + ready, []

    def read(self, entry: EpisodeEntry, *, pictures: bool = True) -> LatentEpisode:
        """One episode; raises DataError for damaged shards and sidecars."""
        held: dict[str, list] = {"pictures": [], "action": [], "reward": [], "state": []}
        reader = self.readers[entry.split]
        for record in entry.records:
            clip = reader.clip(record)
            last = record == entry.records[-1]
            # A record owns its first frames; those after them are the next one's.
            own = clip.frame_count() if last else min(self.spec.clip_stride, clip.frame_count())
            if pictures and self.has_pictures:
                held["pictures"] += _pictures(self.spec, clip, own)
            for label in self.spec.labels:
                held[label].append(clip.decode_label(label)[:own])
        labels = {
            label: np.concatenate(held[label]) if held[label] else None
            for label in ("action", "reward", "state")
        }
        return LatentEpisode(entry, held["pictures"], **labels, latents=self.latents(entry))

    def picture(self, data: bytes) -> np.ndarray:
        """uint8 (H, W, C) of an encoded picture of an episode."""
        codec = self.spec.codec if self.spec.codec in _AS_THEY_ARE else "png"
        return get_codec(codec).decode(data, self.spec.image_shape)

    def identity(self) -> dict[str, Any]:
        """Which records and which latents: what an export of it must agree on to be this one."""
        return {
            "dataset": self.spec.name,
            "splits": dict(self.data),
            "latents": dataclasses.asdict(self.facts),
        }


def list_entries(
    info: DatasetInfo, dataset: str, splits: Sequence[str]
) -> tuple[EpisodeEntry, ...]:
    """The episodes of splits, in their order; no record is read.

    Raises DataError for a missing dataset or split, and for lists that do not fit the index.
    """
    return tuple(entry for split in splits for entry in _entries(info, dataset, split))


def _entries(info: DatasetInfo, dataset: str, split: str) -> Iterator[EpisodeEntry]:
    listed = info.episodes(dataset, split)
    records = info.counts[dataset][split]["records"]
    index = read_index(index_file(info.path, dataset, split), info.spec(dataset), records)
    starts = np.flatnonzero(index[:, 1] == 0)
    stops = np.append(starts[1:], len(index))
    held = [(facts["episode"], facts["length"]) for facts in listed]
    if held != list(zip(index[starts, 0].tolist(), index[starts, 3].tolist(), strict=True)):
        raise DataError(
            f"dataset {dataset}, split {split!r}: the list of episodes does not fit the index; "
            f"{AGAIN}"
        )
    for facts, first, stop in zip(listed, starts.tolist(), stops.tolist(), strict=True):
        yield EpisodeEntry(split, facts["episode"], facts["length"], range(first, stop), facts)


def open_latent_set(
    info: DatasetInfo,
    dataset: str,
    splits: Sequence[str],
    folder: str | pathlib.Path,
    *,
    keep: int | None = None,
    choose: Choose | None = None,
    tolerance: float | None = None,
) -> LatentSet:
    """Joins splits of a dataset with the latents in `folder` (a folder of sidecars).

    Args:
      keep: what the column `keep` says of every transition; None for all slots.
      choose, tolerance: what chooses it for each transition instead, and by which tolerance (dB).

    Raises:
      DataError: a missing dataset, split or sidecar; sidecars of different models; `keep` outside
        0..K.
    """
    sidecars = {split: open_sidecar(folder, info, dataset, split) for split in splits}
    known = {
        split: latent_facts(sidecar.facts, keep, str(sidecar.place), tolerance=tolerance)
        for split, sidecar in sidecars.items()
    }
    (first, facts), *others = known.items()
    for split, other in others:
        if other != facts:
            raise DataError(
                f"{folder}: the latents of {dataset}, splits {first!r} and {split!r}, are of two "
                "models or gaps; write one of them again with experiments.extract_latents"
            )
    readers = {split: ClipReader(info, dataset, split) for split in splits}
    return LatentSet(
        info=info,
        spec=info.spec(dataset),
        splits=tuple(splits),
        facts=facts,
        entries=list_entries(info, dataset, splits),
        data={split: split_fingerprint(info, dataset, split) for split in splits},
        choose=choose,
        readers=readers,
        sidecars=sidecars,
    )


def last_repeated(actions: np.ndarray) -> np.ndarray:
    """(N, ...) of (N - 1, ...): formats with a row per frame want an action after the last one."""
    return np.concatenate([actions, actions[-1:]])


def _pictures(spec: DatasetSpec, clip, count: int) -> list[bytes]:
    if spec.codec in _AS_THEY_ARE:
        return [clip.encoded_frame(offset) for offset in range(count)]
    encode = get_codec("png").encode
    return [encode(frame) for frame in clip.decode_frames(np.arange(count))]

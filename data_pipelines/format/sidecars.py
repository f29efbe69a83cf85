"""Sidecars: arrays aligned with the episodes of a split, in files of their own.

    sidecar = open_sidecar("latents", open_dataset("data/doom"), "basic", "train", gap=1)
    sidecar.values("slots", episode=batch["episode"], t=batch["t"])  # float32 (b, K, D)

FOLDER/<dataset>/<split>/ holds <array>.npy, with one row per frame, transition or episode in the
order of the split's episodes; episodes.npy, int64 (E,), their numbers; offsets.npy, int64 (E + 1,),
where the rows of each begin; and sidecar.json, written last, which says what this is, of which
records, made by what, and holds the sha256 of every file. A transition-aligned array of gap g has
L - g rows for an episode of L frames: row t is of the frames t and t + g.

Arrays are memory-mapped: nothing is read but the rows that are asked for. Written by
format.sidecar_writing.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import pathlib
from typing import Any

import numpy as np

from data_pipelines.errors import DataError
from data_pipelines.format.index import read_index
from data_pipelines.format.layout import index_file
from data_pipelines.format.manifest import DatasetInfo, file_hash
from data_pipelines.format.npy import map_npy
from data_pipelines.format.sidecar_manifest import AGAIN, FILE_NAME, Facts, File, read_facts
from data_pipelines.names import child
from data_pipelines.system_errors import system_error

_INT = np.dtype("<i8")


@dataclasses.dataclass(frozen=True)
class Episodes:
    """The episodes of a split in its order: numbers int64 (E,), lengths int64 (E,) in frames."""

    numbers: np.ndarray
    lengths: np.ndarray

    def offsets(self, alignment: str, gap: int | None) -> np.ndarray:
        """int64 (E + 1,): where the rows of each episode begin, and their number at the end."""
        counts = {
            "frame": self.lengths,
            "transition": np.maximum(self.lengths - (gap or 0), 0),
            "episode": np.ones_like(self.lengths),
        }[alignment]
        return np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])


def split_fingerprint(info: DatasetInfo, dataset: str, split: str) -> str:
    """sha256 of the hashes of a split's records, wherever the folder and its files lie.

    Raises DataError for a dataset or split that is not there, or an empty one.
    """
    info.shard_paths(dataset, split)
    shards = [[shard["records"], shard["sha256"]] for shard in info.shards[dataset][split]]
    return hashlib.sha256(json.dumps(shards).encode()).hexdigest()


def split_episodes(info: DatasetInfo, dataset: str, split: str) -> Episodes:
    """The episodes of a split, as its index has them; raises DataError as `split_fingerprint`."""
    info.shard_paths(dataset, split)
    records = info.counts[dataset][split]["records"]
    index = read_index(index_file(info.path, dataset, split), info.spec(dataset), records)
    first = index[index[:, 1] == 0].astype(np.int64)
    return Episodes(first[:, 0], first[:, 3])


def sidecar_folder(folder: str | pathlib.Path, dataset: str, split: str) -> pathlib.Path:
    """Where the files of one split lie."""
    return child(pathlib.Path(folder).expanduser(), dataset, split)


def holds_sidecar(folder: str | pathlib.Path, dataset: str, split: str) -> bool:
    """Whether there is a finished sidecar of that split."""
    return (sidecar_folder(folder, dataset, split) / FILE_NAME).is_file()


def held_datasets(folder: str | pathlib.Path, info: DatasetInfo) -> list[str]:
    """The datasets that have a finished sidecar of any split."""
    return [
        name
        for name in info.datasets
        if any(holds_sidecar(folder, name, split) for split in info.shards[name])
    ]


def open_sidecar(
    folder: str | pathlib.Path,
    info: DatasetInfo,
    dataset: str,
    split: str,
    *,
    gap: int | None = None,
    model: str | None = None,
    verify: bool = False,
) -> Sidecar:
    """The sidecar of one split of an opened dataset folder.

    Cheap: compares the manifest with its own hash, the records with the fingerprint, sizes and
    headers of all files, and the offsets with the episodes.

    Args:
      gap: that a transition-aligned sidecar must have; None for any.
      model: fingerprint of the model that must have made it; None for any.
      verify: compares the sha256 of every file too, which reads them.

    Raises:
      DataError: none there, damaged, or of another dataset, content, gap or model.
    """
    expected = split_fingerprint(info, dataset, split)
    place = sidecar_folder(folder, dataset, split)
    facts, files = read_facts(place)
    if (facts.dataset, facts.split, facts.data) != (dataset, split, expected):
        raise DataError(
            f"{place}: this sidecar belongs to other records than dataset {dataset!r}, split "
            f"{split!r} of {info.path} (dataset {facts.dataset!r}, split {facts.split!r}, content "
            f"{facts.data[:12]} instead of {expected[:12]}); write one for this data, or name the "
            "data that it was made of"
        )
    if gap is not None and facts.gap not in (None, gap):
        raise DataError(
            f"{place}: this sidecar holds transitions {facts.gap} frames apart, not {gap}; write "
            f"one of that gap, or read with gap {facts.gap}"
        )
    made_by = facts.made_by.get("model")
    if model is not None and made_by != model:
        raise DataError(
            f"{place}: this sidecar was made by model {str(made_by)[:12]}, not by {model[:12]}; "
            "name the folder of that model's, or write it"
        )
    sidecar = Sidecar(place, facts, files, split_episodes(info, dataset, split))
    if verify:
        sidecar.verify()
    return sidecar


def sidecar_fingerprint(folder: str | pathlib.Path, dataset: str, split: str) -> str:
    """sha256 of the hashes of a sidecar's files, which are not read; raises as `read_facts`."""
    _, files = read_facts(sidecar_folder(folder, dataset, split))
    hashes = {name: files[name].sha256 for name in sorted(files)}
    return hashlib.sha256(json.dumps(hashes).encode()).hexdigest()


class Sidecar:
    """An opened sidecar. Thread-safe and picklable: a copy maps the files anew.

    Memory: 32 bytes per episode; arrays stay on disk.
    """

    def __init__(
        self, place: pathlib.Path, facts: Facts, files: dict[str, File], episodes: Episodes
    ):
        self.place, self.facts, self.files = place, facts, files
        offsets = episodes.offsets(facts.alignment, facts.gap)
        if offsets[-1] != facts.rows:
            raise DataError(f"{place}: {facts.rows} rows, the episodes have {offsets[-1]}; {AGAIN}")
        for name, expected in (("episodes", episodes.numbers), ("offsets", offsets)):
            if not np.array_equal(self._map(name, _INT, expected.shape), expected):
                raise DataError(
                    f"{place / f'{name}.npy'}: is damaged, or of other episodes; {AGAIN}"
                )
        order = np.argsort(episodes.numbers, kind="stable")
        self._numbers = episodes.numbers[order]
        self._first, self._count = offsets[:-1][order], np.diff(offsets)[order]
        self._ends = offsets[1:]
        self._mapped: dict[str, np.ndarray] = {}
        for name in facts.arrays:
            self.array(name)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_mapped": {}}

    def array(self, name: str) -> np.ndarray:
        """All rows (N, ...) of an array, memory-mapped and read only.

        Raises DataError for an array that it does not hold, or that is damaged.
        """
        if name not in self._mapped:
            if name not in self.facts.arrays:
                raise DataError(
                    f"{self.place} holds no array {name!r}; it holds: "
                    f"{', '.join(self.facts.arrays)}"
                )
            row = self.facts.arrays[name]
            shape = (self.facts.rows, *row.shape)
            self._mapped[name] = self._map(name, np.dtype(row.dtype), shape)
        return self._mapped[name]

    def rows(self, episode: Any, t: Any = 0) -> np.ndarray:
        """Row numbers, int64, of times `t` of episodes, integers whose shapes broadcast.

        For an episode-aligned sidecar t is of no account. Raises DataError for an episode or a time
        that has no row.
        """
        episode, t = np.broadcast_arrays(np.asarray(episode, np.int64), np.asarray(t, np.int64))
        if self.facts.alignment == "episode":
            t = np.zeros_like(t)
        place = np.minimum(self._numbers.searchsorted(episode), len(self._numbers) - 1)
        good = (self._numbers[place] == episode) & (t >= 0) & (t < self._count[place])
        if not good.all():
            bad = int(np.argmin(good))
            raise DataError(
                f"{self.place}: no row for t = {t.flat[bad]} of episode {episode.flat[bad]}; the "
                f"rows are of {self.facts.alignment}s of split {self.facts.split!r}"
            )
        return self._first[place] + t

    def rows_left(self, episode: Any, t: Any = 0) -> np.ndarray:
        """How many rows, int64, an episode has from time `t` on; see `rows` for both and errors."""
        row = self.rows(episode, t)
        ends = self._ends[self._ends.searchsorted(row, side="right")]
        return ends - row

    def values(self, name: str, episode: Any, t: Any = 0) -> np.ndarray:
        """Rows (*shape of the indices, ...) of an array; see `rows` for indices and errors."""
        return self.array(name)[self.rows(episode, t)]

    def verify(self) -> None:
        """Raises DataError naming the first file that is not what was written; reads all of them."""
        for name, file in self.files.items():
            path = self.place / name
            try:
                found = file_hash(path)
            except OSError as error:
                raise DataError(f"{path}: {system_error(error.strerror)}") from error
            if found != file.sha256:
                raise DataError(
                    f"{path}: content differs from its sha256 in {FILE_NAME}: it is damaged; "
                    f"{AGAIN}"
                )

    def _map(self, name: str, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
        file = f"{name}.npy"
        return map_npy(
            child(self.place, file), dtype, shape, what="this file of a sidecar", remedy=AGAIN
        )

"""Episodes on disk between reading and the final shards.

Whoever reads or collects (possibly several processes) appends encoded frames to one file per
episode, so an hour of video never sits in memory; the metadata file is written last and is what
makes an episode count.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from data_pipelines.conversion.output import writing
from data_pipelines.format.codecs import check_frame, get_codec
from data_pipelines.format.spec import DatasetSpec
from data_pipelines.format.vectors import is_vector, row_hashes
from data_pipelines.readers.recordings import ItemError

BLANK_STD = 1.0  # a frame whose pixels deviate less than this (of 255) shows nothing


class EncodedFrames(Sequence):
    """The encoded frames of one episode; only those asked for are read from disk."""

    def __init__(self, file: pathlib.Path, sizes: np.ndarray):
        self._file, self._ends, self._sizes = file, np.cumsum(sizes), sizes
        self._blob = None

    def __len__(self) -> int:
        return len(self._sizes)

    @property
    def encoded_bytes(self) -> int:
        return int(self._sizes.sum())

    def __getitem__(self, index):
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if self._blob is None:
            self._blob = memoryview(np.memmap(self._file, np.uint8, mode="r"))
        end = self._ends[index]
        return bytes(self._blob[end - self._sizes[index] : end])


@dataclasses.dataclass(frozen=True)
class SpooledEpisode:
    """One episode of N frames: encoded frames, labels, and what the checks need.

    action (N-1, ...), reward float32 (N-1,), state float32 (N, S), or None where the dataset has
    none; hashes uint64 (N,), one per frame.
    """

    episode: int
    frames: EncodedFrames
    action: np.ndarray | None
    reward: np.ndarray | None
    state: np.ndarray | None
    hashes: np.ndarray
    episode_return: float
    source: str
    metadata: dict[str, Any]

    @property
    def length(self) -> int:
        return len(self.frames)

    @property
    def encoded_bytes(self) -> int:
        return self.frames.encoded_bytes


def frame_hash(encoded: bytes) -> int:
    """64-bit hash of an encoded frame. Codecs are deterministic: equal pixels, equal bytes."""
    return int.from_bytes(hashlib.blake2b(encoded, digest_size=8).digest(), "little")


def is_blank(frame: np.ndarray) -> bool:
    """True if the picture shows nothing. A coarse look settles nearly all frames."""
    return bool(frame[::8, ::8].std() < 2 * BLANK_STD and frame.std() < BLANK_STD)


def write_episode(
    folder: pathlib.Path,
    spec: DatasetSpec,
    episode: int,
    frames: Iterable[np.ndarray],
    *,
    action: np.ndarray | None = None,
    reward: np.ndarray | None = None,
    state: np.ndarray | None = None,
    episode_return: float = 0.0,
    source: str = "",
    metadata: dict[str, Any] | None = None,
) -> int:
    """Encodes and spools one episode; returns its number of frames.

    `frames` may be a generator; labels may be lists filled by that generator, since they are read
    after it. Raises ItemError for a frame of the wrong shape, labels of the wrong length or range,
    fewer than two frames, or an episode in which every frame is blank or all frames are equal (a
    renderer that died says nothing else; a mask may stay empty), OutputError where it cannot be
    written; nothing of the episode is left then. Of a dataset of vectors the rows of `state` are
    what is compared.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    where = f"{spec.name} episode {episode}" + (f" ({source})" if source else "")
    blob = folder / f"{episode:08d}.frames"
    try:
        if is_vector(spec):
            sizes, hashes, blank = _write_placeholders(blob, frames, state, where)
        else:
            sizes, hashes, blank = _write_frames(blob, spec, frames, where)
        meta = {
            "episode": episode,
            "episode_return": float(episode_return),
            "source": source,
            "blank_frames": blank,
            "metadata": metadata or {},
        }
        arrays: dict[str, Any] = {"sizes": np.array(sizes, np.int64)}
        arrays["hashes"] = np.array(hashes, np.uint64)
        arrays |= _checked_labels(spec, len(sizes), action, reward, state, where)
    except BaseException:
        blob.unlink(missing_ok=True)
        raise
    temporary = folder / f"{episode:08d}.tmp.npz"
    with writing(temporary):
        np.savez(temporary, meta=json.dumps(meta), **arrays)
        temporary.rename(folder / f"{episode:08d}.npz")
    return len(sizes)


def _write_frames(blob: pathlib.Path, spec: DatasetSpec, frames, where: str):
    """Appends the frames to `blob`; returns (sizes, hashes, number of blank frames)."""
    encode = get_codec(spec.codec).encode
    sizes, hashes, blank = [], [], 0
    # Errors of `file` are the output's, errors of `frames` the source's: they are kept apart.
    with writing(blob):
        file = open(blob, "wb")
    try:
        for frame in frames:
            check_frame(frame, spec.image_shape, where)
            data = encode(frame)
            with writing(blob):
                file.write(data)
            sizes.append(len(data))
            hashes.append(frame_hash(data))
            blank += is_blank(frame)
        with writing(blob):
            file.flush()
    finally:
        with contextlib.suppress(OSError):  # what could not be flushed was told above
            file.close()
    count = len(sizes)
    _check_length(count, where)
    if not spec.is_map and (blank == count or len(set(hashes)) == 1):
        raise ItemError("blank", f"{where}: all {count} frames are blank or equal")
    return sizes, hashes, blank


def _write_placeholders(blob: pathlib.Path, frames, state, where: str):
    """As _write_frames, for a dataset of vectors: its pictures show nothing, its state does."""
    count = sum(1 for _ in frames)
    _check_length(count, where)
    rows = np.asarray([] if state is None else state, np.float32)
    if rows.ndim != 2 or len(rows) != count:
        raise ItemError("bad labels", f"{where}: state has shape {rows.shape}, {count} frames")
    hashes = row_hashes(rows)
    if (hashes == hashes[0]).all():
        raise ItemError("blank", f"{where}: all {count} rows are equal")
    with writing(blob):
        blob.write_bytes(bytes(count))
    return [1] * count, hashes, 0


def _check_length(count: int, where: str) -> None:
    if count < 2:
        raise ItemError("too short", f"{where}: {count} frames; an episode needs at least two")


def _checked_labels(spec, count, action, reward, state, where) -> dict[str, np.ndarray]:
    """The labels as arrays of the types that records hold; raises ItemError if they do not fit."""
    expected = {}
    if spec.action is not None:
        expected["action"] = (action, spec.action.dtype, (count - 1, *spec.action.shape))
    if spec.has_reward:
        expected["reward"] = (reward, np.float32, (count - 1,))
    if spec.state_names:
        expected["state"] = (state, np.float32, (count, len(spec.state_names)))
    arrays = {}
    for label, (value, dtype, shape) in expected.items():
        array = np.asarray(value, dtype) if value is not None else None
        if array is None or array.shape != shape:
            got = None if array is None else array.shape
            raise ItemError("bad labels", f"{where}: {label} has shape {got}, expected {shape}")
        if not np.isfinite(array).all():
            raise ItemError("bad labels", f"{where}: {label} holds a value that is not finite")
        arrays[label] = array
    if spec.action is not None:
        fault = spec.action.fault(arrays["action"])
        if fault:
            raise ItemError("action out of range", f"{where}: {fault}")
    return arrays


def list_episodes(folder: pathlib.Path) -> list[int]:
    """Ids of the finished episodes in `folder`, in order."""
    return sorted(int(path.stem) for path in folder.glob("????????.npz"))


def read_episode(folder: pathlib.Path, episode: int) -> SpooledEpisode:
    """One finished episode; its frames stay on disk until they are asked for."""
    with np.load(folder / f"{episode:08d}.npz", allow_pickle=False) as data:
        arrays = {key: data[key] for key in data.files}
    meta = json.loads(str(arrays["meta"]))
    return SpooledEpisode(
        episode=episode,
        frames=EncodedFrames(folder / f"{episode:08d}.frames", arrays["sizes"]),
        action=arrays.get("action"),
        reward=arrays.get("reward"),
        state=arrays.get("state"),
        hashes=arrays["hashes"],
        episode_return=meta["episode_return"],
        source=meta["source"],
        metadata=meta["metadata"],
    )

"""Episodes on disk between collection and the final shards.

Collectors (possibly several processes) append encoded frames to one file per episode, so an hour of
video never sits in memory; the metadata file is written last and is what makes an episode count.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Iterable

import numpy as np

from data_pipelines.codecs import check_frame, get_codec
from data_pipelines.errors import DataError
from data_pipelines.spec import DatasetSpec

BLANK_STD = 1.0  # a frame whose pixels deviate less than this (of 255) shows nothing


@dataclasses.dataclass(frozen=True)
class SpooledEpisode:
    """One episode of N frames: encoded frames, labels, and what the checks need.

    action (N-1, ...), reward float32 (N-1,), state float32 (N, S), or None where the dataset has
    none; hashes uint64 (N,), one per frame's pixels.
    """

    episode: int
    frames: list[bytes]
    action: np.ndarray | None
    reward: np.ndarray | None
    state: np.ndarray | None
    hashes: np.ndarray
    episode_return: float
    source: str

    @property
    def length(self) -> int:
        return len(self.frames)


def frame_hash(frame: np.ndarray) -> int:
    """64-bit hash of the pixels."""
    return int.from_bytes(hashlib.blake2b(frame.tobytes(), digest_size=8).digest(), "little")


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
) -> int:
    """Encodes and spools one episode; returns its number of frames.

    `frames` may be a generator; labels may be lists filled by that generator, since they are read
    after it. Raises DataError for a frame of the wrong shape, labels of the wrong length, fewer
    than two frames, or an episode in which every frame is blank or all frames are equal (a renderer
    that died says nothing else).
    """
    folder.mkdir(parents=True, exist_ok=True)
    where = f"{spec.name} episode {episode}" + (f" ({source})" if source else "")
    encode = get_codec(spec.codec).encode
    sizes, hashes, blank = [], [], 0
    with open(folder / f"{episode:08d}.frames", "wb") as file:
        for frame in frames:
            check_frame(frame, spec.image_shape, where)
            data = encode(frame)
            file.write(data)
            sizes.append(len(data))
            hashes.append(frame_hash(frame))
            blank += bool(frame.std() < BLANK_STD)
    count = len(sizes)
    if count < 2:
        raise DataError(f"{where}: {count} frames; an episode needs at least two")
    if blank == count or len(set(hashes)) == 1:
        raise DataError(f"{where}: all {count} frames are blank or equal")
    meta = {
        "episode": episode,
        "episode_return": float(episode_return),
        "source": source,
        "blank_frames": blank,
    }
    arrays = {"sizes": np.array(sizes, np.int64), "hashes": np.array(hashes, np.uint64)}
    arrays |= _checked_labels(spec, count, action, reward, state, where)
    temporary = folder / f"{episode:08d}.tmp.npz"
    np.savez(temporary, meta=json.dumps(meta), **arrays)
    temporary.rename(folder / f"{episode:08d}.npz")
    return count


def _checked_labels(spec, count, action, reward, state, where) -> dict[str, np.ndarray]:
    """The labels as arrays of the types that records hold; raises DataError if they do not fit."""
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
            raise DataError(f"{where}: {label} has shape {got}, expected {shape}")
        if not np.isfinite(array).all():
            raise DataError(f"{where}: {label} holds a value that is not finite")
        arrays[label] = array
    discrete = spec.action is not None and spec.action.kind == "discrete"
    if discrete and not ((arrays["action"] >= 0) & (arrays["action"] < spec.action.count)).all():
        low, high = arrays["action"].min(), arrays["action"].max()
        raise DataError(f"{where}: actions {low}..{high}, expected 0..{spec.action.count - 1}")
    return arrays


def list_episodes(folder: pathlib.Path) -> list[int]:
    """Ids of the finished episodes in `folder`, in order."""
    return sorted(int(path.stem) for path in folder.glob("????????.npz"))


def read_episode(folder: pathlib.Path, episode: int, *, frames: bool = True) -> SpooledEpisode:
    """One finished episode; `frames=False` leaves the pictures on disk and lists empty bytes."""
    with np.load(folder / f"{episode:08d}.npz", allow_pickle=False) as data:
        arrays = {key: data[key] for key in data.files}
    meta = json.loads(str(arrays["meta"]))
    ends = np.cumsum(arrays["sizes"])
    if frames:
        blob = memoryview(np.memmap(folder / f"{episode:08d}.frames", np.uint8, mode="r"))
        encoded = [bytes(blob[e - s : e]) for e, s in zip(ends, arrays["sizes"], strict=True)]
    else:
        encoded = [b""] * len(ends)
    return SpooledEpisode(
        episode=episode,
        frames=encoded,
        action=arrays.get("action"),
        reward=arrays.get("reward"),
        state=arrays.get("state"),
        hashes=arrays["hashes"],
        episode_return=meta["episode_return"],
        source=meta["source"],
    )

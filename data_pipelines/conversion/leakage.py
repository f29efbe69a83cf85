"""No frame sequence may occur in two splits.

A *sequence* is WINDOW consecutive frames, compared by a hash of their pixels. Two things look like
leaks and are none, so they are left out:

* pictures that hardly change (a player against a wall, a paused video): a window counts only if at
  least half of its frames differ from their predecessor;
* a common start: simulators reset to the same pose, and two episodes whose first actions agree show
  the same frames until they part. A shared start is counted and reported, and is a leak only if it
  covers more than half of the shorter episode.

Episodes shorter than WINDOW are compared whole.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np

from data_pipelines.errors import DataError

# Measured on defend_the_center, whose player turns on one spot: 12000 random transitions repeat
# about 20 windows of 2 frames and 5 of 4 frames by chance, and none of 8 (five seeds). 16 leaves
# room for unlucky seeds.
WINDOW = 16
MAX_WINDOWS = 50_000_000  # more are sampled; 24 bytes each
_ENOUGH = 100  # pairs of episodes; a message needs no more, and each takes time
_MIX = np.uint64(0x9E3779B97F4A7C15)  # odd, so multiplication is a bijection of 64-bit integers


@dataclasses.dataclass(frozen=True)
class EpisodeHashes:
    """Frame hashes uint64 (N,) of one episode, where it lies, and what it was made of."""

    dataset: str
    split: str
    episode: int
    hashes: np.ndarray
    source: str = ""


def window_hashes(hashes: np.ndarray, window: int = WINDOW) -> tuple[np.ndarray, np.ndarray]:
    """(start (M,), hash uint64 (M,)) of every window that moves enough to be compared."""
    window = min(window, len(hashes))
    rolled = np.lib.stride_tricks.sliding_window_view(hashes, window)
    combined = np.zeros(len(rolled), np.uint64)
    for column in rolled.T:
        combined = (combined ^ column) * _MIX
        combined ^= combined >> np.uint64(29)
    changes = np.concatenate([[0], np.cumsum(hashes[1:] != hashes[:-1])])
    moving = changes[window - 1 :] - changes[: len(rolled)]
    start = np.flatnonzero(2 * moving >= window - 1)
    return start, combined[start]


def _shared_start(a: np.ndarray, b: np.ndarray) -> int:
    """Number of frames at the start that two episodes have in common."""
    count = min(len(a), len(b))
    different = np.flatnonzero(a[:count] != b[:count])
    return int(different[0]) if len(different) else count


def check_leakage(episodes: Iterable[EpisodeHashes], *, stop: bool = True) -> dict[str, Any]:
    """Raises DataError naming the first sequence found in two splits and how many pairs of episodes
    share one, unless `stop` is False.

    Returns {"windows": compared windows, "shared_starts": pairs of episodes in two splits that
    begin alike, "leaks": descriptions of the others, one per pair of episodes (only if not stop)}.
    """
    episodes = list(episodes)
    if not episodes:
        return {"windows": 0, "shared_starts": 0}
    share = _sampling(sum(len(episode.hashes) for episode in episodes))
    parts = [_sampled(*window_hashes(episode.hashes), share) for episode in episodes]
    owner = np.repeat(np.arange(len(parts)), [len(start) for start, _ in parts])
    start = np.concatenate([start for start, _ in parts])
    code = np.concatenate([code for _, code in parts])
    order = np.argsort(code, kind="stable")
    owner, start, code = owner[order], start[order], code[order]
    names = {split: i for i, split in enumerate(sorted({e.split for e in episodes}))}
    split = np.array([names[e.split] for e in episodes])[owner]
    first = np.flatnonzero(np.concatenate([[True], code[1:] != code[:-1]]))
    mixed = np.minimum.reduceat(split, first) != np.maximum.reduceat(split, first)
    ends = np.append(first[1:], len(code))
    shared: set[tuple[int, int]] = set()
    leaks: dict[tuple[int, int], str] = {}
    for low, high in zip(first[mixed], ends[mixed], strict=True):
        _judge_group(episodes, owner[low:high], start[low:high], shared, leaks)
        if stop and len(leaks) >= _ENOUGH:
            break
    if stop and leaks:
        raise DataError(_stopped(list(leaks.values())))
    found = {"windows": len(code), "shared_starts": len(shared)}
    return found if stop else found | {"leaks": list(leaks.values())}


def _stopped(leaks: list[str]) -> str:
    text = f"split leakage: {leaks[0]}"
    if len(leaks) > 1:
        count = f"{'at least ' if len(leaks) >= _ENOUGH else ''}{len(leaks)}"
        text += f"; {count} pairs of episodes share frames so"
    return (
        f"{text}. Take the duplicate out of the source, collect with another seed, or, where the "
        "splits are the publisher's, accept it with --leaks=report"
    )


def _sampling(windows: int) -> int:
    """A power of two: compare one in so many windows, chosen by content, so by pairs."""
    share = 1
    while windows > MAX_WINDOWS * share:
        share *= 2
    return share


def _sampled(start: np.ndarray, code: np.ndarray, share: int) -> tuple[np.ndarray, np.ndarray]:
    kept = (code >> np.uint64(40)) & np.uint64(share - 1) == 0
    return start[kept], code[kept]


def _judge_group(episodes, owner, start, shared: set, leaks: dict) -> None:
    """Adds the pairs of episodes that share one window to `shared` (a common start) or `leaks`."""
    for i in range(len(owner)):
        for j in range(i + 1, len(owner)):
            a, b = episodes[owner[i]], episodes[owner[j]]
            pair = (int(owner[i]), int(owner[j]))
            if a.split == b.split or pair in leaks:
                continue
            common = _shared_start(a.hashes, b.hashes)
            window = min(WINDOW, len(a.hashes), len(b.hashes))
            within_start = start[i] == start[j] and start[i] + window <= common
            if within_start and 2 * common <= min(len(a.hashes), len(b.hashes)):
                shared.add(pair)
                continue
            files = f"{a.source} and {b.source}: " if a.source and b.source else ""
            leaks[pair] = (
                f"{files}{window} consecutive frames occur in {a.dataset} episode {a.episode} "
                f"({a.split}, from frame {start[i]}) and in {b.dataset} episode {b.episode} "
                f"({b.split}, from frame {start[j]})"
            )

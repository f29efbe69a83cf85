"""Which frame of the target each source transition is paired with: at random, by likeness, by hand.

Dimension keys: N source transitions, M target frames.
"""

import csv
import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from experiments.lam_inputs import Source, whole_number
from experiments.progress_bar import progress
from flexlam_jax.errors import UserError
from flexlam_jax.evaluation.probes import POOLED, pooled_pixels

RANDOM, SIMILAR = "random", "similar"
_ONE = ("dataset", "episode", "t")
COLUMNS = tuple(f"{side}_{part}" for side in ("source", "target") for part in _ONE)

Key = tuple[str, int, int]  # dataset, episode, t


@dataclasses.dataclass(frozen=True)
class Rows:
    """Transitions of a split.

    Attributes:
      frames: uint8 (N, 2, H, W, C).      action: (N,) or (N, A), None where it was not asked for.
      keys: where each begins.
    """

    frames: np.ndarray
    action: np.ndarray | None
    keys: list[Key]

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def episode(self) -> np.ndarray:
        """(N,) index of the episode, unique over datasets."""
        names = [f"{dataset}/{episode}" for dataset, episode, _ in self.keys]
        return np.unique(names, return_inverse=True)[1]

    def at(self, rows: np.ndarray) -> "Rows":
        """These rows of it."""
        action = None if self.action is None else self.action[rows]
        return Rows(self.frames[rows], action, [self.keys[row] for row in rows])


def spread(source: Source, split: str, count: int, *, actions: bool = False) -> Rows:
    """About `count` transitions of a split, evenly spaced."""
    every = max(1, -(-source.count(split) // count))
    return _read(source, split, lambda row, key: row % every == 0, actions)


def random_targets(sources: Rows, targets: Rows, seed: int) -> np.ndarray:
    """(N,) a target of each source, of another episode.

    Raises:
      UserError: all targets are of the episode of a source.
    """
    rng = np.random.default_rng([seed, 17])
    own, theirs = (_episodes(rows) for rows in (sources, targets))
    chosen = rng.integers(len(targets), size=len(sources))
    while len(clash := np.flatnonzero(own == theirs[chosen])):
        if (theirs == theirs[0]).all():
            raise UserError(
                f"all target frames are of one episode, {theirs[0]}, which is also a source's; give "
                "more episodes with --target_datasets"
            )
        chosen[clash] = rng.integers(len(targets), size=len(clash))
    return chosen


def similar_targets(sources: Rows, targets: Rows) -> np.ndarray:
    """(N,) the target frame that is most like o_s: the least squared distance between pictures of
    16 x 16 cells, each minus its mean colour. Frames of the source's own episode are left out while
    there are others.

    Raises:
      UserError: frames too small for that.
    """
    height, width = sources.frames.shape[2:4]
    if min(height, width) < POOLED:
        raise UserError(
            f"--pairs={SIMILAR} compares pictures of {POOLED} x {POOLED} cells, and the frames have "
            f"{height} x {width} pixels; give --pairs={RANDOM}"
        )
    ours, theirs = _looks(sources), _looks(targets)
    distance = np.square(ours).sum(1)[:, None] - 2 * ours @ theirs.T + np.square(theirs).sum(1)
    same = _episodes(sources)[:, None] == _episodes(targets)
    return np.where(same & ~same.all(1, keepdims=True), np.inf, distance).argmin(1)


def by_hand(path: str, source: Source, target: Source, split: str, *, actions: bool) -> tuple:
    """(sources, targets) of a CSV file with the columns `COLUMNS`, a pair per line.

    Raises:
      UserError: a file that cannot be read, or a line that names no transition of the split.
    """
    pairs = _pairs(path)
    found = []
    for side, of, labelled in ((0, source, actions), (1, target, False)):
        wanted = {pair[side] for pair in pairs}
        rows = _read(of, split, lambda row, key, wanted=wanted: key in wanted, labelled)
        place = {key: row for row, key in enumerate(rows.keys)}
        for line, pair in enumerate(pairs, 2):
            if pair[side] not in place:
                name, episode, t = pair[side]
                raise UserError(
                    f"--pairs={path} line {line}: no transition of the {split} split of "
                    f"{', '.join(of.names)} begins at dataset {name}, episode {episode}, t {t}"
                )
        found.append(rows.at(np.array([place[pair[side]] for pair in pairs])))
    return tuple(found)


def _pairs(path: str) -> list[tuple[Key, Key]]:
    try:
        with Path(path).open(newline="", encoding="utf-8") as file:
            lines = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"--pairs={path} cannot be read ({error}); give {RANDOM}, {SIMILAR}, or a CSV file"
        ) from None
    pairs = []
    for number, line in enumerate(lines, 2):
        keys = [
            _key([line.get(f"{side}_{part}") for part in _ONE]) for side in ("source", "target")
        ]
        if None in keys:
            raise UserError(
                f"--pairs={path} line {number}: give a value in each of the columns "
                f"{', '.join(COLUMNS)}; episode and t are whole numbers"
            )
        pairs.append(tuple(keys))
    if len(pairs) < 2:
        raise UserError(f"--pairs={path} has {len(pairs)} pairs; give two at least")
    return pairs


def _key(parts: Sequence[str | None]) -> Key | None:
    dataset, *numbers = ((part or "").strip() for part in parts)
    episode, t = map(whole_number, numbers)
    return (dataset, episode, t) if dataset and episode is not None and t is not None else None


def _read(source: Source, split: str, wanted: Callable[[int, Key], bool], actions: bool) -> Rows:
    """The transitions of a split that are wanted, by their number and where they begin."""
    frames, labels, keys, done = [], [], [], 0
    tick = progress(f"read {', '.join(source.names)}", source.count(split))
    for batch in source.batches(split, actions=actions):
        names = [source.names[i] for i in np.asarray(batch["dataset"]).tolist()]
        columns = (np.asarray(batch[key]).tolist() for key in ("episode", "t"))
        held = list(zip(names, *columns, strict=True))
        kept = [row for row, key in enumerate(held) if wanted(done + row, key)]
        frames.append(np.asarray(batch["frames"])[kept])
        keys += [held[row] for row in kept]
        if actions:
            labels.append(np.asarray(batch["action"])[kept, 0])
        done += len(held)
        tick(len(held))
    if not keys and not done:
        raise UserError(
            f"the {split} split of {', '.join(source.names)} has no transition {source.gap} frames "
            "apart; choose another split"
        )
    return Rows(np.concatenate(frames), np.concatenate(labels) if actions else None, keys)


def _episodes(rows: Rows) -> np.ndarray:
    return np.array([f"{dataset}/{episode}" for dataset, episode, _ in rows.keys])


def _looks(rows: Rows) -> np.ndarray:
    pooled = pooled_pixels(rows.frames[:, 0])
    cells = pooled.reshape(len(rows), -1, rows.frames.shape[-1])
    return (cells - cells.mean(1, keepdims=True)).reshape(len(rows), -1)

"""Which rows of a file make episodes: rows in order of time, one period apart, nothing missing.

Pure functions of times and masks. Nothing is left out in silence: every row of the file is in a
stretch or in `lost` under a reason.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from data_pipelines.readers.recordings import ItemError
from data_pipelines.readers.table.pieces import Stretch, cut, in_blocks, unbroken

BACKWARD = ("refuse", "sort", "split")
# Share of rows at a time that was there already, above which a column is missing.
MOST_REPEATED = 0.1
SHORT, HOLES, REPEATED = "short episodes", "missing values", "repeated times"
UNPLACED, BETWEEN = "no time or series", "between splits"


@dataclasses.dataclass(frozen=True)
class Rules:
    """gap: seconds between neighbours above which an episode ends. backward: what to do with times
    that run back, one of BACKWARD. fill: rows in a row without a value that take the last one.
    shortest and longest: rows of an episode. blocks: whether the series is cut into splits by time.
    margin: rows left out between two such blocks.
    """

    gap: float
    backward: str
    fill: int
    shortest: int
    longest: int
    blocks: bool = False
    margin: int = 0


@dataclasses.dataclass
class Layout:
    """order int32 (M,): rows of the file by series and time. filled bool (M,): rows without a value
    of their own. lost: reason -> rows of the file, counting from 0. gaps: steps that were too long;
    moved: times that ran back, and were sorted, or began an episode.
    """

    order: np.ndarray
    filled: np.ndarray
    stretches: list[Stretch]
    lost: dict[str, np.ndarray]
    gaps: int = 0
    moved: int = 0


def steps(seconds: np.ndarray, series: np.ndarray | None) -> np.ndarray:
    """Seconds between rows of one series that follow on one another in the file, above 0 only."""
    placed = ~np.isnan(seconds)
    if series is None:
        found = np.diff(seconds[placed])
    else:
        placed &= series >= 0
        order = np.argsort(series[placed], kind="stable")
        sorted_series, found = series[placed][order], np.diff(seconds[placed][order])
        found = found[sorted_series[1:] == sorted_series[:-1]]
    return found[found > 0]


def layout(
    seconds: np.ndarray | None,
    series: np.ndarray | None,
    complete: np.ndarray,
    rules: Rules,
    where: str,
) -> Layout:
    """The stretches of a file of N rows.

    Args:
      seconds: float64 (N,), NaN where a row has no time; None where rows are a period apart.
      series: int32 (N,), -1 where a row has none; None where the file is one series.
      complete: bool (N,), rows that have all values.
      where: names the file in errors.

    Raises:
      ItemError: times that run back, where rules.backward is 'refuse'; so many repeated times that
        a column that tells series apart must be missing.
    """
    lost: dict[str, np.ndarray] = {}
    order = _placed(len(complete), seconds, series, lost)
    if series is not None:
        order = order[np.argsort(series[order], kind="stable")]
    breaks = _changes(series, order)  # between row i and i + 1 of the order
    moved = gaps = 0
    if seconds is not None:
        between = np.diff(seconds[order])
        back = (between < 0) & ~breaks
        moved = int(back.sum())
        if moved and rules.backward == "refuse":
            raise _runs_back(seconds, order, back, where)
        if moved and rules.backward == "sort":
            keys = (seconds[order],) if series is None else (seconds[order], series[order])
            order = order[np.lexsort(keys)]
            between, breaks = np.diff(seconds[order]), _changes(series, order)
        elif moved:
            breaks |= back
        again = np.append(False, (between == 0) & ~breaks)
        if again.any():
            order, breaks = _once(order, breaks, again, lost, where)
            between = np.diff(seconds[order])
        far = (between > rules.gap) & ~breaks
        gaps = int(far.sum())
        breaks |= far
        del between, back, again, far  # of large files, before more is made
    filled = ~complete[order]
    kept = _kept(filled, breaks, rules.fill)
    if not kept.all():
        lost[HOLES] = order[~kept]
        order, filled, breaks = order[kept], filled[kept], _joined(breaks, kept)
    codes = np.zeros(len(order), np.int8) if series is None else series[order]
    whole = unbroken(codes, breaks)
    if rules.blocks:
        whole, between_blocks = in_blocks(whole, codes, filled, rules.margin)
        lost[BETWEEN] = order[between_blocks]
    pieces = [piece for stretch in whole for piece in cut(stretch, filled, rules.longest)]
    long_enough = [piece for piece in pieces if piece.stop - piece.start >= rules.shortest]
    short = [order[p.start : p.stop] for p in pieces if p.stop - p.start < rules.shortest]
    lost[SHORT] = np.concatenate([order[:0], *short])
    lost = {reason: rows for reason, rows in lost.items() if len(rows)}
    return Layout(order, filled, long_enough, lost, gaps, moved)


def _changes(series: np.ndarray | None, order: np.ndarray) -> np.ndarray:
    """bool (M - 1,): where a row is of another series than the one before."""
    if series is None:
        return np.zeros(max(0, len(order) - 1), bool)
    codes = series[order]
    return codes[1:] != codes[:-1]


def _placed(
    count: int, seconds: np.ndarray | None, series: np.ndarray | None, lost: dict
) -> np.ndarray:
    """int32: rows that have a time and a series, in the order of the file."""
    placed = np.ones(count, bool)
    if seconds is not None:
        placed &= ~np.isnan(seconds)
    if series is not None:
        placed &= series >= 0
    lost[UNPLACED] = np.flatnonzero(~placed).astype(np.int32)
    return np.flatnonzero(placed).astype(np.int32)


def _runs_back(seconds: np.ndarray, order: np.ndarray, back: np.ndarray, where: str) -> ItemError:
    first = int(np.argmax(back))
    row, before = int(order[first + 1]) + 1, float(seconds[order[first]])
    return ItemError(
        "unsorted times",
        f"{where}: {int(back.sum())} times run back, the first in row {row} ({before:.9g} s, then "
        f"{float(seconds[order[first + 1]]):.9g} s); --backward=sort sorts the rows, "
        "--backward=split begins a new episode there (a clock that starts again with every run), "
        "--episode=COLUMN tells series apart",
        episodes=None,
    )


def _once(
    order: np.ndarray, breaks: np.ndarray, again: np.ndarray, lost: dict, where: str
) -> tuple[np.ndarray, np.ndarray]:
    """Without the rows that have the time of the row before: the first of the file is kept."""
    count = int(again.sum())
    if count > MOST_REPEATED * len(order):
        row = int(order[np.argmax(again)]) + 1
        raise ItemError(
            "repeated times",
            f"{where}: {count} of {len(order)} rows have the time of the row before, the first is "
            f"row {row}; name the column that tells series apart with --episode, or another --time",
        )
    lost[REPEATED] = order[again]
    return order[~again], _joined(breaks, ~again)


def _joined(breaks: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Breaks between those that are kept: wherever there was one between them."""
    before = np.concatenate([[0], np.cumsum(breaks)])[np.flatnonzero(kept)]
    return np.diff(before) > 0


def _kept(empty: np.ndarray, breaks: np.ndarray, fill: int) -> np.ndarray:
    """All rows but runs of more than `fill` empty ones, or with none before them; `breaks` becomes
    True, in place, where such a run is left out."""
    if not empty.any():
        return np.ones(len(empty), bool)
    starts = np.flatnonzero(np.concatenate([[True], breaks | (empty[1:] != empty[:-1])]))
    lengths = np.diff(np.append(starts, len(empty)))
    first = np.concatenate([[True], breaks])[starts]  # nothing of its own before it
    dropped = empty[starts] & ((lengths > fill) | first)
    kept = np.repeat(~dropped, lengths)
    breaks[starts[dropped & (starts > 0)] - 1] = True
    return kept

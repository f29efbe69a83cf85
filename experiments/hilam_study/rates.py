"""Success rates of a study with intervals, by policy and share of the demonstrations.

A run is one training seed. All policies are asked the same episodes, so differences are taken
between equal seeds, episode by episode; intervals resample seeds and episodes.
"""

import csv
import dataclasses
import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.hilam_study.arms import BAKU
from experiments.hilam_study.pieces import EVALUATION, Cell
from experiments.pieces.piece import Piece
from flexlam_jax.evaluation.returns import combine
from flexlam_jax.reports.results import Number
from flexlam_jax.typed_json import read_json

MEAN = "mean"  # in place of a task: of all tasks
UNIT = "success rate"
COLUMNS = ("arm", "share", "seed", "task", "episode", "success")

# task -> episode seed -> 1 solved, 0 not, NaN lost
Played = dict[str, dict[int, float]]
Results = dict[Cell, Played]


@dataclasses.dataclass(frozen=True)
class Point:
    """A success rate of an arm at a share in percent; `ahead` is that minus BAKU's there."""

    arm: str
    share: int
    task: str
    rate: Number
    ahead: Number | None


def collect(finished: Iterable[Piece], out: Path) -> Results:
    """What the finished evaluations say."""
    return {
        piece.cell: _played(out / piece.name / "success.json")
        for piece in finished
        if piece.gives == EVALUATION
    }


def _played(path: Path) -> Played:
    remedy = "remove its folder and its marker in finished/"
    told = read_json(path, dict[str, Any], remedy=remedy)
    return {
        task: {one["seed"]: _solved(one) for one in of["episodes"]}
        for task, of in told["tasks"].items()
    }


def _solved(episode: dict[str, Any]) -> float:
    return np.nan if episode["lost"] else float(episode["success"])


def points(results: Results) -> list[Point]:
    """Every arm and share, of each task and of their mean."""
    found = []
    for arm, share in dict.fromkeys((cell.arm, cell.share) for cell in results):
        mine, theirs = (_runs(results, name, share) for name in (arm, BAKU))
        rates = _numbers(mine)
        paired = [seed for seed in mine if seed in theirs]
        ahead = {}
        if arm != BAKU and paired:
            ahead = _numbers({seed: _minus(mine[seed], theirs[seed]) for seed in paired})
        found += [Point(arm, share, task, rates[task], ahead.get(task)) for task in rates]
    return found


def number_of(found: Iterable[Point], arm: str, share: int, task: str = MEAN) -> Point | None:
    """The point of an arm at a share, None where there is none yet."""
    wanted = (arm, share, task)
    return next((one for one in found if (one.arm, one.share, one.task) == wanted), None)


def as_csv(results: Results) -> str:
    """A row per episode."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for cell, tasks in results.items():
        for task, episodes in tasks.items():
            for seed, solved in episodes.items():
                shown = "lost" if np.isnan(solved) else int(solved)
                writer.writerow([cell.arm, cell.share, cell.seed, task, seed, shown])
    return text.getvalue()


def _runs(results: Results, arm: str, share: int) -> dict[int, Played]:
    """Training seed -> what its policy played."""
    return {
        cell.seed: played
        for cell, played in results.items()
        if (cell.arm, cell.share) == (arm, share)
    }


def _minus(mine: Played, theirs: Played) -> Played:
    return {
        task: {
            seed: solved - theirs[task][seed] for seed, solved in of.items() if seed in theirs[task]
        }
        for task, of in mine.items()
    }


def _numbers(runs: dict[int, Played]) -> dict[str, Number]:
    """Of every task and of their mean."""
    played = list(runs.values())
    tables = {task: _table([of[task] for of in played]) for task in played[0]}
    numbers, mean = combine(tables, unit=UNIT)
    return {**numbers, MEAN: mean}


def _table(runs: Sequence[dict[int, float]]) -> np.ndarray:
    """(R, E) of the episodes that all runs played."""
    shared = [seed for seed in runs[0] if all(seed in of for of in runs)]
    return np.array([[of[seed] for seed in shared] for of in runs])


def shares(found: Iterable[Point], arm: str) -> Iterator[tuple[int, Point]]:
    """(share, point) of the mean of an arm, ascending."""
    mine = [one for one in found if (one.arm, one.task) == (arm, MEAN)]
    yield from sorted((one.share, one) for one in mine)

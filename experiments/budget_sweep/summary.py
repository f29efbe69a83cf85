"""Rows of a sweep as numbers with intervals: FlexLAM, Fixed-K and what lies between, by budget.

A run is one training seed and one label draw; runs of a seed share its models. Intervals resample
seeds, the draws of each, and the episodes of returns; all models played the same episodes after the
same labels, so differences are taken between equal runs, episode by episode.
"""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from experiments.budget_sweep.pieces import FLEX
from experiments.budget_sweep.rows import MEAN, NORMALISED, Row
from flexlam_jax.evaluation.returns import combine
from flexlam_jax.reports.results import Number

FIXED, DIFFERENCE = "fixed", "FlexLAM - Fixed-K"
ALL_BUDGETS = 0  # in place of k: the mean of all budgets

# (seed, draw) -> task -> (E,) values; one value where the number is no mean of episodes.
Runs = dict[tuple[int | None, int | None], dict[str, np.ndarray]]


@dataclasses.dataclass(frozen=True)
class Point:
    """A number of the comparison; k: ALL_BUDGETS for their mean, None where there is no budget.

    model: FLEX, FIXED (another model at each k), DIFFERENCE, or a baseline.
    """

    protocol: str
    labels: str
    metric: str
    task: str
    model: str
    k: int | None
    number: Number


def summary(rows: Sequence[Row]) -> list[Point]:
    """All points that the finished pieces make up; see the head of this file."""
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        if _is_compared(row):
            groups.setdefault((row.protocol, row.labels, row.metric), []).append(row)
    points = []
    for (protocol, labels, metric), mine in groups.items():
        for (model, k), runs in _by_model(mine).items():
            for task, number in _numbers(runs, metric).items():
                points.append(Point(protocol, labels, metric, task, model, k, number))
    return points


def _is_compared(row: Row) -> bool:
    """Accuracies and pictures as they are; returns by episode, from which their mean is made."""
    if row.metric == NORMALISED:
        return row.task != MEAN
    return row.metric != "return"


def _by_model(rows: Sequence[Row]) -> dict[tuple[str, int | None], Runs]:
    """(model, k) -> its runs, with the differences and the means of all budgets."""
    found: dict[tuple[str, int | None], Runs] = {}
    for row in rows:
        runs = found.setdefault((_model(row), row.k), {})
        values = np.array(row.each or (row.value,))
        runs.setdefault((row.seed, row.draw), {})[row.task] = values
    budgets = sorted({k for model, k in found if model == FIXED} & _budgets(found, FLEX))
    for k in budgets:
        difference = _joined([found[FLEX, k], found[FIXED, k]], lambda flex, fixed: flex - fixed)
        if difference:
            found[DIFFERENCE, k] = difference
    for model in (FLEX, FIXED, DIFFERENCE):
        runs = [found[model, k] for k in budgets if (model, k) in found]
        if len(runs) > 1 and len(runs) == len(budgets):
            mean = _joined(runs, lambda *values: np.mean(values, axis=0))
            if mean:
                found[model, ALL_BUDGETS] = mean
    return found


def _model(row: Row) -> str:
    return FIXED if row.model.startswith("fixed_") else row.model


def _budgets(found: Iterable[tuple[str, int | None]], model: str) -> set[int | None]:
    return {k for name, k in found if name == model}


def _joined(several: Sequence[Runs], of: Callable[..., np.ndarray]) -> Runs:
    """Of the runs and tasks that all have, with the same episodes."""
    first, *others = several
    joined: Runs = {}
    for run, tasks in first.items():
        same = {
            task: [values, *(other[run][task] for other in others)]
            for task, values in tasks.items()
            if all(task in other.get(run, {}) for other in others)
        }
        if same and all(len({len(one) for one in values}) == 1 for values in same.values()):
            joined[run] = {task: of(*values) for task, values in same.items()}
    return joined


def _numbers(runs: Runs, metric: str) -> dict[str, Number]:
    """Of every task that all runs have, and of their mean where that is made here."""
    shared = set.intersection(*(set(tasks) for tasks in runs.values()))
    tasks = [task for task in next(iter(runs.values())) if task in shared]
    names = list(runs)
    tables = {task: _table([runs[name][task] for name in names]) for task in tasks}
    tables = {task: table for task, table in tables.items() if _is_whole(table)}
    if not tables:
        return {}
    seeds = np.array([-1 if seed is None else seed for seed, _ in names])
    numbers, mean = combine(tables, unit=metric, group_R=seeds)
    numbers = {task: _told(number, names, tables[task]) for task, number in numbers.items()}
    if metric == NORMALISED and len(tables) == len(tasks):
        numbers[MEAN] = _told(mean, names, next(iter(tables.values())))
    return numbers


def _table(values: Sequence[np.ndarray]) -> np.ndarray:
    """(R, E): of the episodes that all runs have, should some have played more."""
    length = min(map(len, values))
    return np.stack([one[:length] for one in values])


def _is_whole(table: np.ndarray) -> bool:
    return not np.isnan(table).all(-1).any()


def _told(
    number: Number, names: Sequence[tuple[int | None, int | None]], table: np.ndarray
) -> Number:
    """With what it is over in words."""
    seeds, draws = (len({name[i] for name in names}) for i in (0, 1))
    episodes = f", {table.shape[1]} episodes of each task" if table.shape[1] > 1 else ""
    over = f"runs ({seeds} seeds x {draws} label draws{episodes})"
    return dataclasses.replace(number, n=len(names), over=over)


def find(points: Iterable[Point], **wanted: Any) -> list[Point]:
    """The points whose fields have these values."""
    return [
        point
        for point in points
        if all(getattr(point, name) == value for name, value in wanted.items())
    ]


def number_of(points: Iterable[Point], **wanted: Any) -> Number | None:
    """The number of the one point, None where there is none yet."""
    return next((point.number for point in find(points, **wanted)), None)

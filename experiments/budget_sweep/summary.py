"""Rows of a sweep as numbers with intervals: FlexLAM, Fixed-K and what lies between, by budget.

A run is one training seed and one label draw; runs of a seed share its models. Intervals resample
seeds, the draws of each, and the episodes of returns; all models played the same episodes after the
same labels, so differences are taken between equal runs, episode by episode.
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from experiments.budget_sweep.pieces import ALL_LABELS, FLEX
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
    """All points that the finished pieces make up; see the head of this file.

    Baselines stand beside each protocol and number of labels, as means of the tasks that are
    measured there; their returns by task stand by themselves, of no protocol.
    """
    shown = [row for row in rows if _is_shown(row)]
    lams = _grouped(row for row in shown if _model(row) in (FLEX, FIXED))
    baselines = _grouped(row for row in shown if _model(row) not in (FLEX, FIXED))
    points = []
    for (protocol, labels, metric), mine in lams.items():
        for (model, k), runs in _by_model(mine).items():
            for task, number in (_numbers(runs, metric) | _alone(mine, model, k)).items():
                points.append(Point(protocol, labels, metric, task, model, k, number))
        tasks = {row.task for row in mine}
        for theirs in _beside(baselines, labels, metric):
            for model, number in _baselines(theirs, tasks, metric).items():
                points.append(Point(protocol, labels, metric, MEAN, model, None, number))
    for (_, labels, metric), theirs in baselines.items():
        if metric == NORMALISED:
            for (model, k), runs in _by_model(theirs).items():
                for task, number in _numbers(runs, metric).items():
                    points.append(Point("", labels, metric, task, model, k, number))
    return points


def _beside(
    baselines: dict[tuple[str, str, str], list[Row]], labels: str, metric: str
) -> Iterator[list[Row]]:
    """Rows of baselines that stand beside a number of labels, of each model once: with as many
    labels, or of those that only know all of them, or none."""
    told: set[str] = set()
    for count in dict.fromkeys((labels, ALL_LABELS, "")):
        for (_, other, their_metric), rows in baselines.items():
            if (other, their_metric) == (count, metric):
                yield [row for row in rows if row.model not in told]
                told |= {row.model for row in rows}


def _grouped(rows: Iterable[Row]) -> dict[tuple[str, str, str], list[Row]]:
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.protocol, row.labels, row.metric), []).append(row)
    return groups


def _is_shown(row: Row) -> bool:
    """Accuracies and pictures as they are; returns by episode, from which their mean is made."""
    if row.metric == NORMALISED:
        return row.task != MEAN
    return row.metric != "return"


def _baselines(rows: Sequence[Row], tasks: set[str], metric: str) -> dict[str, Number]:
    """Model -> mean of the tasks that are in `tasks`; the row's own where these are all."""
    found = {}
    for model in dict.fromkeys(row.model for row in rows):
        mine = [row for row in rows if row.model == model]
        own, apart = {row.task for row in mine} - {MEAN}, tasks - {MEAN}
        if own <= apart and metric != NORMALISED:
            mine = [row for row in mine if row.task == MEAN]
        else:
            mine = [row for row in mine if row.task in apart]
        if mine:
            (runs,) = _by_model(mine).values()
            alone = _alone(mine, model, None)
            found[model] = alone.get(MEAN) or _combined(runs, metric)[1]
    return found


def _alone(rows: Sequence[Row], model: str, k: int | None) -> dict[str, Number]:
    """Of the only run, where its numbers are no means of episodes: with their own intervals."""
    mine = [row for row in rows if (_model(row), row.k) == (model, k)]
    if len({(row.seed, row.draw) for row in mine}) != 1 or mine[0].each:
        return {}
    return {
        row.task: Number(row.value, row.low, row.high, row.n, row.metric, row.over) for row in mine
    }


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
    numbers, mean = _combined(runs, metric)
    whole = len(numbers) == len(next(iter(runs.values())))
    return numbers | ({MEAN: mean} if metric == NORMALISED and whole else {})


def _combined(runs: Runs, metric: str) -> tuple[dict[str, Number], Number | None]:
    """(number of every task that all runs have, their mean)."""
    names = list(runs)
    shared = set.intersection(*(set(tasks) for tasks in runs.values()))
    tables = {
        task: _table([runs[name][task] for name in names])
        for task in runs[names[0]]
        if task in shared
    }
    tables = {task: table for task, table in tables.items() if _is_whole(table)}
    if not tables:
        return {}, None
    seeds = np.array([-1 if seed is None else seed for seed, _ in names])
    numbers, mean = combine(tables, unit=metric, group_R=seeds)
    numbers = {task: _told(number, names, tables[task]) for task, number in numbers.items()}
    return numbers, _told(mean, names, next(iter(tables.values())))


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

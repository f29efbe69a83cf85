"""Outcomes of a rollout as numbers: what returns.json holds and the terminal shows."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from data_pipelines.simulators.simulator import TaskSpec
from flexlam_jax.evaluation.decision_rules import Rule
from flexlam_jax.evaluation.returns import combine
from flexlam_jax.evaluation.rollouts import Outcome
from flexlam_jax.reports.results import Cell, Column, Number, Table

FORMAT = 1
NORMALISED = "normalised return"


def summarise(
    tasks: Mapping[str, TaskSpec],
    outcomes: Sequence[Outcome],
    rules: Mapping[str, Rule],
    validation: Mapping[str, Mapping[str, float]],
) -> dict[str, Any]:
    """{"tasks": {task: ...}, "mean": normalised mean over tasks}; see docs/rollouts.md.

    A number is None where nobody measured what random and expert play earn, or all episodes of a
    task were lost; the mean is None if one of its tasks has no number.
    """
    by_task = {task: [o for o in outcomes if o.episode.task == task] for task in tasks}
    returns = {task: np.array([_value(one) for one in mine]) for task, mine in by_task.items()}
    scored = {
        task: np.array([spec.normalised_score(value) for value in returns[task]], np.float64)
        for task, spec in tasks.items()
        if spec.normalised_score(0.0) is not None
    }
    earned, _ = _numbers(returns, "return")
    normalised, mean = _numbers(scored, NORMALISED)
    return {
        "tasks": {
            task: {
                "rule": str(rules.get(task, "")),
                "validation": dict(validation.get(task, {})),
                "return": earned.get(task),
                "normalised": normalised.get(task),
                "random_return": spec.random_return,
                "expert_return": spec.expert_return,
                "episodes": [_played(one) for one in by_task[task] if not one.lost],
                "lost": [
                    {"seed": one.episode.seed, "reason": one.lost}
                    for one in by_task[task]
                    if one.lost
                ],
            }
            for task, spec in tasks.items()
        },
        "mean": mean if len(normalised) == len(tasks) else None,
    }


def table(report: Mapping[str, Any]) -> Table:
    """A row per task, and their mean."""
    rows = [
        {
            "task": task,
            "return": one["return"],
            "normalised": one["normalised"],
            "rule": Cell(one["rule"] or "its own"),
            "episodes": len(one["episodes"]),
            "lost": len(one["lost"]),
        }
        for task, one in report["tasks"].items()
    ]
    if report["mean"]:
        rows.append({"task": "mean", "normalised": report["mean"]})
    return Table(
        "Returns",
        rows,
        [
            Column("task", "task"),
            Column("return", "return"),
            Column("normalised", "normalised", 3),
            Column("rule", "actions by"),
            Column("episodes", "episodes"),
            Column("lost", "lost"),
        ],
        index=("task",),
        caption="Mean ± half of the 95 % bootstrap interval over episodes. Normalised: random play "
        "is 0, the scripted expert 1.",
    )


def _numbers(
    values: Mapping[str, np.ndarray], unit: str
) -> tuple[dict[str, Number], Number | None]:
    """Of the tasks with an episode that was not lost; the mean over these."""
    there = {task: one for task, one in values.items() if not np.isnan(one).all()}
    return combine(there, unit=unit) if there else ({}, None)


def _value(outcome: Outcome) -> float:
    return np.nan if outcome.lost else outcome.episode_return


def _played(outcome: Outcome) -> dict[str, Any]:
    return {
        "seed": outcome.episode.seed,
        "return": outcome.episode_return,
        "length": outcome.length,
    }

"""Outcomes as success rates: what success.json holds and the terminal shows."""

from collections.abc import Mapping, Sequence
from typing import Any

from data_pipelines.simulators.simulator import TaskSpec
from flexlam_jax.evaluation.intervals import over_trials
from flexlam_jax.evaluation.rollouts import Outcome
from flexlam_jax.reports.results import Cell, Column, Number, Table

FORMAT = 1


def summarise(tasks: Mapping[str, TaskSpec], outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """{"tasks": {task: ...}, "success": of their mean}; see docs/policies.md.

    Lost episodes are in the list and no part of the rates; a task of which all were lost has None,
    and then the mean has, too.
    """
    by_task = {task: [o for o in outcomes if o.episode.task == task] for task in tasks}
    told = {task: [bool(o.success) for o in mine if not o.lost] for task, mine in by_task.items()}
    return {
        "tasks": {
            task: {
                "success": _rate([told[task]]),
                "language": spec.language,
                "max_steps": spec.max_steps,
                "episodes": [_played(one) for one in by_task[task]],
            }
            for task, spec in tasks.items()
        },
        "success": _rate(list(told.values())),
    }


def _rate(groups: Sequence[Sequence[bool]]) -> Number | None:
    if not all(groups):
        return None
    rates = [sum(group) / len(group) for group in groups]
    over = "episodes" if len(groups) == 1 else f"episodes of {len(groups)} tasks"
    return over_trials(rates, [len(group) for group in groups], unit="success rate", over=over)


def _played(outcome: Outcome) -> dict[str, Any]:
    played = {
        "seed": outcome.episode.seed,
        "success": outcome.success,
        "length": outcome.length,
        "lost": bool(outcome.lost),
    }
    return played | ({"reason": outcome.lost} if outcome.lost else {})


def table(report: Mapping[str, Any]) -> Table:
    """A row per task, and their mean."""
    rows = []
    for task, one in report["tasks"].items():
        lengths = [e["length"] for e in one["episodes"] if not e["lost"]]
        rows.append(
            {
                "task": task,
                "success": _cell(one["success"]),
                "episodes": len(lengths),
                "lost": len(one["episodes"]) - len(lengths),
                "steps": round(sum(lengths) / len(lengths)) if lengths else None,
            }
        )
    rows.append({"task": "mean", "success": _cell(report["success"])})
    return Table(
        f"Success by the protocol {report['protocol']['name']}",
        rows,
        [
            Column("task", "task"),
            Column("success", "success"),
            Column("episodes", "episodes"),
            Column("lost", "lost"),
            Column("steps", "mean steps"),
        ],
        index=("task",),
        caption="Share of episodes that were solved, and its 95 % Wilson interval.",
    )


def _cell(number: Number | None) -> Cell:
    if number is None:
        return Cell("–")
    return Cell(f"{number.mean:.2f} ({number.low:.2f} to {number.high:.2f})", number)

"""Attempts as numbers: what results.json holds, and the page that shows them."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from data_pipelines.simulators.attempts import Attempt
from data_pipelines.simulators.simulator import TaskSpec
from flexlam_jax.evaluation.intervals import over_trials
from flexlam_jax.reports.results import Cell, Column, Number, Table
from flexlam_jax.reports.tables import as_markdown

FORMAT = 1


def summarise(
    tasks: Mapping[str, TaskSpec], played: Mapping[str, Sequence[Attempt]]
) -> dict[str, Any]:
    """{"tasks": {task: ...}}: `solved` is a Number over episodes that were not lost, None if all
    were; `episodes` are the attempts."""
    return {"tasks": {task: _of_task(spec, played[task]) for task, spec in tasks.items()}}


def _of_task(spec: TaskSpec, attempts: Sequence[Attempt]) -> dict[str, Any]:
    ended = [one for one in attempts if not one.lost]
    solved = [one for one in ended if one.solved]
    return {
        "language": spec.language,
        "max_steps": spec.max_steps,
        "solved": _rate(len(solved), len(ended)) if ended else None,
        "median_steps": statistics.median(one.length for one in solved) if solved else None,
        "lost": len(attempts) - len(ended),
        "cpu_seconds": sum(one.cpu_seconds for one in attempts),
        "episodes": [one._asdict() for one in attempts],
    }


def _rate(solved: int, played: int) -> Number:
    return over_trials([solved / played], [played], unit="share solved", over="episodes")


def table(report: Mapping[str, Any]) -> Table:
    """A row per task, and one of all together."""
    tasks = report["tasks"]
    rows = [_row(task, [one]) for task, one in tasks.items()]
    columns = [Column("task", "task"), Column("solved", "solved"), Column("episodes", "episodes")]
    columns += [Column("replayed", "equal when played again"), Column("steps", "median steps")]
    columns += [Column("lost", "lost"), Column("cpu_seconds", "CPU s per episode")]
    caption = (
        "Solved: share of the episodes, and its 95 % Wilson interval. Equal when played again: how "
        "many of those that were had every state again, to the bit, and were solved again. CPU "
        "seconds: with the start of the simulator and the second playing."
    )
    rows = [*rows, _row("all", list(tasks.values()))]
    return Table("The scripted expert", rows, columns, ("task",), caption)


def _row(name: str, tasks: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    episodes = [episode for one in tasks for episode in one["episodes"]]
    rates = [one["solved"] for one in tasks if one["solved"]]
    played = sum(rate.n for rate in rates)
    solved = sum(round(rate.mean * rate.n) for rate in rates)
    looked = [e["replayed"] for e in episodes if e["replayed"] is not None]
    return {
        "task": name,
        "solved": _share(solved, played),
        "episodes": played,
        "replayed": f"{sum(looked)} of {len(looked)}" if looked else None,
        "steps": f"{tasks[0]['median_steps']:g}" if solved and len(tasks) == 1 else None,
        "lost": sum(one["lost"] for one in tasks),
        "cpu_seconds": f"{sum(one['cpu_seconds'] for one in tasks) / len(episodes):.1f}",
    }


def _share(solved: int, played: int) -> Cell:
    if not played:
        return Cell("–")
    number = _rate(solved, played)
    return Cell(f"{number.mean:.2f} ({number.low:.2f} to {number.high:.2f})", number)


def markdown(report: Mapping[str, Any]) -> str:
    """The page: what was played and how, the table, and what was not solved."""
    simulator = ", ".join(f"{key} {value}" for key, value in report["simulator"].items())
    facts = {"command": report["command"], "simulator": simulator}
    facts |= {key: report[key] for key in ("hardware", "versions", "date")}
    told = "\n".join(f"- {key}: {value}" for key, value in facts.items())
    missed = "\n".join(f"- {line}" for line in _missed(report)) or "- none"
    shown = as_markdown(table(report))
    return f"# {table(report).title}\n\n{told}\n\n{shown}\n\n## Not solved\n\n{missed}\n"


def _missed(report: Mapping[str, Any]) -> Iterator[str]:
    """A line per task of which an episode was not solved, lost, or not equal when played again."""
    for task, one in report["tasks"].items():
        groups = {
            "not solved": [e for e in one["episodes"] if not e["solved"] and not e["lost"]],
            "lost": [e for e in one["episodes"] if e["lost"]],
            "not equal when played again": [e for e in one["episodes"] if e["replayed"] is False],
        }
        told = [
            f"{name}: seeds {', '.join(_told(e) for e in some)}"
            for name, some in groups.items()
            if some
        ]
        if told:
            yield f"{task} ({one['language']}): {'; '.join(told)}"


def _told(episode: Mapping[str, Any]) -> str:
    """The seed, and where it ended."""
    return f"{episode['seed']} ({episode['at']})" if episode["at"] else str(episode["seed"])

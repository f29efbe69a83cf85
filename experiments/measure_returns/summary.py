"""Outcomes of behaviours as numbers, and the page that shows them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from data_pipelines.simulators.returns import Played
from flexlam_jax.evaluation.returns import combine
from flexlam_jax.reports.results import Number

FORMAT = 1
MARK = "<!-- From here on written by the command. -->"
ANCHORS = ("random", "expert")  # behaviours that score 0 and 1


def summarise(
    tasks: Sequence[str],
    behaviours: Sequence[str],
    played: Mapping[tuple[str, str], Sequence[Played]],
) -> dict[str, dict[str, dict[str, Any]]]:
    """{task: {behaviour: {"return", "normalised": Number, "length": mean steps}}}.

    played: by behaviour and task. Normalised are returns by the means of random and expert measured
    here, which count as exact; None where one of the two is missing, or both are equal.
    """
    return {task: _of_task({one: played[one, task] for one in behaviours}) for task in tasks}


def _of_task(played: Mapping[str, Sequence[Played]]) -> dict[str, dict[str, Any]]:
    returns = {
        behaviour: np.array([one.episode_return for one in mine])
        for behaviour, mine in played.items()
    }
    scores: Mapping[str, np.ndarray] = {}
    if all(anchor in returns for anchor in ANCHORS):
        low, high = (returns[anchor].mean() for anchor in ANCHORS)
        if low != high:
            scores = {name: (values - low) / (high - low) for name, values in returns.items()}
    return {
        behaviour: {
            "return": _number(returns[behaviour], "return"),
            "normalised": _number(scores[behaviour], "normalised return") if scores else None,
            "length": float(np.mean([one.length for one in mine])),
        }
        for behaviour, mine in played.items()
    }


def _number(values: np.ndarray, unit: str) -> Number:
    return combine({"": values}, unit=unit)[0][""]


def page(report: Mapping[str, Any], old: str) -> str:
    """The page (Markdown): what stood above MARK in the old one, and the tables."""
    above = old.partition(MARK)[0].rstrip()
    tasks, behaviours = report["tasks"], report["behaviours"]
    episodes = next(iter(next(iter(tasks.values())).values()))["return"].n
    shown = [name for name in behaviours if name not in ANCHORS]
    told = "\n".join(f"- {name}: {about}" for name, about in behaviours.items())
    return (
        f"{above}\n\n{MARK}\n\n`{report['command']}`, {report['date']}; "
        f"{_told(report['simulator'])}; {report['versions']}; {report['hardware']}.\n\n"
        f"Mean return and its 95 % bootstrap interval over {episodes} episodes:\n\n"
        f"{_table(tasks, behaviours, 'return')}\n\n{told}\n\n"
        "Normalised by the means of random and expert above, which count as exact:\n\n"
        f"{_table(tasks, shown, 'normalised')}\n\n"
        f"Mean steps of an episode:\n\n{_table(tasks, behaviours, 'length')}\n"
    )


def _told(sources: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in sources.items())


def _table(
    tasks: Mapping[str, Mapping[str, Mapping[str, Any]]], behaviours: Sequence[str], key: str
) -> str:
    rows = [["task", *behaviours], ["---"] * (1 + len(behaviours))]
    for task, played in tasks.items():
        rows.append([task, *(_text(played[behaviour][key]) for behaviour in behaviours)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _text(value: Number | float | None) -> str:
    """ "23.7 (22.5 to 24.9)"; two decimals below 10."""
    if value is None:
        return "–"
    if not isinstance(value, Number):
        return f"{value:.0f}"
    digits = 2 if abs(value.mean) < 10 else 1
    mean, low, high = (
        f"{round(number, digits) + 0.0:.{digits}f}"
        for number in (value.mean, value.low, value.high)
    )
    return f"{mean} ({low} to {high})"

"""Which columns of a source are what: said by the options, and found out by reading its files."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from data_pipelines.errors import DataError
from data_pipelines.format.spec import ActionSpec
from data_pipelines.readers.table.survey import Column, Roles, Survey

_FEW = 64  # different whole numbers of a column of actions that are taken for names, not amounts
# Of a column's range: float32 that rounds more than this is told, or refused.
_COARSE, _LOST = 1e-3, 0.1


@dataclasses.dataclass(frozen=True)
class Chosen:
    """roles: with the columns that are kept; hidden: those of the state that no model may see.

    constant: columns left out since they never change; coarse: columns that float32 rounds badly.
    """

    roles: Roles
    action: ActionSpec | None
    hidden: tuple[str, ...]
    constant: tuple[str, ...]
    coarse: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Of discrete actions; () where actions are numbers."""
        discrete = self.action is not None and self.action.kind == "discrete"
        return self.action.names if discrete else ()


def asked(held: Sequence[str], options: Mapping[str, Any]) -> Roles:
    """The roles of the columns of the first file; raises DataError for names that it lacks, and for
    a column with two roles."""
    single = [name for name in (options["time"], options["episode"]) if name]
    listed = {key: options[key] for key in ("actions", "columns", "hidden", "exogenous", "drop")}
    unknown = sorted({*single, *(n for names in listed.values() for n in names)} - set(held))
    if unknown:
        raise DataError(
            f"--source has no column {unknown[0]!r}; its first table has: "
            f"{', '.join(name for name in held if name)}"
        )
    keys = [*single, *options["actions"], *options["drop"]]
    state = options["columns"] or [
        name for name in held if name and name not in {*keys, *options["hidden"]}
    ]
    state = [*state, *(name for name in options["hidden"] if name not in state)]
    twice = [name for name in state if name in keys]
    twice += [name for name in set(keys) if keys.count(name) > 1]
    twice += [name for name in options["columns"] if name in options["hidden"]]
    if twice:
        raise DataError(
            f"column {twice[0]!r} is given two roles; --time, --episode, --actions, --columns, "
            "--hidden and --drop share none"
        )
    loose = [name for name in options["exogenous"] if name not in state]
    if loose:
        raise DataError(
            f"--exogenous names {loose[0]!r}, which is no column of the state: {', '.join(state)}"
        )
    if not state:
        raise DataError("no column is left for the state; give --columns, or drop fewer")
    return Roles(options["time"], options["episode"], tuple(state), tuple(options["actions"]))


def choose(roles: Roles, surveys: Sequence[Survey], options: Mapping[str, Any]) -> Chosen:
    """What is kept, when all files are surveyed.

    Raises DataError where no observed column changes, where float32 cannot tell the numbers of one
    apart, or actions are neither numbers nor few words.
    """
    values = (*roles.state, *roles.actions)
    whole = {name: _joined([survey.columns[name] for survey in surveys]) for name in values}
    constant = tuple(
        name for name in roles.state if whole[name].constant and options["constant"] == "drop"
    )
    state = tuple(name for name in roles.state if name not in constant)
    hidden = tuple(name for name in state if name in options["hidden"])
    if len(hidden) == len(state):
        raise DataError(
            f"--source: no observed column ever changes ({', '.join(constant) or 'none is left'}); "
            "--constant=keep keeps them"
        )
    rounding = {name: _rounding(whole[name]) for name in state}
    if lost := [name for name in state if rounding[name] > _LOST]:
        column = whole[lost[0]]
        raise DataError(
            f"--source: column {lost[0]!r} runs from {column.low!r} to {column.high!r}, and float32, "
            "which records hold, has no more than a few numbers in between; subtract an offset in "
            f"the table, or --drop={','.join(lost)}"
        )
    coarse = tuple(name for name in state if rounding[name] > _COARSE)
    kept = dataclasses.replace(roles, state=state)
    return Chosen(kept, _action(kept, whole, surveys, options), hidden, constant, coarse)


def _joined(columns: Sequence[Column]) -> Column:
    return Column(
        low=float(min(column.low for column in columns)),
        high=float(max(column.high for column in columns)),
        missing=sum(column.missing for column in columns),
        infinite=sum(column.infinite for column in columns),
        words=next((column.words for column in columns if column.words), None),
        whole=all(column.whole for column in columns),
    )


def _rounding(column: Column) -> float:
    """Distance of neighbouring float32 numbers in a column, over its range; 0 if it is constant."""
    if column.constant:
        return 0.0
    largest = max(abs(column.low), abs(column.high))
    return float(np.spacing(np.float32(largest))) / (column.high - column.low)


def _action(
    roles: Roles, whole: Mapping[str, Column], surveys: Sequence[Survey], options: Mapping[str, Any]
) -> ActionSpec | None:
    if not roles.actions:
        return None
    wordy = [name for name in roles.actions if whole[name].words]
    if len(roles.actions) > 1 or options["action_kind"] == "continuous":
        if wordy or options["action_kind"] == "discrete":
            name = wordy[0] if wordy else roles.actions[1]
            raise DataError(
                f"--actions: column {name!r} holds words, or categories are asked for; categories "
                "must be one column (join them in the table), and numbers are no words"
            )
        return ActionSpec("continuous", roles.actions)
    (name,) = roles.actions
    held = set().union(*(survey.words[name].held for survey in surveys))
    too_many = any(survey.words[name].too_many for survey in surveys)
    few = not too_many and len(held) <= _FEW and whole[name].whole
    if not (wordy or few or options["action_kind"] == "discrete"):
        return ActionSpec("continuous", roles.actions)
    if too_many:
        raise DataError(
            f"--actions: column {name!r} holds more than a thousand different words; name a column "
            "of few categories, or of numbers"
        )
    if not held:
        raise DataError(f"--actions: column {name!r} holds nothing")
    return ActionSpec("discrete", tuple(sorted(held, key=_by_number)))


def _by_number(word: str) -> tuple[float, str]:
    """Numbers by their size before words."""
    try:
        return float(word), word
    except ValueError:
        return float("inf"), word

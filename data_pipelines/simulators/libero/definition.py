"""What a LIBERO task definition (BDDL) asks for."""

from __future__ import annotations

import re
from typing import NamedTuple

from data_pipelines.errors import DataError
from data_pipelines.readers.libero.language import language_of_bddl


class Goal(NamedTuple):
    """One predicate of the goal: Goal("In", ("bowl_1", "cabinet_1_top_region"))."""

    predicate: str
    arguments: tuple[str, ...]


class Definition(NamedTuple):
    """language: its own text, which need not be that of the file name. goals: all must hold."""

    language: str
    goals: tuple[Goal, ...]


def parse_definition(text: str, where: str) -> Definition:
    """Of the content of a .bddl file; raises DataError with `where` if it has no goal."""
    _, found, goal = text.partition("(:goal")
    goals = tuple(
        Goal(words[0], tuple(words[1:]))
        for words in (match.split() for match in re.findall(r"\(\s*(\w+(?:\s+\w+)+)\s*\)", goal))
    )
    if not goals:
        raise DataError(
            f"{where}: {'the goal names nothing' if found else 'no (:goal ...)'}; install the LIBERO "
            "package again"
        )
    return Definition(language_of_bddl({"bddl_file_content": text}), goals)

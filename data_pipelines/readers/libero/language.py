"""The two instructions of a LIBERO task, which differ in 29 of 130 tasks."""

from __future__ import annotations

import json
import re


def language_of_file_name(task: str) -> str:
    """'KITCHEN_SCENE10_close_the_drawer' -> 'close the drawer'.

    The rule of LIBERO's benchmark (and so of OpenVLA and LeRobot): everything up to `SCENEn_` is
    cut, whatever the number of digits, and underscores become spaces.
    """
    return re.sub(r"^[A-Z_]*SCENE\d+_", "", task.removesuffix("_demo")).replace("_", " ").strip()


def language_of_bddl(attributes: dict) -> str:
    """The instruction of the task definition, '' if the file does not hold it.

    attributes: those of the group `data`. `problem_info` is JSON whose `language_instruction` is a
    string, a list of words, or a list of letters; `bddl_file_content` has it as `(:language ...)`.
    """
    try:
        language = json.loads(attributes["problem_info"])["language_instruction"]
    except (KeyError, TypeError, ValueError, RecursionError):
        found = re.search(r"\(:language([^()]*)\)", str(attributes.get("bddl_file_content", "")))
        language = found.group(1) if found else ""
    if isinstance(language, list):
        pieces = [str(piece) for piece in language]
        letters = all(len(piece) <= 1 for piece in pieces)
        language = ("" if letters else " ").join(pieces)
    return " ".join(str(language).strip().strip('"').split())

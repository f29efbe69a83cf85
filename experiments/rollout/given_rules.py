"""Rules of decision that earlier rollouts were played by."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from flexlam_jax.errors import UserError
from flexlam_jax.evaluation.decision_rules import Rule, read_rule
from flexlam_jax.typed_json import read_json


def rules_of(folder: str, tasks: Iterable[str]) -> dict[str, Rule]:
    """The rule of every task in the rollouts of `folder`.

    Raises:
      UserError: no finished rollouts there, of a task none, or of a player that has no rules.
    """
    path = Path(folder) / "returns.json"
    remedy = "name a folder that experiments.rollout finished with --rules_of"
    played = read_json(path, dict[str, Any], remedy=remedy).get("tasks", {})
    rules = {}
    for task in tasks:
        try:
            rules[task] = read_rule(played[task]["rule"])
        except (KeyError, TypeError, ValueError):
            told = ", ".join(name for name, one in played.items() if one.get("rule")) or "no task"
            raise UserError(
                f"--rules_of={folder} has no rule of task {task}; it has rules of {told}"
            ) from None
    return rules

"""How a rollout takes an action from a policy's probabilities.

Which rule earns more differs from task to task: drawing leaves the corners in which the likeliest
action gets stuck, and misses where it has to aim. So it is fixed per task on validation episodes.

Dimension keys: B episodes, A actions.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from flexlam_jax.errors import UserError

ARGMAX, SAMPLE = "argmax", "sample"


@dataclasses.dataclass(frozen=True)
class Rule:
    """kind: ARGMAX takes the likeliest action, SAMPLE draws by probabilities**power."""

    kind: str
    power: float = 1.0

    def __str__(self) -> str:
        return self.kind if self.kind == ARGMAX or self.power == 1 else f"sample^{self.power:g}"


def read_rule(text: str) -> Rule:
    """The rule that `str` wrote; raises ValueError for another text."""
    kind, _, power = text.partition("^")
    if kind not in (ARGMAX, SAMPLE):
        raise ValueError(f"{text!r} is no rule")
    return Rule(kind, float(power) if power else 1.0)


def take_actions(
    probabilities_BA: np.ndarray, uniforms_B: np.ndarray, rules: Sequence[Rule]
) -> list[int]:
    """The action of each row by its own rule; `uniforms_B` in [0, 1) decide what is drawn.

    Raises:
      UserError: probabilities that are NaN, infinite, negative or all zero.
    """
    probabilities_BA = np.asarray(probabilities_BA, np.float64)
    total = probabilities_BA.sum(-1)
    if not (np.isfinite(total) & (total > 0)).all() or (probabilities_BA < 0).any():
        raise UserError(
            "the policy gives probabilities that are no numbers from 0 to 1; its training "
            "diverged: take an earlier checkpoint"
        )
    return [
        int(row.argmax()) if rule.kind == ARGMAX else _draw(row, uniform, rule.power)
        for row, uniform, rule in zip(probabilities_BA, uniforms_B, rules, strict=True)
    ]


def _draw(probabilities_A: np.ndarray, uniform: float, power: float) -> int:
    weights = (probabilities_A / probabilities_A.max()) ** power
    edges = np.cumsum(weights)
    return int(np.searchsorted(edges, uniform * edges[-1], side="right").clip(0, len(edges) - 1))


def choose_rules(
    tasks: Sequence[str],
    candidates: Sequence[Rule],
    mean_returns: Callable[[Mapping[str, Rule]], Mapping[str, float]],
) -> tuple[dict[str, Rule], dict[str, dict[str, float]]]:
    """The rule of every task that earns most on validation episodes; of equals the first candidate.

    Args:
      mean_returns: plays the validation episodes of all tasks by these rules -> mean return by task.

    Returns:
      {task: rule} and {task: {rule: mean return}}, what it was chosen by.
    """
    means: dict[str, dict[str, float]] = {task: {} for task in tasks}
    for rule in candidates:
        earned = mean_returns(dict.fromkeys(tasks, rule))
        for task in tasks:
            means[task][str(rule)] = earned[task]
    by_name = {str(rule): rule for rule in candidates}
    best = {task: by_name[max(earned, key=earned.get)] for task, earned in means.items()}
    return best, means

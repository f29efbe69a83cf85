"""What a probe may read from a code: the action, what the agent changes, and what it does not.

Dimension keys: N transitions, S columns of the state, L probes, Y columns of all targets.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from flexlam_jax.errors import UserError
from flexlam_jax.evaluation import intervals
from flexlam_jax.evaluation.evaluator import Data
from flexlam_jax.evaluation.lam.state_changes import LEAST, changes
from flexlam_jax.reports.results import Number

ACTION, ENDOGENOUS, EXOGENOUS, LEVEL = "action", "endogenous", "exogenous", "exogenous_level"
LEAST_READ = 0.05  # R^2, both parts together, below which nobody can say what a share is of


@dataclasses.dataclass(frozen=True)
class Targets:
    """What probes predict, side by side, and which columns are whose.

    Attributes:
      train, test: float32 (N, Y).
      columns: target -> its columns.
      left_out: columns of the state that nothing is said of -> why.
    """

    train: np.ndarray
    test: np.ndarray
    columns: Mapping[str, np.ndarray]
    left_out: Mapping[str, str]

    @classmethod
    def of(cls, data: Data) -> "Targets":
        """Those that the data allow. Continuous actions as they are, discrete ones one-hot.

        What is new in the state: see `state_changes.changes`. The level of exogenous columns is that
        at t + 1.

        Raises:
          UserError: states that are not finite, or nothing that ever changes.
        """
        parts: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
        left_out: dict[str, str] = {}
        settings = data.settings
        if (both := _actions(data)) is not None:
            parts[ACTION] = list(zip(*both, strict=True))
        groups = {
            ENDOGENOUS: [n for n in settings.state_names if n not in settings.exogenous_state],
            EXOGENOUS: list(settings.exogenous_state),
        }
        for target, names in groups.items() if settings.exogenous_state else ():
            places = [settings.state_names.index(name) for name in names]
            states = [split["state"][..., places] for split in (data.train, data.test)]
            _check_finite(states, names)
            found = changes(states[0], states[1], names)
            left_out |= found.left_out
            if not found.train:
                continue
            parts[target] = [(found.train[name], found.test[name]) for name in found.train]
            if target == EXOGENOUS:
                kept = [names.index(name) for name in found.train]
                parts[LEVEL] = [(states[0][:, 1, i], states[1][:, 1, i]) for i in kept]
        if not parts:
            raise UserError(
                f"leakage: neither actions nor a column of {', '.join(settings.state_names)} ever "
                "changes in the train split; use --noleakage, or data in which something happens"
            )
        columns, first = {}, 0
        for target, held in parts.items():
            columns[target] = np.arange(first, first + len(held))
            first += len(held)
        train, test = (
            np.stack([pair[i] for held in parts.values() for pair in held], 1).astype(np.float32)
            for i in (0, 1)
        )
        return cls(train, test, columns, left_out)

    def scores(self, outputs_LN: np.ndarray, episode_N: np.ndarray) -> dict[str, Number]:
        """R^2 of each target, and `exogenous_share` where some of a part is read.

        R^2 is 1 - NMSE: one minus the squared error over that of predicting the train mean, each
        column in units of its standard deviation. The share is R^2 of the exogenous change over its
        sum with that of the endogenous change (of the action, where no endogenous column is known),
        each at least 0.

        Args:
          outputs_LN: (L, N, Y) predictions of the measured split.
        """
        scale = np.maximum(self.train.std(0), LEAST)
        residual = np.square((outputs_LN - self.test) / scale)
        total = np.square((self.test - self.train.mean(0)) / scale)
        values = {}
        for name, columns in self.columns.items():
            values[f"{name} residual"] = residual[..., columns].mean(-1)
            one = total[:, columns].mean(-1)
            values[f"{name} total"] = np.broadcast_to(one, (len(outputs_LN), len(one)))

        def number(statistic) -> Number:
            return intervals.over_draws_and_episodes(values, episode_N, statistic, unit="of 1")

        found = {name: number(lambda sums, name=name: _r2(sums, name)) for name in self.columns}
        own = ENDOGENOUS if ENDOGENOUS in found else ACTION
        if EXOGENOUS in found and own in found:
            read = max(0.0, found[EXOGENOUS].mean) + max(0.0, found[own].mean)
            if read >= LEAST_READ:
                found["exogenous_share"] = number(lambda sums: _share(sums, own))
        return found


def _actions(data: Data) -> tuple[list[np.ndarray], list[np.ndarray]] | None:
    """Columns of the actions of both splits; None without any that differ."""
    train, test = (split["action"] for split in (data.train, data.test))
    if train is None or test is None:
        return None
    if np.issubdtype(train.dtype, np.integer):
        size = max(data.settings.num_actions or 0, int(max(train.max(), test.max())) + 1)
        train, test = np.eye(size)[train], np.eye(size)[test]
    used = np.flatnonzero(train.std(0) >= LEAST)
    if not len(used):
        return None
    return [train[:, i] for i in used], [test[:, i] for i in used]


def _check_finite(states: Sequence[np.ndarray], names: Sequence[str]) -> None:
    finite = np.logical_and.reduce([np.isfinite(one).all((0, 1)) for one in states])
    if broken := [name for name, fine in zip(names, finite, strict=True) if not fine]:
        raise UserError(
            f"leakage: the state's columns {', '.join(broken)} hold NaN or infinity; prepare the data "
            "without, or use --noleakage"
        )


def _r2(sums: Mapping[str, Any], name: str) -> np.ndarray:
    return 1 - sums[f"{name} residual"] / np.maximum(sums[f"{name} total"], 1e-12)


def _share(sums: Mapping[str, Any], own: str) -> np.ndarray:
    exogenous, endogenous = (np.maximum(_r2(sums, name), 0) for name in (EXOGENOUS, own))
    return exogenous / np.maximum(exogenous + endogenous, LEAST_READ)

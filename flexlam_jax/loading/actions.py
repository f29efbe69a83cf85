"""Typed access to latent actions, as far as evaluation has shown what they mean.

    lam = flexlam_jax.load("runs/doom")        # or a world
    left = lam.actions["turn_left"]            # or an error that says why no code is validated
    frames = lam.decode(o_t, left.slots[None])

What `flexlam_jax.load` gives of latent action models and of worlds has `actions`. The card beside
the checkpoint (loading/action_card.py) is read on first use.

Dimension keys: K slots, D slot width.
"""

import dataclasses
import functools
from typing import Any

import numpy as np

from flexlam_jax.checkpoints.params import checkpoint_folder, saved_fingerprint
from flexlam_jax.errors import UserError
from flexlam_jax.loading.action_card import FILE, ActionCard, CodeCard, read_card
from flexlam_jax.reports.results import Number


class NotValidated(UserError):
    """A typed action for which no code was shown to stand."""


@dataclasses.dataclass(frozen=True)
class Code:
    """A latent action with a name.

    Attributes:
      action: the name.      ids: of the first `keep` slots.      keep: how many slots count.
      slots: float32 (K, D), null from `keep` on.
      card: what was measured of it.
    """

    action: str
    ids: tuple[int, ...]
    keep: int
    slots: np.ndarray
    card: CodeCard


class Actions:
    """The typed actions of a checkpoint. `flexlam_jax.load(path).actions`.

    Args:
      path: of the checkpoint.      step: that was loaded; None for the newest.
    """

    def __init__(self, path: Any, step: int | None = None):
        self._path, self._step = path, step

    @functools.cached_property
    def card(self) -> ActionCard:
        """What evaluation wrote.

        Raises:
          NotValidated: there is no card, or it was written of other parameters.
          DamagedFile: as `read_card`.
        """
        card = read_card(self._path)
        if card is None:
            raise NotValidated(
                f"{self._path} has no {FILE}, so nothing was shown of what its codes mean; "
                f"{self._command()} writes one"
            )
        step = newest_step(self._path) if self._step is None else self._step
        if str(saved_fingerprint(self._path, step)) != card.world.fingerprint:
            raise NotValidated(
                f"the {FILE} of {self._path} was written of step {card.world.step}, and step {step} "
                f"has other parameters; {self._command()} writes it anew"
            )
        return card

    @property
    def names(self) -> tuple[str, ...]:
        """The typed actions of the data, validated or not; raises as `card`."""
        return self.card.action_names

    @property
    def validated(self) -> tuple[str, ...]:
        """Those of `names` that some code is validated as; raises as `card`."""
        shown = {code.action for code in self.card.codes if code.validated}
        return tuple(name for name in self.names if name in shown)

    def __contains__(self, action: object) -> bool:
        return action in self.validated

    def __getitem__(self, action: str) -> Code:
        """The code that stands for an action; see `code`, at any budget."""
        return self.code(action)

    def code(
        self, action: str, keep: int | None = None, *, allow_unvalidated: bool = False
    ) -> Code:
        """The validated code that stands for an action.

        Of several the one of the smallest budget, and of that the one whose reliability has the
        highest lower end.

        Args:
          keep: the budget; None for any.
          allow_unvalidated: take the best code that reads as the action, whatever was shown of it.

        Raises:
          NotValidated: no code is validated as it, and why; no such action; as `card`.
        """
        card = self.card
        if not card.action_names:
            raise NotValidated(
                f"the {FILE} of {self._path} knows no actions: the data that it was measured on hold "
                "none; evaluate on data with actions"
            )
        if action not in card.action_names:
            raise NotValidated(
                f"there is no action {action!r}; the data of {self._path} have "
                f"{', '.join(card.action_names)}"
            )
        if keep is not None and keep not in card.budgets:
            raise NotValidated(
                f"the {FILE} of {self._path} says nothing of codes of {keep} slots, only of "
                f"{', '.join(map(str, card.budgets))}; {self._command()} --budgets={keep} does"
            )
        reading = [
            code for code in card.codes if code.action == action and keep in (None, code.budget)
        ]
        shown = [code for code in reading if code.validated or allow_unvalidated]
        if not shown:
            raise NotValidated(self._refusal(action, keep, reading))
        best = min(shown, key=lambda code: (not code.validated, code.budget, -_low(code)))
        return Code(action, best.ids, best.budget, _slots(card, best), best)

    def _refusal(self, action: str, keep: int | None, reading: list[CodeCard]) -> str:
        where = f"{self._path}" + ("" if keep is None else f" with {keep} slots")
        if not reading:
            return f"no code of {where} reads as {action!r}, so none can be validated as it"
        best = max(reading, key=_low)
        ids = ", ".join(map(str, best.ids))
        return (
            f"no code of {where} is validated as {action!r}. The best, {ids} of {best.budget} "
            f"slot{'s' if best.budget > 1 else ''}: {best.why}. "
            f"code({action!r}, allow_unvalidated=True) gives it nevertheless"
        )

    def _command(self) -> str:
        return f"python -m experiments.evaluate_world --checkpoint={self._path}"


def newest_step(path: Any) -> int:
    """The highest step of a checkpoint. Raises CheckpointError for none."""
    names = [child.name for child in checkpoint_folder(path).iterdir()]
    return max(int(name) for name in names if name.isdigit())


def _low(code: CodeCard) -> float:
    number: Number | None = code.reliability
    return -1.0 if number is None else number.low


def _slots(card: ActionCard, code: CodeCard) -> np.ndarray:
    """(K, D): the slots of a code, and the null latent behind them."""
    slots = np.tile(np.asarray(card.null, np.float32), (card.slots, 1))
    slots[: code.budget] = code.slots
    return slots

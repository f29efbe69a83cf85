"""What the keys of the page do: codes of every budget, and which of them play typed actions."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.play.keys import keys_of
from flexlam_jax.reports.results import Number

DIGITS = 9  # keys 1 to 9


@dataclasses.dataclass(frozen=True)
class Code:
    """A code that can be played.

    slots: float32 (K, D), null-filled.      name: its ids, as "3·1".
    share: of the transitions of the data.   motion: mean shift of the picture, (x, y) in pixels.
    travel: mean length of the shift.        action: what the translator reads, None without one.
    action_name: of a discrete action.       reliability: how often that is right, None if unknown.
    validated: whether a card of actions says that this code does what it reads as.
    """

    slots: np.ndarray
    name: str
    share: float
    motion: tuple[float, float]
    travel: float = 0.0
    action: Any = None
    action_name: str = ""
    reliability: Number | None = None
    validated: bool = False


@dataclasses.dataclass(frozen=True)
class Keyboard:
    """The codes of one budget. Digits 1 to 9 play the first of `codes`.

    typed: action name -> number of the code that plays it.
    still: the code of no action; None where there is none, and time stands while no key is pressed.
    """

    keep: int
    codes: Sequence[Code]
    digits: int
    typed: Mapping[str, int]
    still: int | None

    def facts(self) -> dict[str, Any]:
        """JSON-able, for the page."""
        keys = keys_of(tuple(self.typed))
        return {
            "keep": self.keep,
            "still": self.still,
            "codes": [_facts(code, n, self.digits) for n, code in enumerate(self.codes)],
            "actions": [
                {"name": name, "code": code, "keys": sorted(keys[name])}
                for name, code in self.typed.items()
            ],
        }


def _facts(code: Code, number: int, digits: int) -> dict[str, Any]:
    known = code.reliability
    return {
        "key": str(number + 1) if number < digits else "",
        "name": code.name,
        "share": round(code.share, 4),
        "motion": [round(float(part), 2) for part in np.nan_to_num(code.motion)],
        "travel": round(float(np.nan_to_num(code.travel)), 2),
        "action": code.action_name,
        "reliability": known and [round(v, 3) for v in (known.mean, known.low, known.high)],
        "labels": known and f"{known.n} {known.over}",
        "validated": code.validated,
    }

"""What a linear latent action model is trained for, as data, and what it sees of a process.

Dimension keys: N numbers of g (see process.py), O observation, A action, W slots.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np

from flexlam_jax.config.ranges import COUNT, SWITCH, real, several
from flexlam_jax.config.settings import check, setting
from flexlam_jax.errors import UserError
from flexlam_jax.linear.process import Process

OWN, CROSS, ACTION = "own", "cross", "action"


@dataclasses.dataclass(frozen=True)
class Objective:
    """The sum of own, partner's and action terms, each of a prefix that `keep` draws.

    Each is a remedy of docs/exogenous/linear.md; the defaults are reconstruction. Weight 0 leaves a
    term out.
    """

    slots: int = setting(3, range=COUNT, help="width of the code")
    keep: tuple[float, ...] = setting(
        (), range=several(real(0, 1)), help="chance of each prefix 1 to slots; () keeps all"
    )
    own: float = setting(1.0, range=real(), help="weight of the reconstruction of o'")
    cross: float = setting(
        0.0, range=real(), help="weight of that of a partner: same s and a, other xi"
    )
    shared: bool = setting(False, range=SWITCH, help="one decoder for o' and the partner's")
    action: float = setting(0.0, range=real(), help="weight of the prediction of a by z and o")
    labelled: float = setting(1.0, range=real(0, 1), help="share of transitions with labels")
    shift: float = setting(
        0.0,
        range=real(),
        help="E|kappa|^2 of shifts of both IDM inputs, and of o and o' of the FDM",
    )
    endogenous: bool = setting(False, range=SWITCH, help="project inputs and targets: Phi o")

    @property
    def chances(self) -> tuple[float, ...]:
        """Of the prefixes 1 to slots."""
        return self.keep or (*[0.0] * (self.slots - 1), 1.0)

    @property
    def supervision(self) -> float:
        """What the weight of the action comes to, with labels for a share."""
        return self.action * self.labelled


def nested(slots: int) -> tuple[float, ...]:
    """Chances of nested dropout: every prefix alike, as uniform `keep` of FlexLAM."""
    return (1 / slots,) * slots


@dataclasses.dataclass(frozen=True)
class View:
    """What the model reads and predicts, as maps (., N') of a longer g with partners and shifts.

    targets: term -> (what its decoder reads beside the code, what it predicts), (O, N') or (A, N').
    """

    now: np.ndarray
    next: np.ndarray
    targets: Mapping[str, tuple[np.ndarray, np.ndarray]]


def view(process: Process, objective: Objective) -> View:
    """Raises:
    ConfigError: a setting out of its range.
    UserError: chances that are not of `slots` prefixes, no term, nothing exogenous to remove, a
      decoder shared by one, or shifts of pairs.
    """
    _check(process, objective)
    now, following = process.now, process.next
    if objective.endogenous:
        now, following = (process.keeps_endogenous @ of for of in (now, following))
    size, numbers = now.shape
    partner = np.flatnonzero(process.of_world) if objective.cross else np.arange(0)
    shifts = size if objective.shift else 0
    longer = np.zeros((numbers, numbers + len(partner) + 2 * shifts))
    longer[:, :numbers] = np.eye(numbers)
    other = longer.copy()
    other[partner, partner] = 0
    other[partner, numbers + np.arange(len(partner))] = 1
    first, second = np.zeros((2, size, longer.shape[1]))
    if shifts:
        deviation = np.sqrt(objective.shift / size)
        first[:, -2 * size : -size], second[:, -size:] = (deviation * np.eye(size),) * 2
    targets = {}
    if objective.own:
        targets[OWN] = (now @ longer + second, following @ longer + second)
    if objective.cross:
        targets[CROSS] = (now @ other, following @ other)
    if objective.action:
        targets[ACTION] = (now @ longer + second, process.action @ longer)
    return View(now @ longer + first, following @ longer + first, targets)


def weights(objective: Objective) -> dict[str, float]:
    """Of the terms that are there, with labels for all that are labelled."""
    given = {OWN: objective.own, CROSS: objective.cross, ACTION: objective.supervision}
    return {name: weight for name, weight in given.items() if weight}


def _check(process: Process, objective: Objective) -> None:
    told = dataclasses.asdict(objective)
    check({key: value for key, value in told.items() if key != "keep" or value}, Objective)
    chances = objective.chances
    if len(chances) != objective.slots or abs(sum(chances) - 1) > 1e-9:
        raise UserError(
            f"keep={chances} of slots={objective.slots}: give a chance for every prefix, 1 in all"
        )
    if not weights(objective):
        raise UserError("own, cross and action are all 0; give one of them a weight")
    if objective.endogenous and process.keeps_endogenous is None:
        raise UserError("endogenous=True: this process has no projection that removes its noise")
    if objective.shared and not (objective.own and objective.cross):
        raise UserError("shared=True needs weights for both own and cross")
    if objective.shift and (objective.cross or objective.action):
        raise UserError("shift is for reconstruction alone; set cross and action to 0")

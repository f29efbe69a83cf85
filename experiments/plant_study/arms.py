"""What is compared: who observes what, and what the loss is of. Data, nothing runs here."""

import dataclasses

LEVELS = 3  # columns of levels; the disturbances come after them
ALL = 5


@dataclasses.dataclass(frozen=True)
class Arm:
    """A way to train.

    Attributes:
      name: in tables.      about: in words.
      columns: the first ones, that are observed.
      masked: disturbances that are observed do not count in the loss.
      history: instants that encoder and decoder read.
      labels: weight of the action, told for a share of the transitions; 0: no labels.
    """

    name: str
    about: str
    columns: int = LEVELS
    masked: bool = False
    history: int = 1
    labels: float = 0.0


SUPERVISED = 2  # slots that labels train: one for each pump
ARMS = (
    Arm("levels", "three levels, no labels"),
    Arm(
        "labels",
        "three levels, 1 % of the steps labelled, which train the first two slots",
        labels=10,
    ),
    Arm("measured", "levels and disturbances, all predicted, no labels", columns=ALL),
    Arm(
        "endogenous",
        "levels and disturbances, levels alone predicted, no labels",
        columns=ALL,
        masked=True,
    ),
    Arm("memory", "three levels and their last 4 instants, no labels", history=4),
)

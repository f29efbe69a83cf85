"""What is compared: the conditions of arXiv 2506.15691's table, and more of them."""

import dataclasses
from collections.abc import Sequence

from flexlam_jax.errors import UserError
from flexlam_jax.grid_world.world import check_intensity, check_share, policy

LOW, HIGH, LABELS = 1.0, 2.0, 0.01  # intensities and share of labels of the paper


@dataclasses.dataclass(frozen=True)
class Codebook:
    """How a codebook begins and is kept in use.

    spread: deviation of the initial codes.   revive: weight of the pull on unused codes.
    """

    spread: float
    revive: float


# A codebook that begins among the first latents and is kept in use; and one that begins wider than
# they are, and of which codes that win nothing are lost.
REVIVED, PLAIN = Codebook(0.2, 1.0), Codebook(0.5, 0.0)


@dataclasses.dataclass(frozen=True)
class Condition:
    """One row of a table.

    Attributes:
      name: as --conditions takes it.
      intensity: of a noise cell that is on.
      policy: of the data, "uniform" or "correlated".
      shift: whether the pairs of frames are shifted.
      labels: share of the transitions with their action, 0 for none.
      codebook: see above.
      slots: K; more than one are trained by nested dropout.

    Raises:
      UserError: an intensity below 0, an unknown policy, a share of labels outside (0, 1].
    """

    name: str
    intensity: float
    policy: str = "uniform"
    shift: bool = False
    labels: float = 0.0
    codebook: Codebook = REVIVED
    slots: int = 1

    def __post_init__(self):
        check_intensity(self.intensity)
        policy(self.policy)
        if self.labels:
            check_share(self.labels)


@dataclasses.dataclass(frozen=True)
class Group:
    """Conditions that are trained as one program and shown in one table."""

    name: str
    title: str
    conditions: tuple[Condition, ...]


DEFAULT = "low_noise"  # of the paper: uniform policy, no augmentation, no labels


def groups(labels: float = LABELS, low: float = LOW, high: float = HIGH) -> tuple[Group, ...]:
    """All that the study trains.

    Args:
      labels: share of labelled transitions, where there are some.
      low, high: intensities of the noise.

    Raises:
      UserError: a share outside (0, 1], or an intensity below 0.
    """
    check_share(labels)
    paper = (
        Condition("no_noise", 0.0),
        Condition(DEFAULT, low),
        Condition("high_noise", high),
        Condition("correlated", low, policy="correlated"),
        Condition("augmentation", low, shift=True),
        Condition("labels", low, labels=labels),
    )
    crossed = (
        Condition("augmentation_labels", low, shift=True, labels=labels),
        Condition("high_augmentation", high, shift=True),
        Condition("high_labels", high, labels=labels),
        Condition("high_augmentation_labels", high, shift=True, labels=labels),
        Condition("correlated_augmentation", low, policy="correlated", shift=True),
        Condition("correlated_labels", low, policy="correlated", labels=labels),
    )
    plain = tuple(
        dataclasses.replace(one, name=f"plain_{one.name}", codebook=PLAIN) for one in paper
    )
    named = {one.name: one for one in (*paper, *crossed)}
    of_two = (DEFAULT, "high_noise", "augmentation", "high_augmentation", "labels", "high_labels")
    prefixes = tuple(
        dataclasses.replace(named[name], name=f"slots_{name}", slots=2) for name in of_two
    )
    return (
        Group("paper", "The conditions of the paper", paper),
        Group("prefixes", "Two slots, nested dropout", prefixes),
        Group("crossed", "Conditions crossed", crossed),
        Group("plain", "With a codebook that is not kept in use", plain),
    )


def chosen(every: Sequence[Group], names: Sequence[str]) -> tuple[Group, ...]:
    """The groups of these conditions, with them alone.

    Raises:
      UserError: a name that is not known.
    """
    known = [one.name for group in every for one in group.conditions]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UserError(f"unknown condition {', '.join(unknown)}; known: {', '.join(known)}")
    kept = (
        dataclasses.replace(
            group, conditions=tuple(one for one in group.conditions if one.name in names)
        )
        for group in every
    )
    return tuple(group for group in kept if group.conditions)

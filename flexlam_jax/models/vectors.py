"""What the columns of a vector observation are called, and the units that a model sees them in.

Dimension keys: ... batch axes, S columns.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from flexlam_jax.config.ranges import COUNT, TEXT, Range, one_of, real, several
from flexlam_jax.config.settings import read, setting
from flexlam_jax.errors import ConfigError

UNITS = ("change", "level")
NAMES = Range("texts in brackets", lambda value: value in ((), []) or several(TEXT).holds(value))
_NUMBERS = Range(
    "numbers in brackets, or ()",
    lambda value: value in ((), []) or several(real(-float("inf"))).holds(value),
)


@dataclasses.dataclass(frozen=True)
class VectorSettings:
    """The `vectors` section of a config. What begins with `found` a run finds in its data."""

    columns: tuple[str, ...] = setting(
        (),
        range=NAMES,
        help="of the data's state; () for those that the data's spec calls observed",
    )
    history: int = setting(
        1, range=COUNT, help="instants that are known at t, itself included; see model.*.memory"
    )
    units: str = setting(
        "change",
        range=one_of(UNITS),
        help="errors of a column count in units of the deviation of its change from one instant to "
        "the next, or of its level",
    )
    exogenous: tuple[str, ...] = setting(
        (),
        range=NAMES,
        help="columns that the agent does not control, () for what the data's spec says; loss.mask="
        "exogenous_mask weighs their errors",
    )
    mean: tuple[float, ...] = setting((), range=_NUMBERS, help="of each column, found in the data")
    level: tuple[float, ...] = setting(
        (), range=_NUMBERS, help="deviation of each column, found in the data"
    )
    change: tuple[float, ...] = setting(
        (), range=_NUMBERS, help="deviation of the change of each column, found in the data"
    )


@dataclasses.dataclass(frozen=True)
class Units:
    """(x - mean) / scale, and back.

    Attributes: mean and scale of S columns.
    """

    mean: tuple[float, ...]
    scale: tuple[float, ...]

    def of(self, vectors: Any, xp: Any) -> Any:
        """Raw vectors (..., S) -> float32; `xp` is numpy or jax.numpy."""
        mean, scale = (xp.asarray(x, xp.float32) for x in (self.mean, self.scale))
        return (xp.asarray(vectors, xp.float32) - mean) / scale

    def back(self, vectors: Any, xp: Any) -> Any:
        """The inverse."""
        mean, scale = (xp.asarray(x, xp.float32) for x in (self.mean, self.scale))
        return vectors * scale + mean


def read_vectors(section: Mapping[str, Any]) -> tuple[VectorSettings, Units]:
    """The `vectors` section, and the units that it says; zeros and ones of no columns on paper.

    Raises:
      ConfigError: a wrong value, or numbers of other columns than `columns`.
    """
    settings: VectorSettings = read("vectors", section, VectorSettings)
    lengths = {len(x) for x in (settings.mean, settings.level, settings.change)}
    if lengths not in ({0}, {len(settings.columns)}):
        raise ConfigError(
            f"config.vectors has numbers of {sorted(lengths)} columns and names {len(settings.columns)}"
            "; leave out mean, level and change, a run finds them in its data"
        )
    scale = settings.change if settings.units == "change" else settings.level
    return settings, Units(settings.mean, scale)


def level_scales(settings: VectorSettings) -> tuple[float, ...]:
    """`scales` of encoder and decoder: deviations of levels in the units of `settings`."""
    if settings.units == "level":
        return (1.0,) * len(settings.level)
    return tuple(a / b for a, b in zip(settings.level, settings.change, strict=True))


def positions(columns: Sequence[str], held: Sequence[str]) -> tuple[int, ...]:
    """Where `columns` stand among those held. Raises ConfigError for one that is not there."""
    missing = [name for name in columns if name not in held]
    if missing:
        raise ConfigError(
            f"config.vectors.columns names {', '.join(map(repr, missing))}, and the data's state "
            f"has {', '.join(held)}"
        )
    return tuple(list(held).index(name) for name in columns)

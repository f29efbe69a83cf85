"""Which numbers every key of a config may hold: one table, checked before anything else is done.

    python -m experiments.pretrain_lam --config=experiments/configs/doom.py --help

prints it. What is not a number has its kinds beside the code that reads it.
"""

import dataclasses
import math
import numbers
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from flexlam_jax.errors import ConfigError

MOST = 2**31 - 1  # Steps, rows and codes are int32 on the device.


@dataclasses.dataclass(frozen=True)
class Range:
    """What a value may be: as a text for people, and as a test."""

    text: str
    holds: Callable[[Any], bool]


def whole(low: int, high: int = MOST) -> Range:
    """Integers from `low` to `high`; a bool is none."""

    def holds(value: Any) -> bool:
        return (
            isinstance(value, numbers.Integral)
            and not isinstance(value, bool)
            and low <= value <= high
        )

    return Range(
        f"at least {low}, a whole number below 2^31"
        if high == MOST
        else f"a whole number from {low} to {high}",
        holds,
    )


def real(
    low: float = 0.0, high: float = math.inf, *, above: bool = False, below: bool = False
) -> Range:
    """Finite numbers from `low` to `high`, without `low` (above) or `high` (below)."""

    def holds(value: Any) -> bool:
        if isinstance(value, bool) or not isinstance(value, numbers.Real):
            return False
        return (
            math.isfinite(value)
            and (value > low if above else value >= low)
            and (value < high if below else value <= high)
        )

    text = f"a number {'>' if above else '>='} {low:g}"
    return Range(
        text + ("" if math.isinf(high) else f" and {'<' if below else '<='} {high:g}"), holds
    )


def exactly(value: Any) -> Range:
    return Range(repr(value), lambda given: type(given) is type(value) and given == value)


def either(first: Range, second: Range) -> Range:
    return Range(
        f"{first.text}, or {second.text}", lambda value: first.holds(value) or second.holds(value)
    )


def several(item: Range, count: int | None = None) -> Range:
    """A list or tuple of `count` items, or of one or more."""

    def holds(value: Any) -> bool:
        return (
            isinstance(value, (list, tuple))
            and all(map(item.holds, value))
            and (len(value) == count if count else len(value) > 0)
        )

    return Range(f"{count or 'one or more'} in brackets, each {item.text}", holds)


def interval(item: Range) -> Range:
    """(lo, hi)."""

    def holds(value: Any) -> bool:
        return (
            isinstance(value, (list, tuple))
            and len(value) == 2
            and all(map(item.holds, value))
            and value[0] <= value[1]
        )

    return Range(f"(lo, hi) with lo <= hi, each {item.text}", holds)


def one_of(names: Sequence[Any]) -> Range:
    return Range(f"one of {', '.join(map(repr, names))}", lambda value: value in tuple(names))


TEXT = Range("a text", lambda value: isinstance(value, str))
SWITCH = Range("True or False", lambda value: isinstance(value, bool))
COUNT, COUNT_OR_NONE = whole(1), whole(0)
SHARE_BELOW_1 = real(0, 1, below=True)
SEED = whole(0, 2**32 - 1)

_COUNT, _OR_NONE = whole(1), whole(0)
_AXIS = either(whole(1), exactly(-1))
_SHARE_BELOW_1 = real(0, 1, below=True)
_SEED = whole(0, 2**32 - 1)
# Time in seconds is read by the data pipelines, which know the frame rate.
_SECONDS = Range(
    'seconds as "0.5s" or ("0.2s", "0.6s")',
    lambda value: any(
        isinstance(bound, str) for bound in (value if isinstance(value, (list, tuple)) else [value])
    ),
)

RANGES: dict[str, Range] = {
    "seed": _SEED,
    "total_steps": _COUNT,
    "batch_size": _COUNT,
    "peak_tflops": real(0),
    # A limit that no step can keep would end the run, and a launcher would start it again, for ever.
    "watchdog_seconds": either(real(1), Range("0 for never", lambda value: value == 0)),
    "data.clip_length": whole(2),
    "data.gap": either(either(_COUNT, interval(_COUNT)), _SECONDS),
    "data.image_size": _OR_NONE,
    "data.pairs_per_clip": _COUNT,
    "data.threads": whole(1, 1024),
    "data.prefetch": _COUNT,
    "data.workers": whole(0, 1024),
    "data.transitions": _OR_NONE,
    "data.fraction": real(0, 1, above=True),
    "data.subset_seed": _SEED,
    "augmentation.crop_scale": interval(real(0, 1, above=True)),
    "augmentation.crop_aspect": interval(real(0, above=True)),
    "augmentation.shift": whole(0, 64),
    "augmentation.brightness": real(0, 1),
    "augmentation.contrast": real(0, 1),
    "augmentation.saturation": real(0, 1),
    "augmentation.hue": real(0, 0.5),
    "model.image_size": either(_COUNT, several(_COUNT, 2)),
    "model.channels": _COUNT,
    "model.slots": _COUNT,
    **{
        f"model.{part}.{key}": _COUNT
        for part in ("encoder", "decoder")
        for key in ("patch", "width", "heads", "mlp_hidden")
    },
    # Blocks of the motion decoder, widths and radii are loops of the program, not of the device.
    "model.encoder.frame_blocks": whole(0, 10_000),
    "model.encoder.pair_blocks": whole(1, 10_000),
    "model.encoder.hidden": several(_COUNT),
    "model.encoder.windows": several(_COUNT, 2),
    "model.encoder.radius": several(whole(0, 64), 2),
    "model.encoder.factor": _COUNT,
    "model.decoder.blocks": whole(0, 10_000),
    "model.decoder.cells": _COUNT,
    "model.decoder.radius": several(whole(0, 64), 2),
    "model.decoder.channels": _COUNT,
    "model.decoder.hidden": whole(2),  # Halved for the content.
    "model.decoder.code_hidden": _COUNT,
    "model.quantizer.levels": several(whole(2)),
    "model.quantizer.codes": whole(2),
    "model.quantizer.width": _COUNT,
    "model.quantizer.beta": real(0),
    "model.quantizer.commitment": real(0),
    "model.quantizer.decay": _SHARE_BELOW_1,
    "model.quantizer.revive_below": _SHARE_BELOW_1,
    "model.keep.minimum": _OR_NONE,
    "model.keep.count": either(_OR_NONE, exactly(None)),
    "model.keep.rate": real(0, 1, above=True, below=True),
    "loss.multiscale": real(0),
    "optimizer.learning_rate": real(0),
    "optimizer.warmup_steps": _OR_NONE,
    "optimizer.decay_fraction": real(0, 1),
    "optimizer.weight_decay": real(0),
    "optimizer.clip_norm": real(0),
    "optimizer.b1": _SHARE_BELOW_1,
    "optimizer.b2": _SHARE_BELOW_1,
    "optimizer.accumulate": _COUNT,
    "optimizer.ema_decay": _SHARE_BELOW_1,
    **{f"mesh.{axis}": _AXIS for axis in ("slice", "data", "fsdp", "model")},
    "mesh.fsdp_min_size": _OR_NONE,
    "checkpoint.every": _COUNT,
    "checkpoint.keep": _COUNT,
    "log.every": _COUNT,
    "eval.every": _COUNT,
    "eval.batches": _OR_NONE,
    "profile.start": _OR_NONE,
    "profile.steps": _OR_NONE,
}
# Entries of data.mixture have these keys of data, and a weight.
MIXTURE = {key: RANGES[f"data.{key}"] for key in ("gap", "transitions", "fraction", "subset_seed")}
MIXTURE["weight"] = real(0, above=True)


# What a run reads without a default of its own.
REQUIRED = (
    "seed",
    "total_steps",
    "batch_size",
    "peak_tflops",
    "compilation_cache",
    "data.split",
    "data.clip_length",
    "model.image_size",
    "loss",
    "mesh",
    *(
        f"optimizer.{key}"
        for key in (
            "learning_rate",
            "schedule",
            "warmup_steps",
            "decay_fraction",
            "weight_decay",
            "clip_norm",
            "b1",
            "b2",
            "accumulate",
            "ema_decay",
        )
    ),
    "checkpoint.every",
    "checkpoint.keep",
    "log.every",
    "log.tensorboard",
    "log.wandb",
    "eval.every",
    "eval.batches",
)


def check_config(config: Mapping[str, Any]) -> None:
    """What can be said of the config of a run before devices, data and folders are touched.

    Raises:
      ConfigError: keys that are missing, or numbers out of their ranges.
    """
    given = {key for key, _ in _leaves(config)}
    missing = [
        key
        for key in REQUIRED
        if key not in given and not any(name.startswith(f"{key}.") for name in given)
    ]
    if missing:
        raise ConfigError(
            f"the config lacks {', '.join(missing)}; experiments/configs/common.py has every key"
        )
    check_ranges(config)


def check_ranges(config: Mapping[str, Any], sections: tuple[str, ...] = ()) -> None:
    """Compares every number of a config with the table.

    Args:
      config: a nested mapping or ConfigDict. Keys that are not in the table may hold anything.
      sections: what to look at, as "optimizer" or "seed"; () is everything.

    Raises:
      ConfigError: every key that is out of range, its value and its range, a line each.
    """
    wrong = [
        f"config.{key}={value!r} {_fault(range_)}"
        for key, value in _leaves(config)
        if (not sections or key.split(".")[0] in sections)
        and (range_ := range_of(key))
        and not range_.holds(value)
    ]
    if wrong:
        raise ConfigError("\n".join(wrong))


def range_of(key: str) -> Range | None:
    """The range of a key as "optimizer.b1"; None for one that holds no number of ours."""
    parts = key.split(".")
    if parts[:2] == ["data", "mixture"] and len(parts) == 4:
        return MIXTURE.get(parts[3])
    if parts[:2] == ["data", "datasets"] and len(parts) == 3:
        return MIXTURE["weight"]
    return RANGES.get(key)


def _fault(range_: Range) -> str:
    least = range_.text.startswith("at least")
    return f"must be {range_.text}" if least else f"is out of range; give {range_.text}"


def describe_ranges() -> str:
    """The table for people, a key a line."""
    width = max(map(len, RANGES))
    return "\n".join(f"  {key:<{width}}  {range_.text}" for key, range_ in RANGES.items())


def _leaves(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if hasattr(value, "items"):
            yield from _leaves(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value

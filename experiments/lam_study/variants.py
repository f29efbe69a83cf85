"""Changes of a preset that a study compares: data, nothing runs here."""

import dataclasses
import functools
import operator
from collections.abc import Mapping, Sequence
from typing import Any

PRESET = "preset"  # The name of the preset itself.
FIXED = "fixed_"  # Fixed-K is FIXED + K.


@dataclasses.dataclass(frozen=True)
class Variant:
    """One change.

    Attributes:
      name: of its folders and in tables.      about: what is changed, in words.
      of_preset: variants of the preset, as after the colon of --config.
      overrides: of its config, KEY=VALUE as after --config.
      times: numbers of the config that become so many times as large, {KEY: factor}.
    """

    name: str
    about: str
    of_preset: str = ""
    overrides: tuple[str, ...] = ()
    times: Mapping[str, float] = dataclasses.field(default_factory=dict)

    def of(self, preset: Any) -> "Variant":
        """The same with `times` as overrides of this preset's config."""
        scaled = [f"{key}={_scaled(preset, key, factor)}" for key, factor in self.times.items()]
        return dataclasses.replace(self, overrides=(*self.overrides, *scaled), times={})


def _scaled(config: Any, key: str, factor: float) -> float:
    value = functools.reduce(operator.getitem, key.split("."), config)
    return type(value)(value * factor)


def _keys(name: str, about: str, *overrides: str) -> Variant:
    return Variant(name, about, overrides=overrides)


_ONE, _TWO = "model.prefixes=1", "model.prefixes=2"
_UNIFORM, _POWERS = "model.keep.kind=uniform", "model.keep.kind=powers_of_two"
CHANGES = (
    _keys("one_uniform", "one prefix of 1..K slots per code and step", _ONE, _UNIFORM),
    _keys("one_of_powers", "one prefix of 1, 2, 4, … slots", _ONE, _POWERS),
    _keys("two_uniform", "two prefixes of 1..K slots", _TWO, _UNIFORM),
    _keys("whole_twice", "all K slots twice as likely as a shorter prefix", "model.keep.whole=2.0"),
    _keys(
        "powers_and_all",
        "a prefix of 1, 2, 4, … slots, and all K",
        _TWO,
        _POWERS,
        "model.further_keep.kind=fixed",
    ),
    _keys(
        "uniform_and_all",
        "a prefix of 1..K slots, and all K",
        _TWO,
        _UNIFORM,
        "model.further_keep.kind=fixed",
    ),
    _keys("three_of_powers", "three prefixes of 1, 2, 4, … slots", "model.prefixes=3", _POWERS),
    Variant("half_rate", "half the learning rate", times={"optimizer.learning_rate": 0.5}),
    Variant("double_rate", "twice the learning rate", times={"optimizer.learning_rate": 2}),
    _keys(
        "wider",
        "wider: encoder 512 and 256, decoder 64 channels, 192 and 256 (motion family)",
        "model.encoder.hidden=(512, 256)",
        "model.decoder.channels=64",
        "model.decoder.hidden=192",
        "model.decoder.code_hidden=256",
    ),
    Variant("double_steps", "twice the steps", times={"total_steps": 2}),
    _keys("no_residual", "the decoder predicts the frame, not its change", "model.residual=False"),
    _keys("motion", "local motion as a second target", "loss.motion=0.01"),
    _keys(
        "more_codes", "2,401 codes a slot instead of nine", "model.quantizer.levels=(7, 7, 7, 7)"
    ),
    _keys(
        "more_codes_motion",
        "2,401 codes a slot, and local motion as a second target",
        "model.quantizer.levels=(7, 7, 7, 7)",
        "loss.motion=0.01",
    ),
)


def of_names(names: Sequence[str], budgets: Sequence[int], preset: Any) -> list[Variant]:
    """The preset, a Fixed-K for every budget, and the named changes of this preset's config.

    Raises:
      KeyError: no such change.
    """
    known = {change.name: change for change in CHANGES}
    fixed = [Variant(f"{FIXED}{k}", f"always {k} slots", f"fixed={k}") for k in budgets]
    return [
        Variant(PRESET, "the preset as it is"),
        *fixed,
        *(known[name].of(preset) for name in names),
    ]

"""Changes of a preset that a study compares: data, nothing runs here."""

import dataclasses
from collections.abc import Sequence

PRESET = "preset"  # The name of the preset itself.
FIXED = "fixed_"  # Fixed-K is FIXED + K.


@dataclasses.dataclass(frozen=True)
class Variant:
    """One change.

    Attributes:
      name: of its folders and in tables.      about: what is changed, in words.
      of_preset: variants of the preset, as after the colon of --config.
      overrides: of its config, as --config.KEY=VALUE without the dashes.
    """

    name: str
    about: str
    of_preset: str = ""
    overrides: tuple[str, ...] = ()


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
    _keys("half_rate", "half the learning rate", "optimizer.learning_rate=5e-4"),
    _keys("double_rate", "twice the learning rate", "optimizer.learning_rate=2e-3"),
    _keys(
        "wider",
        "twice the width of encoder and decoder",
        "model.encoder.hidden=(512, 256)",
        "model.decoder.channels=64",
        "model.decoder.hidden=192",
        "model.decoder.code_hidden=256",
    ),
    _keys("double_steps", "twice the steps", "total_steps=2200"),
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


def of_names(names: Sequence[str], budgets: Sequence[int]) -> list[Variant]:
    """The preset, a Fixed-K for every budget, and the named changes.

    Raises:
      KeyError: no such change.
    """
    known = {change.name: change for change in CHANGES}
    fixed = [Variant(f"{FIXED}{k}", f"always {k} slots", f"fixed={k}") for k in budgets]
    return [
        Variant(PRESET, "the preset as it is"),
        *fixed,
        *(known[name] for name in names),
    ]

"""What the study compares: settings of HiLAM, each a change of one preset. Nothing runs here."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from flexlam_jax.errors import UserError

PRESET = "preset"  # The name of the preset itself.


@dataclasses.dataclass(frozen=True)
class Change:
    """One change.

    Attributes:
      name, about: of its folder and in tables.
      model, loss: keys of these sections of a config of kind hilam.
    """

    name: str
    about: str
    model: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    loss: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def beside(self, preset: "Change") -> "Change":
        """The same with what the preset sets and this does not."""
        return dataclasses.replace(
            self, model={**preset.model, **self.model}, loss={**preset.loss, **self.loss}
        )


_PRESET = Change(
    PRESET,
    "one block before the chunks, none after them, two of the main network, width 32",
    model={
        "widths": (32, 32, 32),
        "encoder_layers": (1, 1),
        "decoder_layers": (0, 0),
        "main_layers": 1,
        "heads": 2,
        "mlp_ratio": 2,
    },
    loss={"ratio": 0.03},
)
_TARGETS = {True: (8.0, 3.0), False: (7.0, 9.0)}
CHANGES: tuple[Change, ...] = ()


def chosen(names: Sequence[str], *, planted: bool) -> list[Change]:
    """The settings of these names, with the targets of planted or of recorded sequences.

    Raises:
      UserError: no such change.
    """
    known = {change.name: change for change in (_PRESET, *CHANGES)}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UserError(f"--changes: unknown {', '.join(unknown)}; known: {', '.join(known)}")
    preset = dataclasses.replace(_PRESET, model={**_PRESET.model, "targets": _TARGETS[planted]})
    return [known[name].beside(preset) for name in names]

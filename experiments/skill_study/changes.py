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
      rates: {pattern of parameters: factor of their learning rate}, as optimizer.groups have them.
    """

    name: str
    about: str
    model: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    loss: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    rates: Mapping[str, float] = dataclasses.field(default_factory=dict)

    def beside(self, preset: "Change") -> "Change":
        """The same with what the preset sets and this does not."""
        return dataclasses.replace(
            self, model={**preset.model, **self.model}, loss={**preset.loss, **self.loss}
        )


_PRESET = Change(
    PRESET,
    "the defaults of kind hilam, as in the official code, but 16 wide and one block inside",
    model={"widths": (16, 16, 16), "main_layers": 1, "heads": 2, "mlp_ratio": 2},
)
_TARGETS = {True: (7.0, 3.0), False: (7.0, 6.0)}  # Of planted sequences, and of recorded ones.
_NO_DECODER = {"decoder_layers": (0, 0)}
_MERGE = {"merge": (3, 1)}  # Of the outer stage: a chunk of the inner one is long already.
_OFFSET = {"offset": True, **_MERGE}
_RATIO = {"ratio": 0.1}
_RATES = {"router/offset": 5.0, "router/(query|key)": 0.05}
_COMPARED, _CONSTANT = {"compare": "steps"}, {"constant": 1.0}
_STEPS = {**_OFFSET, **_COMPARED, **_CONSTANT}
_MORE_RATIO, _MORE_RATES = {"ratio": 0.3}, {**_RATES, "router/offset": 20.0}
CHANGES = (
    Change("sharp", "a temperature of 0.25", {"temperature": 0.25}),
    Change("merged", "runs of boundaries within three steps are one", _MERGE),
    Change(
        "offset",
        "merged; routers learn an offset, at 5 times the rate, their projections at a twentieth; "
        "ratio losses count 0.1",
        _OFFSET,
        _RATIO,
        _RATES,
    ),
    Change(
        "offset_plain",
        "offset, without blocks after the chunks",
        {**_OFFSET, **_NO_DECODER},
        _RATIO,
        _RATES,
    ),
    Change(
        "through_chunks",
        "offset_plain, and nothing goes past the chunks of the outer stage",
        {**_OFFSET, **_NO_DECODER, "bypass": False},
        _RATIO,
        _RATES,
    ),
    Change(
        "steps",
        "offset; the later stage compares the two steps at a boundary; a constant beside the latent "
        "actions; offsets at 20 times the rate, ratio losses count 0.3",
        _STEPS,
        _MORE_RATIO,
        _MORE_RATES,
    ),
    # Which part of steps is needed.
    Change(
        "steps_alone",
        "offset; the later stage compares the two steps at a boundary",
        {**_OFFSET, **_COMPARED},
        _RATIO,
        _RATES,
    ),
    Change(
        "steps_no_constant",
        "steps, without the constant",
        {**_OFFSET, **_COMPARED},
        _MORE_RATIO,
        _MORE_RATES,
    ),
    Change(
        "chunks_fast",
        "steps, but the later stage compares chunks",
        {**_OFFSET, **_CONSTANT},
        _MORE_RATIO,
        _MORE_RATES,
    ),
    # What else could be in its way.
    Change(
        "steps_more",
        "steps, with a chunk of stage 2 for every three of stage 1",
        {**_STEPS, "targets": (7.0, 3.0)},
        _MORE_RATIO,
        _MORE_RATES,
    ),
)


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

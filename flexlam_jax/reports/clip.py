"""Clips as HTML: an episode in several versions side by side, under one slider through its frames and
one that says which version.

The frames of a version lie in one picture inside the page. Without JavaScript the first frames, at
the last position of the second slider, are there.
"""

import dataclasses
import html
import json
from collections.abc import Sequence

import numpy as np

from flexlam_jax.reports import reels
from flexlam_jax.reports.pictures import control, with_subscripts
from flexlam_jax.reports.results import Slider


@dataclasses.dataclass(frozen=True)
class Reel:
    """A version of the frames.

    Attributes:
      frames: uint8 (N, H, W, 3).      notes: a text for each.
    """

    frames: np.ndarray
    notes: Sequence[str]


@dataclasses.dataclass(frozen=True)
class Screen:
    """Versions that are shown in one place.

    Attributes:
      label: "_{x}" in it has a subscript.      reels: the versions.
      shown: which of them is shown, for each position of the clip's slider.
      compared: whether it can be shown as what it differs in from the clip's first screen.
    """

    label: str
    reels: Sequence[Reel]
    shown: Sequence[int]
    compared: bool = False


@dataclasses.dataclass(frozen=True)
class Clip:
    """Screens that show the same steps at the same time.

    Attributes:
      steps: of the frames, ascending.      length: steps of the episode.
      fps: frames per second when it is played.
    """

    caption: str
    screens: Sequence[Screen]
    slider: Slider
    steps: Sequence[int]
    length: int
    fps: float = 10.0


def clip_figure(clip: Clip, number: int) -> str:
    """The clip with its frames inside; `number` tells it from others on the page."""
    name, places = f"clip-{number}", reels.places(len(clip.steps))
    rules, screens, data = [], [], []
    for place, screen in enumerate(clip.screens):
        classes = [f"{name}-{place}-{version}" for version in range(len(screen.reels))]
        rules += [
            reels.rule(one, reel.frames, colours=True)  # Versions are compared.
            for one, reel in zip(classes, screen.reels, strict=True)
        ]
        notes = [list(reel.notes) for reel in screen.reels]
        data.append({"classes": classes, "shown": list(screen.shown), "notes": notes})
        screens.append(_screen(screen, data[-1], f"{name}-0-0", places[0]))
    slider = clip.slider
    shown = {
        "name": slider.name,
        "values": list(slider.values),
        "texts": list(slider.texts),
        "steps": [f"step {step} of {clip.length}" for step in clip.steps],
        "fps": clip.fps,
        "places": places,
        "screens": data,
    }
    encoded = json.dumps(shown, separators=(",", ":")).replace("</", "<\\/")
    errors = (
        '<label><input type="checkbox" class="differ"> error × 4</label>'
        if any(screen.compared for screen in clip.screens)
        else ""
    )
    return (
        f'<figure class="clip"><style>{"".join(rules)}</style><h3>{html.escape(clip.caption)}</h3>'
        f'<div class="screens">{"".join(screens)}</div>'
        '<div class="control" hidden>'
        f'<label for="{name}">Step</label><input id="{name}" class="through" type="range" min="0" '
        f'max="{len(places) - 1}" step="1" value="0"><output for="{name}"></output>'
        f'<button type="button">Play</button>{errors}</div>'
        f"{control(slider, f'{name}-{slider.name}', hidden=True)}"
        f'<script type="application/json">{encoded}</script></figure>'
    )


def _screen(screen: Screen, data: dict, first: str, place: str) -> str:
    version = screen.shown[-1]
    over = f'<div class="shot over {first}" style="background-position:{place}"></div>'
    note, label = html.escape(data["notes"][version][0]), with_subscripts(screen.label)
    return (
        f'<div><div class="shot screen {data["classes"][version]}" role="img" '
        f'aria-label="{html.escape(screen.label)}: {note}" style="background-position:{place}">'
        f"{over if screen.compared else ''}</div><p>{label} <b>{note}</b></p></div>"
    )

"""Films as HTML: the frames of an episode, and lanes below that say what each step belongs to.

The frames lie side by side in one picture inside the page. A slider, a button and stills move
through them; without JavaScript the first frame, the lanes and the stills are there.
"""

import dataclasses
import html
import json
from collections.abc import Sequence

import numpy as np

from flexlam_jax.reports import reels
from flexlam_jax.reports.svg import COLORS

_LEGIBLE = 0.025  # share of a lane from which on a span is wide enough for its label


@dataclasses.dataclass(frozen=True)
class Span:
    """Steps `start` to `stop` - 1 of a lane; `color` is a class of page.css, from 0."""

    start: int
    stop: int
    label: str
    color: int

    @property
    def steps(self) -> str:
        """ "12–24", the last included."""
        return f"{self.start}–{self.stop - 1}" if self.stop - self.start > 1 else str(self.start)


@dataclasses.dataclass(frozen=True)
class Lane:
    """Spans that follow one another, from the first step to the last."""

    name: str
    spans: Sequence[Span]

    def at(self, step: int) -> Span:
        """The span that a step belongs to."""
        return next(span for span in self.spans if span.start <= step < span.stop)


@dataclasses.dataclass(frozen=True)
class Film:
    """An episode.

    Attributes:
      frames: uint8 (N, H, W, 3).      steps: of each, ascending.      length: steps of the episode.
      lanes: what the steps belong to.
      stills: the lane whose spans are shown by their first frames, which lead there.
      fps: frames per second when it is played.
    """

    caption: str
    frames: np.ndarray
    steps: Sequence[int]
    length: int
    lanes: Sequence[Lane]
    stills: Lane
    fps: float = 10.0


def film_figure(film: Film, number: int) -> str:
    """The film with its frames inside; `number` tells it from others on the page."""
    name, places = f"film-{number}", reels.places(len(film.frames))
    texts = [(f"step {step} of {film.length}", _lanes_at(film, step)) for step in film.steps]
    data = {"steps": list(map(int, film.steps)), "length": film.length, "fps": film.fps}
    data |= {"places": places, "texts": texts}
    encoded = json.dumps(data, separators=(",", ":")).replace("</", "<\\/")
    return (
        f'<figure class="film"><style>{reels.rule(name, film.frames)}</style>'
        f"<h3>{html.escape(film.caption)}</h3>"
        f'<div class="shot screen {name}" role="img" aria-label="{html.escape("; ".join(texts[0]))}" '
        f'style="background-position:{places[0]}"></div>'
        '<div class="control" hidden><button type="button">Play</button>'
        f'<label for="{name}">Step</label><input id="{name}" type="range" min="0" '
        f'max="{len(texts) - 1}" step="1" value="0"><output for="{name}"></output></div>'
        f'<div class="lanes">{"".join(_lane(lane, film.length) for lane in film.lanes)}</div>'
        f'<p class="now caption"></p>{_stills(film, name, places)}'
        f'<script type="application/json">{encoded}</script></figure>'
    )


def _lanes_at(film: Film, step: int) -> str:
    spans = [(lane.name, lane.at(step)) for lane in film.lanes]
    return "; ".join(f"{name}: {span.label} ({span.steps})" for name, span in spans)


def _lane(lane: Lane, length: int) -> str:
    spans = "".join(
        f'<span class="c{span.color % COLORS}" title="{html.escape(f"{span.label}: {span.steps}")}" '
        f'style="left:{100 * span.start / length:.3f}%;'
        f'width:{100 * (span.stop - span.start) / length:.3f}%">'
        f"{html.escape(span.label) if span.stop - span.start >= _LEGIBLE * length else ''}</span>"
        for span in lane.spans
    )
    name = html.escape(lane.name)
    told = f"{name}: {len(lane.spans)} parts"
    return (
        f'<span class="name">{name}</span><div class="track" role="img" aria-label="{told}">'
        f'{spans}<i class="cursor"></i></div>'
    )


def _stills(film: Film, name: str, places: Sequence[str]) -> str:
    """Buttons that show the first frame of each span."""
    shown = []
    for span in film.stills.spans:
        frame = int(np.searchsorted(film.steps, span.start))
        if frame < len(places):
            shown.append(
                f'<button type="button" class="still c{span.color % COLORS}" data-frame="{frame}">'
                f'<span class="shot {name}" style="background-position:{places[frame]}"></span>'
                f"{html.escape(span.label)} {span.steps}</button>"
            )
    return f'<div class="stills">{"".join(shown)}</div>'

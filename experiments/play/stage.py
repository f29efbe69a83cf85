"""What all tabs share: the world, what its keys do, and where a play can start."""

import dataclasses
import functools
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from experiments.play.controls import Keyboard
from experiments.play.messages import FASTEST
from experiments.play.session import LIVE, Controls, Session
from experiments.play.truth import TrueWorld
from flexlam_jax.errors import UserError
from flexlam_jax.reports.pictures import png_uri
from flexlam_jax.world.world import World


@dataclasses.dataclass(frozen=True)
class Stage:
    """Everything that a tab is opened with; see the module.

    starts: uint8 (S, T0, H, W, C).      labels: of each, what it is.
    names, discrete: of the actions that codes read as; () where none is known.
    truth: makes a simulator for a tab; None where the data came from none, and `why` says so.
    out: where recordings go.            about: checkpoint, data and so on, by path or in words, for
      recordings and the page, which shows the last part of a path and the rest to who points at it.
    memory: bytes of states that a tab keeps to go back to.
    """

    world: World
    controls: Controls
    starts: np.ndarray
    labels: Sequence[str]
    title: str = "A world"
    names: tuple[str, ...] = ()
    discrete: bool = True
    truth: Callable[[], TrueWorld] | None = None
    why: str = "the data came from no simulator that is here"
    out: Path | None = None
    fps: float = 10.0
    about: dict[str, str] = dataclasses.field(default_factory=dict)
    memory: int = 256 << 20

    def __post_init__(self):
        """Raises UserError for frames of another size than the world's."""
        shape, wanted = tuple(self.starts.shape[2:]), tuple(self.world.frame_shape)
        if shape != wanted or not len(self.starts):
            raise UserError(
                f"the {len(self.starts)} frames to start from are {_size(shape)}, the world's are "
                f"{_size(wanted)}; prepare data at that size, and give it with --data"
            )

    @property
    def first(self) -> Keyboard:
        """Of the budget that a play begins with: the shortest, which has the fewest codes."""
        return self.controls[min(self.controls, key=lambda keep: (keep == 0, keep))]

    def session(self) -> Session:
        return Session(keep=self.first.keep, fps=self.fps)

    @functools.cached_property
    def facts(self) -> str:
        """JSON of all that the page needs before it opens a socket."""
        values = {
            "title": self.title,
            "about": [
                {"text": f"{what} {Path(text).name}", "whole": text}
                for what, text in self.about.items()
                if text
            ],
            "size": self.world.frame_shape,
            "fps": self.fps,
            "fastest": FASTEST,
            "keep": self.first.keep,
            "keyboards": [self.controls[keep].facts() for keep in sorted(self.controls)],
            "starts": [
                {"index": n, "label": label, "picture": png_uri(frames[-1])}
                for n, (label, frames) in enumerate(zip(self.labels, self.starts, strict=True))
            ],
            "live": LIVE if self.truth else None,
            "why": "" if self.truth else self.why,
            "sampling": self.world.sampling_steps,
            "records": self.out is not None,
        }
        return json.dumps(values, allow_nan=False)


def _size(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))

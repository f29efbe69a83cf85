"""What was played, kept while it is recorded and written as a film and as a play that becomes records.

    recording = Recording(fps=10.0, names=("left", "right"))
    recording.add(moment)                                  # from the first frame on
    files = recording.write(folder, "play_0001", about)    # .npz, .gif, and .mp4 where PyAV is

See plays.py for the dataset of such plays.
"""

import io
import json
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from data_pipelines.errors import DataError
from data_pipelines.optional import require
from experiments.play.session import Moment
from flexlam_jax.errors import UserError
from flexlam_jax.files import write_atomically, writing_to

MOST_FRAMES = 5000
SIDE = 256  # pixels of a film's picture, about
_GAP = 8


class Recording:
    """Frames of one play, one after the other, and what led from each to the next.

    fps: that was asked for when it began.
    names: of the actions that a translator reads; () without one.
    discrete: whether actions are one of these, or numbers by these names.
    """

    def __init__(self, fps: float, names: Sequence[str] = (), discrete: bool = True):
        self.fps, self._names, self._discrete = fps, tuple(names), discrete
        self._moments: list[Moment] = []

    def __len__(self) -> int:
        return len(self._moments)

    @property
    def full(self) -> bool:
        return len(self) >= MOST_FRAMES

    def add(self, moment: Moment) -> None:
        """Takes a moment without its state, which would keep the memory of the model."""
        self._moments.append(moment._replace(state=None))

    def write(self, folder: Path, stem: str, about: Mapping[str, Any]) -> list[str]:
        """Writes the play and its films; returns the names of the files.

        Raises:
          UserError: fewer than two frames, or they cannot be written.
        """
        if len(self) < 2:
            raise UserError("the recording has no step; nothing was written")
        files = {f"{stem}.npz": self._play(about), f"{stem}.gif": gif(self._panels(), self.fps)}
        try:
            files[f"{stem}.mp4"] = mp4(self._panels(), self.fps)
        except DataError:  # PyAV is not installed
            pass
        for name, content in files.items():
            write_atomically(folder / name, content)
        return list(files)

    def _play(self, about: Mapping[str, Any]) -> bytes:
        steps = self._moments[1:]
        arrays: dict[str, np.ndarray] = {"frames": np.stack([one.frame for one in self._moments])}
        if all(one.truth is not None for one in self._moments):
            arrays["truth"] = np.stack([one.truth for one in self._moments])
        if self._names:
            dtype = np.int32 if self._discrete else np.float32
            arrays["action"] = np.array([one.code.action for one in steps], dtype)
        facts = {
            **about,
            "fps": self.fps,
            "actions": self._names,
            "discrete": self._discrete,
            "codes": [one.code.name for one in steps],
        }
        buffer = io.BytesIO()
        np.savez_compressed(buffer, facts=json.dumps(facts), **arrays)
        return buffer.getvalue()

    def _panels(self) -> list[np.ndarray]:
        """The world, and beside it the simulator, where every frame has it."""
        beside = all(one.truth is not None for one in self._moments)
        return [_large([one.frame, one.truth] if beside else [one.frame]) for one in self._moments]


def _large(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Pictures side by side, enlarged by a whole number, with even sides as films need."""
    scale = max(1, SIDE // pictures[0].shape[1])
    rgb = [
        np.broadcast_to(one, (*one.shape[:2], 3)) if one.shape[2] == 1 else one for one in pictures
    ]
    large = [one.repeat(scale, 0).repeat(scale, 1) for one in rgb]
    gap = np.full((large[0].shape[0], _GAP, 3), 32, np.uint8)
    row = np.concatenate([part for one in large for part in (gap, one)][1:], 1)
    return np.pad(row, [(0, row.shape[0] % 2), (0, row.shape[1] % 2), (0, 0)], mode="edge")


def gif(panels: Sequence[np.ndarray], fps: float) -> bytes:
    """An endless GIF of frames uint8 (H, W, 3); its clock ticks in hundredths of a second."""
    first, *rest = [Image.fromarray(panel).quantize(128) for panel in panels]
    buffer = io.BytesIO()
    duration = max(20, 10 * round(100 / fps))  # browsers slow down what claims to be faster
    first.save(buffer, format="GIF", save_all=True, append_images=rest, duration=duration, loop=0)
    return buffer.getvalue()


def mp4(panels: Sequence[np.ndarray], fps: float) -> bytes:
    """H.264 of frames uint8 (H, W, 3) with even sides. Raises DataError if PyAV is not installed."""
    av = require("av")
    buffer = io.BytesIO()
    with writing_to("the film"), av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1000))
        stream.height, stream.width = panels[0].shape[:2]
        stream.pix_fmt = "yuv420p"  # all that browsers show
        stream.options = {"crf": "20", "preset": "veryfast"}
        for panel in panels:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(panel, format="rgb24")))
        container.mux(stream.encode(None))
    return buffer.getvalue()

"""Videos of episodes while they are played: Observation | Predicted | Difference, as MP4."""

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from data_pipelines.optional import require
from flexlam_jax.evaluation.lam.pictures import error_image
from flexlam_jax.evaluation.rollouts import Episode, Outcome
from flexlam_jax.files import writing_to
from flexlam_jax.reports.pictures import to_bytes

PANEL = 256  # pixels of a side, about
_GAP, _HEADER = 8, 20
_TITLES = ("Observation", "Predicted", "Difference")
FOLDER = "videos"


class Recorder:
    """Writes the video of every episode that it is shown; the watcher of `rollouts.play`.

    Each picture stands beside the one that was predicted for it a step before, and their
    difference; without predictions it stands alone. A file has its name once it is whole.
    """

    def __init__(self, folder: Path, fps: Mapping[str, float], predicts: bool):
        """fps: of every task; 0 is shown at 10. Raises DataError if PyAV is not installed."""
        require("av")
        self._folder, self._fps = folder, fps
        self._titles = _TITLES if predicts else _TITLES[:1]
        self._open: dict[Episode, _Video] = {}

    def path(self, episode: Episode) -> Path:
        """Where the episode's video is, or will be."""
        return self._folder / f"{episode.task}_{episode.seed}.mp4"

    def see(
        self, episode: Episode, step: int, picture: np.ndarray, predicted: np.ndarray | None
    ) -> None:
        """Takes the picture at `step`, uint8 (H, W, 3), and the predicted one, float or None."""
        if step == 0:
            with writing_to(self._folder):
                self._folder.mkdir(parents=True, exist_ok=True)
            self._open[episode] = _Video.begin(
                self.path(episode), self._fps[episode.task] or 10.0, picture.shape[0], self._titles
            )
        self._open[episode].add(_panels(picture, predicted, len(self._titles)))

    def end(self, outcome: Outcome) -> None:
        """The episode ended: its video is complete; of a lost one it shows what was played."""
        video = self._open.pop(outcome.episode, None)
        if video is not None:  # lost before its first picture
            video.end()


def _panels(picture: np.ndarray, predicted: np.ndarray | None, count: int) -> list[np.ndarray]:
    """uint8 (H, W, 3) each; black where nothing was predicted."""
    if count == 1:
        return [picture]
    if predicted is None:
        return [picture, np.zeros_like(picture), np.zeros_like(picture)]
    difference = np.repeat(error_image(predicted, picture)[..., None], 3, -1)
    return [picture, to_bytes(predicted), difference]


@dataclasses.dataclass
class _Video:
    """An MP4 that grows, under another name until it is complete."""

    path: Path
    partial: Path
    scale: int
    canvas: np.ndarray  # uint8 (H', W', 3) with titles, into which panels are put
    container: Any
    stream: Any

    @classmethod
    def begin(cls, path: Path, fps: float, side: int, titles: tuple[str, ...]) -> "_Video":
        av = require("av")
        scale = max(1, PANEL // side)
        canvas = _canvas(scale * side, titles)
        partial = path.with_name(f".{path.name}.partial")
        with writing_to(path):
            container = av.open(str(partial), "w", format="mp4", options={"movflags": "faststart"})
        stream = container.add_stream("libx264", rate=max(1, round(fps)))
        stream.height, stream.width = canvas.shape[:2]
        stream.pix_fmt = "yuv420p"  # all that browsers show
        stream.thread_count = 1  # many videos grow at once
        stream.options = {"crf": "20", "preset": "veryfast", "tune": "zerolatency"}
        return cls(path, partial, scale, canvas, container, stream)

    def add(self, panels: list[np.ndarray]) -> None:
        av = require("av")
        side = self.scale * panels[0].shape[0]
        for i, panel in enumerate(panels):
            left = _GAP + i * (side + _GAP)
            large = panel.repeat(self.scale, 0).repeat(self.scale, 1)
            self.canvas[_HEADER : _HEADER + side, left : left + side] = large
        frame = av.VideoFrame.from_ndarray(self.canvas, format="rgb24")
        with writing_to(self.path):
            self.container.mux(self.stream.encode(frame))

    def end(self) -> None:
        with writing_to(self.path):
            self.container.mux(self.stream.encode(None))
            self.container.close()
            os.replace(self.partial, self.path)


def _canvas(side: int, titles: tuple[str, ...]) -> np.ndarray:
    """uint8, even sides, as the format needs: grey with a title above each panel."""
    width = _GAP + len(titles) * (side + _GAP)
    image = Image.new("RGB", (width + width % 2, _HEADER + side + _GAP + side % 2), (32, 32, 32))
    draw = ImageDraw.Draw(image)
    for i, title in enumerate(titles):
        place = (_GAP + i * (side + _GAP), 4)
        draw.text(place, title, fill=(230, 230, 230), font=ImageFont.load_default())
    return np.array(image)

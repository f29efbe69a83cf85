"""Decoded pictures to square RGB frames: upright, with square pixels.

The picture is cropped and shrunk by libswscale before it becomes RGB, so colours are converted at
the small size only.
"""

from __future__ import annotations

import fractions
from typing import Any

import numpy as np

from data_pipelines.format.framing import crop_box
from data_pipelines.optional import require

_CLOCK = fractions.Fraction(1, 1000)  # of filter graphs, which must have one; nobody reads it


class Scaler:
    """av.VideoFrame -> uint8 (size, size, 3), upright; one filter graph per kind of input.

    pixel_aspect: width over height of one pixel; a circle stays a circle.
    """

    def __init__(self, size: int, fit: str, pixel_aspect: float = 1.0):
        self.size, self.fit, self.pixel_aspect = size, fit, pixel_aspect
        self.kind: tuple[int, int, str] | None = None
        self.graph: Any = None  # libav filters
        self.matrix: np.ndarray | None = None

    def __call__(self, picture: Any) -> np.ndarray:
        kind = (picture.width, picture.height, picture.format.name)
        if kind != self.kind:
            self.kind, self.graph = kind, self._build(*kind)
            # Once: looking at side data ties a frame into a cycle, which then waits for the
            # garbage collector.
            self.matrix = _display_matrix(picture)
        self.graph.push(picture)
        frame = np.empty((self.size, self.size, 3), np.uint8)
        for plane, channel in zip(self.graph.pull().planes, (1, 2, 0), strict=True):
            rows = np.frombuffer(plane, np.uint8).reshape(self.size, plane.line_size)
            frame[:, :, channel] = rows[:, : self.size]
        return _upright(frame, self.matrix)

    def _build(self, width: int, height: int, pixels: str):
        av = require("av")
        graph = av.filter.Graph()
        graph.threads = 1
        left, top, right, bottom = crop_box(width, height, self.fit, self.pixel_aspect)
        # Area averages all pixels when shrinking; when enlarging it would repeat them.
        method = "area" if min(right - left, bottom - top) >= self.size else "bilinear"
        chain = [
            graph.add_buffer(width=width, height=height, format=pixels, time_base=_CLOCK),
            graph.add("crop", f"{right - left}:{bottom - top}:{left}:{top}"),
            graph.add("scale", f"{self.size}:{self.size}:flags={method}"),
            # In planes: with rgb24 swscale gives colours half the resolution of the small frame,
            # or is slow.
            graph.add("format", "gbrp"),
            graph.add("buffersink"),
        ]
        graph.link_nodes(*chain).configure()
        return graph


def _display_matrix(picture) -> np.ndarray | None:
    """int32 (9,): how players turn and mirror the picture, or None."""
    data = picture.side_data.get("DISPLAYMATRIX")
    return None if data is None else np.frombuffer(bytes(data), np.int32)


def _upright(frame: np.ndarray, matrix: np.ndarray | None) -> np.ndarray:
    """The square frame as players show it; the matrix is rounded to quarter turns and mirrors.

    The matrix (a b u; c d v; x y w, ISO/IEC 14496-12) maps (x, y) to (a x + c y, b x + d y).
    Squares may be turned after cutting and shrinking, which commute with it.
    """
    if matrix is None:
        return frame
    a, b, c, d = matrix[[0, 1, 3, 4]].tolist()
    if abs(a) < abs(b):
        frame, a, d = frame.swapaxes(0, 1), c, b
    if a < 0:
        frame = frame[:, ::-1]
    if d < 0:
        frame = frame[::-1]
    return np.ascontiguousarray(frame)

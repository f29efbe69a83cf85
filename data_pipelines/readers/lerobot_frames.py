"""Pictures of LeRobot sets: a stretch of an mp4, or encoded pictures in parquet rows."""

from __future__ import annotations

import io
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

from data_pipelines.readers import paths
from data_pipelines.optional import require
from data_pipelines.recordings import ItemError


def picture(root: pathlib.Path, cell: Any, where: str) -> np.ndarray:
    """uint8 (H, W, 3) of a cell {bytes, path}; the path is used where there are no bytes."""
    if not isinstance(cell, dict) or not (cell.get("bytes") or cell.get("path")):
        raise ItemError("no images", f"{where}: a picture is {str(cell)[:40]}")
    encoded = cell.get("bytes") or paths.inside(root, cell["path"]).read_bytes()
    try:
        with Image.open(io.BytesIO(encoded)) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise ItemError("unreadable", f"{where}: a picture cannot be decoded ({error})") from error


def video_frames(
    path: pathlib.Path, video: dict[str, Any], length: int, fps: float
) -> Iterator[np.ndarray]:
    """Frames from `video['start']` seconds on, each checked against its own time stamp.

    video['stop']: seconds where the next episode starts, None if the file holds one episode.
    Raises ItemError 'frame count' unless there are exactly `length` frames at `fps`.
    """
    av = require("av")
    start, stop = video["start"], video["stop"]
    if stop is not None and round((stop - start) * fps) != length:
        raise ItemError(
            "frame count", f"{path}: {start} s to {stop} s at {fps} fps are not {length} frames"
        )
    count = 0
    try:
        # The format is fixed: a play list called .mp4 could name files outside of the set.
        with av.open(str(path), format="mp4") as container:
            for time, frame in _decode(container, start, fps):
                if count == length:
                    if stop is None:
                        raise ItemError("frame count", f"{path}: more than {length} frames")
                    return
                due = start + count / fps
                if abs(time - due) > 0.5 / fps:
                    raise ItemError(
                        "frame count", f"{path}: frame {count} is at {time:.3f} s, due {due:.3f} s"
                    )
                count += 1
                yield frame.to_ndarray(format="rgb24")
    except (av.FFmpegError, IndexError) as error:  # IndexError: no video stream
        raise ItemError("unreadable", f"{path}: {error}") from error
    if count != length:
        raise ItemError("frame count", f"{path}: {count} frames, the metadata say {length}")


def _decode(container, start: float, fps: float) -> Iterator[tuple[float, Any]]:
    """(seconds from the start of the file, frame), from `start` on."""
    stream = container.streams.video[0]
    stream.thread_type = "SLICE"
    origin = stream.start_time or 0
    if start > 0:
        container.seek(origin + int(start / stream.time_base), stream=stream, backward=True)
    for frame in container.decode(stream):
        if frame.pts is None:
            raise ItemError("frame count", "a frame without a time stamp")
        time = float((frame.pts - origin) * stream.time_base)
        if time > start - 0.5 / fps:
            yield time, frame

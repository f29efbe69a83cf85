"""Pictures of LeRobot sets: a stretch of an mp4, or encoded pictures in parquet rows."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from data_pipelines.readers.files import opening, paths
from data_pipelines.readers.pictures import picture_array
from data_pipelines.readers.recordings import ItemError
from data_pipelines.readers.video.decoding import pictures


def picture(root: pathlib.Path, cell: Any, where: str, *, follow_links: bool = True) -> np.ndarray:
    """uint8 (H, W, 3) of a cell {bytes, path}; the path is used where there are no bytes.

    Raises ItemError as `pictures.picture_array` does, 'no images' for another kind of cell, and
    'unsafe path'.
    """
    cell = {"bytes": cell} if isinstance(cell, bytes) else cell
    if isinstance(cell, dict) and isinstance(cell.get("bytes"), bytes) and cell["bytes"]:
        return picture_array(cell["bytes"], where)
    if not isinstance(cell, dict) or not isinstance(cell.get("path"), str):
        raise ItemError("no images", f"{where}: a picture is {str(cell)[:40]}")
    path = paths.inside(root, cell["path"], follow_links=follow_links)
    problem = opening.fault(path, "a picture")
    if problem is not None:
        raise problem
    return picture_array(path, f"{where}: {path}")


def video_frames(
    path: pathlib.Path, video: dict[str, Any], length: int, fps: float
) -> Iterator[np.ndarray]:
    """Frames from `video['start']` seconds on, each checked against its own time stamp.

    video['stop']: seconds where the next episode starts, about; None if the file holds one episode.
    Raises ItemError 'frame count' unless there are exactly `length` frames at `fps`.
    """
    start, stop = video["start"], video["stop"]
    # Sets are published whose `stop` is a frame early or late; the frames themselves are counted.
    if stop is not None and abs(round((stop - start) * fps) - length) > 1:
        raise ItemError(
            "frame count", f"{path}: {start} s to {stop} s at {fps} fps are not {length} frames"
        )
    count = 0
    # Half a frame early: times are rounded to the clock of the container.
    for time, frame in pictures(path, start=max(0.0, start - 0.5 / fps)):
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
    if count != length:
        raise ItemError("frame count", f"{path}: {count} frames, the metadata say {length}")

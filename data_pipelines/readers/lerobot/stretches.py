"""Where the episodes of a packed video begin, judged by the frames that the file holds.

v3.0 packs the pictures of many episodes into one mp4 and notes where each begins, in seconds. Sets
are published in which such a time is wrong by a frame or more, and every frame is then that of
another row. Where the file holds exactly as many frames as its episodes have rows, they follow on
one another without a gap, and so the lengths tell where each begins.
"""

from __future__ import annotations

import collections
from collections.abc import Sequence
from typing import Any

from data_pipelines.readers.lerobot.info import LeRobot
from data_pipelines.readers.recordings import ItemError
from data_pipelines.readers.video.opening import frame_count

_NEAR = 1.5  # frames: a start that is off by one is counted anew, one further off is refused


def settle_starts(
    data: LeRobot, episodes: Sequence[dict[str, Any]], cameras: Sequence[str]
) -> None:
    """Puts the counted beginning in the place of one that is a frame early or late.

    A video whose noted beginning is further off gets a `fault`, which `video_of` raises. Of every
    file only the header is read; files that do not say how many frames they hold are left as they
    are.
    """
    for camera in cameras:
        for file, members in _by_file(episodes, camera).items():
            if _frames(data, file) != sum(episode["length"] for episode in members):
                continue
            before = 0
            for episode in sorted(members, key=lambda entry: entry["videos"][camera]["start"]):
                _settle(episode, episode["videos"][camera], before, data.fps)
                before += episode["length"]


def _settle(episode: dict[str, Any], video: dict[str, Any], before: int, fps: float) -> None:
    off = abs(video["start"] * fps - before)
    if off > _NEAR:
        video["fault"] = (
            f"{video['file']}: episode {episode['index']} is said to begin at {video['start']:g} s; "
            f"by the frames of the file it begins at {before / fps:g} s"
        )
    elif off > 0.5:
        video.update(start=before / fps, stop=(before + episode["length"]) / fps)


def _by_file(episodes: Sequence[dict[str, Any]], camera: str) -> dict[str, list[dict[str, Any]]]:
    """The episodes of each video file that the metadata name."""
    files = collections.defaultdict(list)
    for episode in episodes:
        video = episode["videos"][camera]
        if video is not None:
            files[video["file"]].append(episode)
    return files


def _frames(data: LeRobot, file: str) -> int:
    """How many frames the header says that a video has; 0 if nothing tells."""
    try:
        return frame_count(data.file(file))
    except ItemError:  # told where its episodes are looked up or read
        return 0

"""Which seconds of an Ego4D file become episodes: FHO actions or narrations. No pixels here."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter, defaultdict
from typing import Any, NamedTuple

from data_pipelines.readers.recordings import Skipped
from data_pipelines.typed_json import as_type

_MOST = 1 << 31  # frames or seconds of a file
# Actions that Ego4D's own tables rule out.
NOT_MEANT = ("no critical frames", "rejected annotation")


@dataclasses.dataclass
class Narrated:
    """A narration, or an action of fho_main.json with its frames in the clip and in the video."""

    narration_text: str | None = None
    timestamp_sec: float | None = None
    structured_verb: str | None = None
    is_rejected: bool | None = None
    is_invalid_annotation: bool | None = None
    clip_critical_frames: dict[str, Any] | None = None
    critical_frames: dict[str, Any] | None = None


@dataclasses.dataclass
class _Annotated:
    clip_uid: str | None = None
    narrated_actions: list[Narrated] | None = None
    redacted: Any = None


@dataclasses.dataclass
class _FhoVideo:
    video_uid: str
    annotated_intervals: list[_Annotated] | None = None


@dataclasses.dataclass
class Fho:
    """fho_main.json."""

    videos: list[_FhoVideo]


@dataclasses.dataclass
class _Pass:
    narrations: list[Narrated] | None = None


@dataclasses.dataclass
class _NarratedVideo:
    narration_pass_1: _Pass | None = None
    narration_pass_2: _Pass | None = None


class Interval(NamedTuple):
    """Frames first..last of a file, both included, or its seconds start <= t < stop.

    FHO counts frames, narrations seconds; the other pair is None. name: unique among all files.
    """

    name: str
    first: int | None
    last: int | None
    start: float | None
    stop: float | None
    metadata: dict[str, Any]


def parse_narration(text: str) -> tuple[str, str]:
    """(what happens, who): ("picks up a cup", "C") for "#C C picks up a cup".

    The marker says who acts: C is the camera wearer, O another person. Only the wearer's own
    letter after the marker is dropped; the rest is left as it was written. No marker: who is "".
    """
    match = re.fullmatch(r"\s*#\s*(\w+)\b[\s:,.]*(.*?)\s*", text, re.DOTALL)
    if not match:
        return text.strip(), ""
    who, rest = match[1].upper(), match[2]
    if who == "C":
        rest = re.sub(r"^C(?=\s|$)\s*", "", rest, flags=re.IGNORECASE)
    return rest, who


def fho_intervals(
    annotations: Fho, of_clips: bool
) -> tuple[dict[str, list[Interval]], list[Skipped], dict[str, str]]:
    """Intervals by file uid from fho_main.json, the actions left out, and clip uid -> video uid.

    An action lasts from its `pre_frame` to its `post_frame`. `clip_critical_frames` count in the
    clip and go with clip files (`of_clips`); `critical_frames` count in the whole video.
    """
    key = "clip_critical_frames" if of_clips else "critical_frames"
    intervals, skipped, parents, numbers = defaultdict(list), [], {}, Counter()
    for video in annotations.videos:
        video_uid = video.video_uid
        for annotated in video.annotated_intervals or []:
            clip_uid = annotated.clip_uid
            if clip_uid:
                parents[clip_uid] = video_uid
            uid = str(clip_uid) if of_clips else video_uid
            for action in annotated.narrated_actions or []:
                name = f"{uid}:action_{numbers[uid]}"
                numbers[uid] += 1
                problem = "missing clip" if of_clips and not clip_uid else _unusable(action, key)
                if problem:
                    detail = f"{action.narration_text!r} of video {video_uid}"
                    skipped.append(Skipped(name, problem, detail, problem in NOT_MEANT))
                    continue
                frames = getattr(action, key)
                facts = _action_facts(action) | {"clip_uid": clip_uid}
                if annotated.redacted:
                    facts["redacted"] = True
                intervals[uid].append(
                    Interval(name, frames["pre_frame"], frames["post_frame"], None, None, facts)
                )
    return dict(intervals), skipped, parents


def _unusable(action: Narrated, key: str) -> str | None:
    if action.is_rejected or action.is_invalid_annotation:
        return "rejected annotation"
    frames = getattr(action, key) or {}
    first, last = frames.get("pre_frame"), frames.get("post_frame")
    if first is None or last is None:
        return "no critical frames"
    if not isinstance(first, int) or not isinstance(last, int) or not 0 <= first < last < _MOST:
        return "bad critical frames"
    return None


def _action_facts(action: Narrated) -> dict[str, Any]:
    narration = action.narration_text or ""
    language, who = parse_narration(narration)
    facts = {"language": language, "narration": narration, "who": who}
    if action.structured_verb:
        facts["verb"] = action.structured_verb
    return facts


def narrated_videos(annotations: dict[str, Any], where: str) -> dict[str, _NarratedVideo]:
    """narration.json by video uid; some versions have the videos in a field of their own.

    where: names the file in the DataError for another form.
    """
    videos = annotations.get("videos", annotations)
    if isinstance(videos, dict):  # beside the videos may stand a version or a date
        videos = {uid: video for uid, video in videos.items() if isinstance(video, dict)}
    return as_type(videos, dict[str, _NarratedVideo], where=where, remedy="download it again")


def narration_intervals(
    videos: dict[str, _NarratedVideo], longest: float
) -> dict[str, list[Interval]]:
    """Intervals by video uid from `narrated_videos`: each narration until the next of its pass.

    `longest`: seconds; also the length of the last one, which nothing ends.
    """
    intervals = defaultdict(list)
    for uid, video in videos.items():
        for source in ("narration_pass_1", "narration_pass_2"):
            found = getattr(video, source) or _Pass()
            spoken = [
                item
                for item in found.narrations or []
                if item.timestamp_sec is not None and 0 <= item.timestamp_sec < _MOST
            ]
            spoken.sort(key=lambda item: item.timestamp_sec)
            times = [item.timestamp_sec for item in spoken]
            for number, (item, start) in enumerate(zip(spoken, times, strict=True)):
                later = (time for time in times[number + 1 :] if time > start)
                stop = min(next(later, start + longest), start + longest)
                name = f"{uid}:{source}_{number}"
                intervals[uid].append(Interval(name, None, None, start, stop, _action_facts(item)))
    return dict(intervals)

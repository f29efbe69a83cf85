"""Which seconds of an Ego4D file become episodes: FHO actions or narrations. No pixels here."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from typing import Any, NamedTuple

from data_pipelines.errors import DataError
from data_pipelines.recordings import Skipped


# Actions that Ego4D's own tables rule out.
NOT_MEANT = ("no critical frames", "rejected annotation")


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
    annotations: Any, of_clips: bool
) -> tuple[dict[str, list[Interval]], list[Skipped], dict[str, str]]:
    """Intervals by file uid from fho_main.json, the actions left out, and clip uid -> video uid.

    An action lasts from its `pre_frame` to its `post_frame`. `clip_critical_frames` count in the
    clip and go with clip files (`of_clips`); `critical_frames` count in the whole video.
    """
    key = "clip_critical_frames" if of_clips else "critical_frames"
    intervals, skipped, parents, numbers = defaultdict(list), [], {}, Counter()
    for video in _videos(annotations, "fho_main.json"):
        video_uid = str(video.get("video_uid"))
        for annotated in video.get("annotated_intervals") or []:
            clip_uid = annotated.get("clip_uid")
            if clip_uid:
                parents[str(clip_uid)] = video_uid
            uid = str(clip_uid) if of_clips else video_uid
            for action in annotated.get("narrated_actions") or []:
                name = f"{uid}:action_{numbers[uid]}"
                numbers[uid] += 1
                problem = "missing clip" if of_clips and not clip_uid else _unusable(action, key)
                if problem:
                    detail = f"{action.get('narration_text')!r} of video {video_uid}"
                    skipped.append(Skipped(name, problem, detail, problem in NOT_MEANT))
                    continue
                frames = action[key]
                facts = _action_facts(action) | {"clip_uid": clip_uid}
                if annotated.get("redacted"):
                    facts["redacted"] = True
                intervals[uid].append(
                    Interval(name, frames["pre_frame"], frames["post_frame"], None, None, facts)
                )
    return dict(intervals), skipped, parents


def _unusable(action: dict[str, Any], key: str) -> str | None:
    if action.get("is_rejected") or action.get("is_invalid_annotation"):
        return "rejected annotation"
    frames = action.get(key) or {}
    first, last = frames.get("pre_frame"), frames.get("post_frame")
    if first is None or last is None:
        return "no critical frames"
    if not isinstance(first, int) or not isinstance(last, int) or not 0 <= first < last:
        return "bad critical frames"
    return None


def _action_facts(action: dict[str, Any]) -> dict[str, Any]:
    narration = str(action.get("narration_text") or "")
    language, who = parse_narration(narration)
    facts = {"language": language, "narration": narration, "who": who}
    if action.get("structured_verb"):
        facts["verb"] = action["structured_verb"]
    return facts


def narration_intervals(annotations: Any, longest: float) -> dict[str, list[Interval]]:
    """Intervals by video uid from narration.json: each narration until the next of its pass.

    `longest`: seconds; also the length of the last one, which nothing ends.
    """
    intervals = defaultdict(list)
    videos = annotations.get("videos", annotations) if isinstance(annotations, dict) else None
    if not isinstance(videos, dict):
        raise DataError("narration.json: expected an object of videos; download it again")
    for uid, video in videos.items():
        for source in ("narration_pass_1", "narration_pass_2"):
            found = (video.get(source) if isinstance(video, dict) else None) or {}
            spoken = [
                item
                for item in found.get("narrations") or []
                if isinstance(item.get("timestamp_sec"), int | float)
            ]
            spoken.sort(key=lambda item: item["timestamp_sec"])
            times = [float(item["timestamp_sec"]) for item in spoken]
            for number, (item, start) in enumerate(zip(spoken, times, strict=True)):
                later = (time for time in times[number + 1 :] if time > start)
                stop = min(next(later, start + longest), start + longest)
                name = f"{uid}:{source}_{number}"
                intervals[uid].append(
                    Interval(name, None, None, start, stop, _action_facts(item))
                )
    return dict(intervals)


def _videos(annotations: Any, file: str) -> list[dict[str, Any]]:
    videos = annotations.get("videos") if isinstance(annotations, dict) else None
    if not isinstance(videos, list):
        raise DataError(f"{file}: expected an object with a list `videos`; download it again")
    return videos

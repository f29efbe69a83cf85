"""`prepare ego4d`: Ego4D's clips or whole videos, whole or cut by FHO actions or narrations."""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import math
import pathlib
from collections import Counter
from collections.abc import Iterator
from typing import Any

from data_pipelines.errors import DataError
from data_pipelines.format.spec import DatasetSpec
from data_pipelines.readers.ego4d.folder import (
    KINDS,
    Clip,
    Download,
    VideoFacts,
    find_download,
    list_clips,
)
from data_pipelines.readers.ego4d.intervals import (
    Fho,
    Interval,
    fho_intervals,
    narrated_videos,
    narration_intervals,
)
from data_pipelines.readers.files.paths import source_folder
from data_pipelines.readers.frame_options import (
    add_frame_arguments,
    follow_links,
    frame_options,
    record_fields,
)
from data_pipelines.readers.recordings import Item, ItemError, Plan, Recording, Skipped, failures
from data_pipelines.readers.video.decoding import frames, length_of, timed_frames, video_info
from data_pipelines.readers.video.recipe import add_rate_arguments, decoder_versions, rate_options

DESCRIPTION = "Ego4D as its command line tool downloads it (clips, video_540ss or full_scale)"
NAME = "ego4d"
CANONICAL_RATE = 30.0  # frames per second of Ego4D's own encodings
_LONGEST = 30 * 86400.0  # seconds of a file that a header may announce
_ABSENT = ("missing clip", "broken link")  # a link: listed by a tool that was to fetch it later
_OWN = ("videos", "intervals", "split", "missing", "max_episode_seconds")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_frame_arguments(parser, size=224, source="the tool's --output_directory")
    add_rate_arguments(parser, fps=5.0)
    parser.add_argument(
        "--videos", default="auto", choices=("auto", *KINDS), help="which files are read"
    )
    parser.add_argument(
        "--intervals",
        default="none",
        choices=("none", "fho", "narration"),
        help="none: all of every file, in pieces; fho: actions of fho_main.json, pre_frame to "
        "post_frame; narration: from a narration of narration.json to the next",
    )
    parser.add_argument(
        "--max-episode-seconds",
        type=float,
        default=60.0,
        help="longest piece of a file, and longest narration",
    )
    parser.add_argument(
        "--split",
        default="seeded",
        choices=("seeded", "fho", "em", "av"),
        help="80/10/10 by video, or ego4d.json's split of a benchmark",
    )
    parser.add_argument(
        "--missing",
        default="count",
        choices=("count", "allow"),
        help="files that are listed and not on disk count as failures (see --max-failures), or not",
    )


def options(args: argparse.Namespace) -> dict[str, Any]:
    chosen = frame_options(args) | rate_options(args) | {key: getattr(args, key) for key in _OWN}
    frames_each = args.max_episode_seconds * (args.fps or CANONICAL_RATE) / args.stride
    if not 4 <= frames_each < math.inf:
        raise DataError(
            f"--max-episode-seconds is {args.max_episode_seconds:g}: that is {frames_each:g} "
            "frames an episode; give room for at least 4"
        )
    return chosen


def plan(options: dict[str, Any]) -> Plan:
    download = find_download(
        options["source"], options["videos"], follow_links=follow_links(options)
    )
    intervals, skipped, parents = _intervals(download, options)
    clips, unusable = list_clips(download, parents)
    skipped += unusable + _missing(download, clips, unusable, intervals)
    facts = download.metadata.by_video()
    items = []
    for clip in clips:
        chosen = None if intervals is None else intervals.get(clip.uid, [])
        if chosen == []:
            continue
        known, split = facts.get(clip.video, VideoFacts()), None
        if options["split"] != "seeded":
            split = known.published_split(options["split"])
            if split is None:
                detail = f"ego4d.json gives video {clip.video} no split_{options['split']}"
                skipped.append(Skipped(clip.path, "no published split", detail, expected=True))
                continue
        items.append(_item(clip, chosen, split, known.kept()))
    if options["missing"] == "allow":
        skipped = [
            dataclasses.replace(entry, expected=True) if entry.reason in _ABSENT else entry
            for entry in skipped
        ]
    _check_absent(items, skipped, options)
    sources = {
        "format": download.kind,
        "version": download.version,
        "folder": str(download.root),
        "files": len(clips),
        "intervals": None if intervals is None else sum(map(len, intervals.values())),
    }
    return Plan(
        specs=[_spec(options, download)],
        items=items,
        skipped=skipped,
        sources=sources | decoder_versions(),
        one_recording_per_item=False,
        passed_over=download.listing.passed_over(),
    )


def _check_absent(items: list[Item], skipped: list[Skipped], options: dict[str, Any]) -> None:
    """Raises DataError now, not after hours, if too little of what is listed can be read."""
    failed = failures(skipped)
    total = sum(len(item.payload["intervals"] or "1") for item in items) + len(failed)
    if len(failed) > max(1, options["max_failures"] * total):
        reasons = dict(Counter(entry.reason for entry in failed))
        raise DataError(
            f"{len(failed)} of {total} entries of Ego4D's tables cannot be used: {reasons}; "
            f"--max-failures={options['max_failures']:g} allows fewer. After a partial download, "
            "give --missing=allow"
        )


def _spec(options: dict[str, Any], download: Download) -> DatasetSpec:
    kept = ("fit", "fps", "stride", "intervals", "split", "max_episode_seconds")
    return DatasetSpec(
        name=NAME,
        behaviour="people at everyday work, head camera",
        fps=(options["fps"] or CANONICAL_RATE) / options["stride"],
        details={key: options[key] for key in kept} | {"videos": download.kind},
        **record_fields(options),
    )


def _intervals(
    download: Download, options: dict[str, Any]
) -> tuple[dict[str, list[Interval]] | None, list[Skipped], dict[str, str]]:
    """Intervals by file uid (None: no cutting), unusable annotations, clip uid -> video uid."""
    if options["intervals"] == "none":
        return None, [], {}
    of_clips = download.kind == "clips"
    if options["intervals"] == "fho":
        return fho_intervals(download.annotations("fho_main.json", Fho), of_clips)
    if of_clips:
        raise DataError(
            "--intervals=narration counts time in whole videos; use --videos=video_540ss or "
            "--videos=full_scale"
        )
    annotations = download.annotations("narration.json", dict[str, Any])
    videos = narrated_videos(annotations, "narration.json")
    return narration_intervals(videos, options["max_episode_seconds"]), [], {}


def _missing(download: Download, clips, unusable, intervals) -> list[Skipped]:
    """Files that annotations name and manifest.csv does not."""
    known = {clip.path.rsplit("/", 2)[-1] for clip in clips}
    known |= {entry.name.rsplit("/", 2)[-1] for entry in unusable}
    return [
        Skipped(f"{download.kind}/{uid}.mp4", "missing clip", "annotated, not in manifest.csv")
        for uid in intervals or ()
        if f"{uid}.mp4" not in known
    ]


def _item(clip: Clip, intervals: list[Interval] | None, split: str | None, facts) -> Item:
    payload = {
        "uid": clip.uid,
        "video": clip.video,
        "split": split,
        "facts": facts,
        "intervals": intervals and [interval._asdict() for interval in intervals],
    }
    # How many pieces a file has that is not cut by intervals, its length tells.
    return Item(clip.path, payload, clip.size, len(intervals) if intervals else None)


def read(item: Item, options: dict[str, Any]) -> Iterator[Recording | Skipped]:
    path = source_folder(options["source"]) / item.name
    chosen = {key: options[key] for key in ("size", "fit", "fps", "stride")}
    common = {"video_uid": item.payload["video"]} | item.payload["facts"]
    parts = (
        _pieces(path, item, chosen, options["max_episode_seconds"], common)
        if item.payload["intervals"] is None
        else _cuts(path, item, chosen, common)
    )
    for name, shown, metadata in parts:
        yield Recording(
            name=name,
            frames={NAME: shown},
            group=item.payload["video"],
            split=item.payload["split"],
            metadata=metadata,
        )


def _pieces(
    path: pathlib.Path, item: Item, chosen: dict[str, Any], longest: float, common: dict[str, Any]
):
    """(name, frames, metadata) of equal pieces of at most `longest` seconds, decoded in one go.

    A damaged file ends with the piece that shows it; raises ItemError for the pieces behind that.
    """
    _, duration = length_of(path)
    if duration > _LONGEST:
        raise ItemError("too long", f"{path}: {duration:g} s by its header")
    count = max(1, math.ceil(duration / longest - 1e-6))
    length, number, damage = duration / count or longest, -1, []
    facts = dict(common)  # decoding adds what it finds out of the times, before the first frame
    timed = _noted(timed_frames(path, **chosen, facts=facts), damage)
    for number, group in itertools.groupby(timed, lambda pair: int(pair[0] / length + 1e-6)):
        name = f"{item.name}:{number}"
        yield name, (frame for _, frame in group), facts | {"start_sec": number * length}
    lost = count - 1 - number
    if damage and lost > 0:
        raise ItemError(damage[0].reason, f"{damage[0]}; {lost} more pieces", episodes=lost)


def _noted(timed: Iterator[Any], damage: list[ItemError]) -> Iterator[Any]:
    """The frames; the error that ends them is also left in `damage`."""
    try:
        yield from timed
    except ItemError as error:
        damage.append(error)
        raise


def _cuts(path: pathlib.Path, item: Item, chosen: dict[str, Any], common: dict[str, Any]):
    """(name, frames, metadata) of every interval, each found by seeking; they may overlap."""
    rate = video_info(path).rate or CANONICAL_RATE
    for entry in item.payload["intervals"]:
        interval = Interval(**entry)
        start, stop = interval.start, interval.stop
        if start is None:
            # Half a frame early, so that rounding cannot lose the first frame or add one.
            start, stop = max(0.0, (interval.first - 0.5) / rate), (interval.last + 0.5) / rate
        metadata = common | interval.metadata
        metadata |= {"start_sec": round(start, 4), "stop_sec": round(stop, 4)}
        yield (
            interval.name,
            frames(path, start=start, stop=stop, **chosen, facts=metadata),
            metadata,
        )

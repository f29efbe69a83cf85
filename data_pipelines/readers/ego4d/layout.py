"""Where Ego4D's command line tool puts things, and what its tables say. Nothing is decoded here.

    <source>/ego4d.json  or  <source>/v2/ego4d.json
    <source>/v2/{clips,video_540ss,full_scale}/manifest.csv and <uid>.mp4
    <source>/v2/annotations/*.json

The version folder may be missing, that is, --source may be the version folder itself.
"""

from __future__ import annotations

import csv
import json
import pathlib
from typing import Any, NamedTuple

from data_pipelines.errors import DataError
from data_pipelines.readers.paths import inside, source_folder
from data_pipelines.recordings import ItemError, Skipped

KINDS = ("video_540ss", "clips", "full_scale")  # the order in which `auto` looks
VERSIONS = ("v2", "v2_1", "v1", "")
# The published manifests name the column differently per folder and version.
_CLIP_UIDS = ("exported_clip_uid", "clip_uid", "file_uid", "video_uid")
_VIDEO_UIDS = ("file_uid", "video_uid")
_SPLITS = {"train": "train", "val": "validation", "validation": "validation", "test": "test"}


class Clip(NamedTuple):
    """One file. path: relative to --source; video: the uid of the video that it is part of."""

    uid: str
    path: str
    video: str
    size: int


class Download(NamedTuple):
    """What was downloaded: the folder with the files of one kind, and what lies beside it."""

    root: pathlib.Path
    kind: str
    folder: pathlib.Path
    metadata: dict[str, Any]  # ego4d.json, or {}

    @property
    def version(self) -> str:
        return self.folder.parent.relative_to(self.root).as_posix()

    def annotations(self, name: str) -> Any:
        """The parsed annotations/<name>; raises DataError if it is not there."""
        places = [self.folder.parent / "annotations" / name, self.root / "annotations" / name]
        for path in places:
            if path.is_file():
                return read_json(path)
        raise DataError(
            f"{places[0]} is missing; download it with `ego4d --datasets annotations`, or use "
            "--intervals=none"
        )


def read_json(path: pathlib.Path) -> Any:
    """Parsed JSON; raises DataError naming the file if it is damaged."""
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except (ValueError, UnicodeDecodeError, RecursionError) as error:
        raise DataError(f"{path} is not JSON ({error}); download it again") from error


def find_download(source: str, kind: str) -> Download:
    """Locates the files of one kind, or of the first of KINDS that is there for 'auto'.

    Raises DataError naming the layout that was expected and what was found instead.
    """
    root = source_folder(source)
    kinds = KINDS if kind == "auto" else (kind,)
    folders = [root / version / name for name in kinds for version in VERSIONS]
    folder = next((folder for folder in folders if folder.is_dir()), None)
    if folder is None:
        found = ", ".join(sorted(path.name for path in root.iterdir())[:10]) or "nothing"
        raise DataError(
            f"--source {root}: expected v2/{{{','.join(kinds)}}}/ with manifest.csv and <uid>.mp4, "
            f"as Ego4D's command line tool downloads them; found {found}"
        )
    if not (folder / "manifest.csv").is_file():
        raise DataError(
            f"{folder} has no manifest.csv; Ego4D's command line tool writes one beside the "
            "videos. Run its download again, or copy the file there"
        )
    places = [root / "ego4d.json", folder.parent / "ego4d.json"]
    metadata = next((read_json(path) for path in places if path.is_file()), {})
    if not isinstance(metadata, dict):
        raise DataError(f"ego4d.json below {root} holds no object; download it again")
    return Download(root, folder.name, folder, metadata)


def video_facts(metadata: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The entries of ego4d.json's `videos` by uid."""
    videos = [video for video in metadata.get("videos") or [] if isinstance(video, dict)]
    return {str(video["video_uid"]): video for video in videos if video.get("video_uid")}


def published_split(facts: dict[str, Any], benchmark: str) -> str | None:
    """The split of a video for a benchmark (fho, em, av), or None if it has none."""
    return _SPLITS.get(str(facts.get(f"split_{benchmark}") or "").lower())


def list_clips(
    download: Download, parents: dict[str, str]
) -> tuple[list[Clip], list[Skipped]]:
    """The files of manifest.csv that are there, in its order, and those that cannot be used.

    parents: clip uid -> video uid as far as annotations tell; ego4d.json adds to it.
    """
    clips, skipped = [], []
    parents = parents | {
        str(clip["clip_uid"]): str(clip.get("video_uid") or "")
        for clip in download.metadata.get("clips") or []
        if isinstance(clip, dict) and clip.get("clip_uid")
    }
    for uid, row in _rows(download):
        name = f"{download.kind}/{uid}.mp4"
        try:
            path = inside(download.folder, f"{uid}.mp4")
        except ItemError as error:
            skipped.append(Skipped(name, error.reason, str(error)))
            continue
        video = uid if download.kind != "clips" else row.get("parent_video_uid") or parents.get(uid)
        if not path.is_file():
            skipped.append(Skipped(name, "missing clip", f"{path} is in manifest.csv, not on disk"))
        elif not video:
            detail = f"neither manifest.csv nor ego4d.json names the video of clip {uid}"
            skipped.append(Skipped(name, "unknown video", detail))
        else:
            relative = path.relative_to(download.root).as_posix()
            clips.append(Clip(uid, relative, video, path.stat().st_size))
    return clips, skipped


def _rows(download: Download) -> list[tuple[str, dict[str, str]]]:
    """(uid, row) of the videos of manifest.csv, each uid once."""
    path = download.folder / "manifest.csv"
    with open(path, newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        columns = reader.fieldnames or []
        known = _CLIP_UIDS if download.kind == "clips" else _VIDEO_UIDS
        column = next((name for name in known if name in columns), None)
        if column is None:
            raise DataError(
                f"{path} has the columns {', '.join(columns) or 'none'}; expected one of "
                f"{', '.join(known)}"
            )
        rows = {}
        for row in reader:
            uid = (row[column] or "").strip()
            if uid and row.get("type") not in ("file", "json"):  # the tool's other files
                rows.setdefault(uid, row)
    return list(rows.items())

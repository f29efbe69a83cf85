"""Where Ego4D's command line tool puts things, and what its tables say. Nothing is decoded here.

    <source>/ego4d.json  or  <source>/v2/ego4d.json
    <source>/v2/{clips,video_540ss,full_scale}/manifest.csv and <uid>.mp4
    <source>/v2/annotations/*.json

The version folder may be missing, that is, --source may be the version folder itself.
"""

from __future__ import annotations

import csv
import dataclasses
import os
import pathlib
from typing import Any, NamedTuple

from data_pipelines.errors import DataError
from data_pipelines.names import check_name
from data_pipelines.readers.files.listing import Listing, list_files
from data_pipelines.readers.files.opening import fault, source_json
from data_pipelines.readers.files.paths import source_folder
from data_pipelines.readers.recordings import Skipped
from data_pipelines.typed_json import T

KINDS = ("video_540ss", "clips", "full_scale")  # the order in which `auto` looks
VERSIONS = ("v2", "v2_1", "v1", "")
# The published manifests name the column differently per folder and version.
_CLIP_UIDS = ("exported_clip_uid", "clip_uid", "file_uid", "video_uid")
_VIDEO_UIDS = ("file_uid", "video_uid")
_REMEDY = "download it again"
_SPLITS = {"train": "train", "val": "validation", "validation": "validation", "test": "test"}


class Clip(NamedTuple):
    """One file. path: relative to --source; video: the uid of the video that it is part of."""

    uid: str
    path: str
    video: str
    size: int


@dataclasses.dataclass
class VideoFacts:
    """What ego4d.json says of a video, as far as it is used."""

    video_uid: str | None = None
    scenarios: list[str] | None = None
    device: str | None = None
    is_stereo: bool | None = None
    redactions: Any = None
    has_redacted_regions: Any = None
    split_fho: str | None = None
    split_em: str | None = None
    split_av: str | None = None

    def kept(self) -> dict[str, Any]:
        """What the video's episodes carry of it."""
        kept = {"scenarios": self.scenarios, "device": self.device, "is_stereo": self.is_stereo}
        kept = {key: value for key, value in kept.items() if value}
        if self.redactions or self.has_redacted_regions:
            kept["redacted"] = True
        return kept

    def published_split(self, benchmark: str) -> str | None:
        """The split of a benchmark (fho, em, av), or None if the video has none."""
        return _SPLITS.get((getattr(self, f"split_{benchmark}") or "").lower())


@dataclasses.dataclass
class _ClipFacts:
    clip_uid: str | None = None
    video_uid: str | None = None


@dataclasses.dataclass
class Metadata:
    """ego4d.json."""

    videos: list[VideoFacts] | None = None
    clips: list[_ClipFacts] | None = None

    def by_video(self) -> dict[str, VideoFacts]:
        return {video.video_uid: video for video in self.videos or [] if video.video_uid}


class Download(NamedTuple):
    """What was downloaded: the folder with the files of one kind, and what lies beside it."""

    root: pathlib.Path
    kind: str
    folder: pathlib.Path
    metadata: Metadata
    listing: Listing  # of the folder

    @property
    def version(self) -> str:
        return self.folder.parent.relative_to(self.root).as_posix()

    def annotations(self, name: str, kind: type[T]) -> T:
        """annotations/<name> as `kind`; raises DataError if it is not there or of another form."""
        places = [self.folder.parent / "annotations" / name, self.root / "annotations" / name]
        for path in places:
            if os.path.lexists(path):
                return source_json(path, kind, remedy=_REMEDY)
        raise DataError(
            f"{places[0]} is missing; download it with `ego4d --datasets annotations`, or use "
            "--intervals=none"
        )


def find_download(source: str, kind: str, *, follow_links: bool = True) -> Download:
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
    if not os.path.lexists(folder / "manifest.csv"):
        raise DataError(
            f"{folder} has no manifest.csv; Ego4D's command line tool writes one beside the "
            "videos. Run its download again, or copy the file there"
        )
    places = [root / "ego4d.json", folder.parent / "ego4d.json"]
    path = next((path for path in places if os.path.lexists(path)), None)
    metadata = source_json(path, Metadata, remedy=_REMEDY) if path else Metadata()
    listing = list_files(folder, (".mp4",), follow_links=follow_links, deep=False)
    return Download(root, folder.name, folder, metadata, listing)


def list_clips(download: Download, parents: dict[str, str]) -> tuple[list[Clip], list[Skipped]]:
    """The files of manifest.csv that are there, in its order, and those that cannot be used.

    A uid becomes a file's name, so it must be one ('unsafe path').

    parents: clip uid -> video uid as far as annotations tell; ego4d.json adds to it.
    """
    clips, skipped = [], []
    parents = parents | {
        clip.clip_uid: clip.video_uid or ""
        for clip in download.metadata.clips or []
        if clip.clip_uid
    }
    files = {path.stem: path for path in download.listing.files}
    unusable = {pathlib.PurePath(entry.name).stem: entry for entry in download.listing.skipped}
    for uid, row in _rows(download):
        name = f"{download.kind}/{uid}.mp4"
        try:
            check_name(uid, f"{download.folder}/manifest.csv: uid")
        except DataError as error:
            skipped.append(Skipped(name, "unsafe path", str(error)))
            continue
        video = uid if download.kind != "clips" else row.get("parent_video_uid") or parents.get(uid)
        path = files.get(uid)
        if uid in unusable:
            skipped.append(dataclasses.replace(unusable[uid], name=name))
        elif path is None:
            detail = f"{download.folder / uid}.mp4 is in manifest.csv, not on disk"
            skipped.append(Skipped(name, "missing clip", detail))
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
    problem = fault(path, "a CSV table")
    if problem is not None:
        raise problem
    try:
        return _parsed(path, download.kind)
    except (csv.Error, OSError) as error:
        raise DataError(f"{path}: is no CSV table ({error}); {_REMEDY}") from error


def _parsed(path: pathlib.Path, kind: str) -> list[tuple[str, dict[str, str]]]:
    # What is not UTF-8 stays as it is: uids are plain, and nothing else of a row is kept.
    with open(path, newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
        reader = csv.DictReader(file)
        columns = reader.fieldnames or []
        known = _CLIP_UIDS if kind == "clips" else _VIDEO_UIDS
        column = next((name for name in known if name in columns), None)
        if column is None:
            raise DataError(
                f"{path} has the columns {', '.join(columns)[:200] or 'none'}; expected one of "
                f"{', '.join(known)}"
            )
        rows = {}
        for row in reader:
            uid = (row[column] or "").strip()
            if uid and row.get("type") not in ("file", "json"):  # the tool's other files
                rows.setdefault(uid, row)
    return list(rows.items())

"""What a folder of videos holds: the video files and picture sequences that are episodes, each
once, and why everything else is none."""

from __future__ import annotations

import pathlib
from typing import Any, NamedTuple

from data_pipelines.errors import DataError
from data_pipelines.readers import pictures
from data_pipelines.readers.files.foreign_layouts import check_own
from data_pipelines.readers.files.listing import list_files
from data_pipelines.readers.files.paths import natural, source_folder
from data_pipelines.readers.recordings import Skipped
from data_pipelines.readers.video import picture_sequences
from data_pipelines.readers.video.opening import SUFFIXES as VIDEO_SUFFIXES

_TEXT_TOO = (".ts", ".mts")


class Found(NamedTuple):
    """Episodes of a source: video files, folders of pictures; what was left out and why."""

    videos: list[pathlib.Path]
    sequences: list[pathlib.Path]
    skipped: list[Skipped]
    passed_over: dict[str, dict[str, Any]]


def find(source: str | pathlib.Path, *, links: bool = True) -> Found:
    """What lies below `source`, in natural order; links: whether symbolic links are followed.

    Raises DataError if there is no such folder, nothing to read in it, or another command's data.
    """
    root = source_folder(str(source))
    suffixes = sorted({*VIDEO_SUFFIXES, *picture_sequences.SUFFIXES})
    listing = list_files(root, suffixes, follow_links=links)
    texts = {path for path in listing.files if _is_text(path)}
    films = [path for path in listing.files if path not in texts and _is_film(path)]
    taken = texts | set(films)
    shown = [path for path in listing.files if path not in taken]
    videos, twins = _one_of_each(root, films)
    others = [name for names in listing.others.values() for name in names]
    sequences, unfit = picture_sequences.find_sequences(root, shown, videos, others)
    check_own(listing, len(videos) + len(sequences))
    code = [_text(root, path) for path in texts]
    skipped = sorted(listing.skipped + twins + unfit + code, key=lambda entry: natural(entry.name))
    if not videos and not sequences:
        told = "".join(f"; {entry.detail}" for entry in skipped[:3])
        raise DataError(
            f"--source {root}: found no videos ({' '.join(VIDEO_SUFFIXES)}) and no folders of "
            f"numbered pictures ({' '.join(picture_sequences.SUFFIXES)}){told}"
        )
    return Found(videos, sequences, skipped, listing.passed_over())


def _is_text(path: pathlib.Path) -> bool:
    """Whether a file is source text whose suffix videos have as well: TypeScript, Qt's texts."""
    if path.suffix.lower() not in _TEXT_TOO:
        return False
    try:
        with open(path, "rb") as file:
            head = file.read(4096)
    except OSError:
        return False  # reading it as a video says what is wrong
    try:
        return bool(head) and b"\0" not in head and bool(head.decode())
    except UnicodeDecodeError as error:
        return error.start > len(head) - 4 > 0  # a letter that is cut in two


def _text(root: pathlib.Path, path: pathlib.Path) -> Skipped:
    name, detail = str(path.relative_to(root)), f"{path}: text, not a video"
    return Skipped(name, "other format", detail, expected=True)


def _is_film(path: pathlib.Path) -> bool:
    """Whether a file is a video by its name; a gif that holds one picture is a picture."""
    if path.suffix.lower() == ".gif":
        header = pictures.picture_header(path)
        return header is None or header.moving
    return path.suffix.lower() in VIDEO_SUFFIXES


def _one_of_each(
    root: pathlib.Path, files: list[pathlib.Path]
) -> tuple[list[pathlib.Path], list[Skipped]]:
    """Files without further names of the same file: hard links, and links beside their target."""
    first: dict[tuple[int, int], pathlib.Path] = {}
    for path in sorted(files, key=lambda path: path.is_symlink()):  # the file before its links
        status = path.stat()
        first.setdefault((status.st_dev, status.st_ino), path)
    kept = set(first.values())
    skipped = []
    for path in files:
        if path not in kept:
            status = path.stat()
            same = first[status.st_dev, status.st_ino].relative_to(root)
            detail = f"{path}: the same file as {same}, a link"
            skipped.append(Skipped(str(path.relative_to(root)), "same file", detail, expected=True))
    return [path for path in files if path in kept], skipped

"""Folders of pictures that are the frames of one episode, and folders that are not.

A picture sequence is a folder whose pictures are its main content: numbered, of one size, and with
no videos beside them. Thumbnails, posters and unrelated photographs are none.
"""

from __future__ import annotations

import collections
import pathlib
import re
from collections.abc import Iterator, Sequence

import numpy as np

from data_pipelines.format.framing import square_frame
from data_pipelines.readers import pictures
from data_pipelines.readers.files import opening
from data_pipelines.readers.files.listing import list_files
from data_pipelines.readers.recordings import ItemError, Skipped

SUFFIXES = pictures.SUFFIXES
_FEW = 4  # pictures above folders of videos; more than this and one per video are frames
_NUMBER = re.compile(r"\d+")


def find_sequences(
    root: pathlib.Path,
    shown: Sequence[pathlib.Path],
    videos: Sequence[pathlib.Path],
    others: Sequence[str] = (),
) -> tuple[list[pathlib.Path], list[Skipped]]:
    """The folders of `shown` (pictures) that are sequences, and why the others are none.

    videos: the video files of the source. others: names of further files, relative to `root`.
    """
    members: dict[pathlib.Path, list[pathlib.Path]] = {}
    for path in shown:
        members.setdefault(path.parent, []).append(path)
    alone = _without_twin(root, shown, others)
    stems = {path.stem for path in videos}
    films = collections.Counter(video.parent for video in videos)
    above = collections.Counter()  # folder -> videos and folders of pictures below it
    for place in [*members, *(video.parent for video in videos)]:
        above.update(place.parents)
    folders, skipped = [], []
    for folder, files in members.items():
        reason = (
            _beside_videos(files, films[folder])
            or _after_videos(files, stems)
            or _minor(files, alone[folder], above[folder])
            or _unnumbered(files)
            or _sizes_differ(files)
            or _mixed(files)
        )
        if reason is None:
            folders.append(folder)
        else:
            kind, detail = reason
            name = str(folder.relative_to(root))
            expected = kind != "mixed pictures"
            skipped.append(Skipped(name, kind, f"{folder}: {detail}", expected=expected))
    return folders, skipped


def sequence_files(folder: pathlib.Path, *, follow_links: bool = True) -> list[pathlib.Path]:
    """The frames of a sequence, in natural order; other pictures of the folder are left out."""
    listing = list_files(folder, SUFFIXES, follow_links=follow_links, deep=False)
    return _numbered(listing.files)


def read_sequence(
    folder: pathlib.Path, *, size: int, fit: str, stride: int, follow_links: bool = True
) -> Iterator[np.ndarray]:
    """Every `stride`-th frame uint8 (size, size, 3); raises ItemError for a picture that is
    damaged or of another size than the first."""
    files = sequence_files(folder, follow_links=follow_links)[::stride]
    first = None
    for path in files:
        try:
            image = pictures.open_picture(path, str(path))
        except ItemError as error:
            error = opening.fault(path, "a picture") or error
            error.frames = len(files)
            raise error from None
        first = first or image.size
        if image.size != first:
            raise ItemError(
                "picture size",
                f"{path}: {image.width} x {image.height} pixels, the first of its folder "
                f"{first[0]} x {first[1]}; the frames of a sequence have one size",
                frames=len(files),
            )
        yield square_frame(image, size, fit)


def _without_twin(root: pathlib.Path, shown, others: Sequence[str]) -> collections.Counter:
    """Folder -> files without a picture of the same name beside them; annotations have one."""
    twins = {path.with_suffix("") for path in shown}
    paths = [root / name for name in others]
    return collections.Counter(path.parent for path in paths if path.with_suffix("") not in twins)


def _beside_videos(files: Sequence[pathlib.Path], videos: int) -> tuple[str, str] | None:
    if not videos:
        return None
    return "not a sequence", f"{len(files)} pictures beside videos ({files[0].name}, ...)"


def _after_videos(files: Sequence[pathlib.Path], stems: set[str]) -> tuple[str, str] | None:
    """Thumbnails in a folder of their own: clip0.jpg, clip1_thumb.jpg, ... of several videos."""
    named = {stem for path in files for stem in _prefixes(path.stem) if stem in stems}
    if len(named) < 2:
        return None
    return "not a sequence", f"pictures named after videos ({files[0].name}, ...)"


def _prefixes(stem: str) -> Iterator[str]:
    """The name itself, and what stands before each of its separators."""
    yield stem
    for match in re.finditer(r"[-_. (]+", stem):
        yield stem[: match.start()]


def _minor(files: Sequence[pathlib.Path], others: int, below: int) -> tuple[str, str] | None:
    """Few pictures among many other files, or above the folders that hold the episodes."""
    if len(files) < others or (below and len(files) <= max(_FEW, below)):
        return "not a sequence", f"{len(files)} pictures are not the main content"
    return None


def _unnumbered(files: Sequence[pathlib.Path]) -> tuple[str, str] | None:
    if len(_numbered(files)) >= 2:
        return None
    return "not a sequence", f"{len(files)} pictures that are not numbered ({files[0].name})"


def _numbered(files: Sequence[pathlib.Path]) -> list[pathlib.Path]:
    """The largest group of files whose names differ in numbers only."""
    groups: dict[str, list[pathlib.Path]] = {}
    for path in files:
        pattern = _NUMBER.sub("#", path.stem) + path.suffix.lower()
        if _NUMBER.search(path.stem):
            groups.setdefault(pattern, []).append(path)
    return max(groups.values(), key=len, default=[])


def _mixed(files: Sequence[pathlib.Path]) -> tuple[str, str] | None:
    """Several sequences in one folder would be read as one, with a jump in the middle."""
    numbered = _numbered(files)
    others = [path for path in files if path not in set(numbered)]
    remedy = "put each sequence into a folder of its own"
    if len(others) >= max(2, len(numbered)):
        names = f"{numbered[0].name}, {others[0].name}"
        return "mixed pictures", f"several kinds of names ({names}); {remedy}"
    starts: dict[str, list[int]] = {}
    for path in numbered:
        last = list(_NUMBER.finditer(path.stem))[-1]
        starts.setdefault(path.stem[: last.start()], []).append(int(last[0]))
    firsts = {numbers[0] for numbers in starts.values()}
    if len(starts) > 1 and len(firsts) == 1 and all(len(n) > 1 for n in starts.values()):
        names = ", ".join(sorted(starts)[:3])
        return "mixed pictures", f"several sequences ({names}, ...); {remedy}"
    return None


def _sizes_differ(files: Sequence[pathlib.Path]) -> tuple[str, str] | None:
    """The first, middle and last picture; reading checks all of them."""
    numbered = _numbered(files)
    alike = numbered if 2 * len(numbered) > len(files) else files
    looked = [alike[0], alike[len(alike) // 2], alike[-1]]
    headers = [pictures.picture_header(path) for path in looked]
    sizes = {(header.width, header.height) for header in headers if header is not None}
    if len(sizes) < 2:
        return None
    told = " and ".join(f"{width} x {height}" for width, height in sorted(sizes))
    return "not a sequence", f"{len(files)} pictures of different sizes ({told})"

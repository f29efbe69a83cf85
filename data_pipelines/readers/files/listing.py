"""What lies in a source: the one lister of all readers.

It knows what to ignore (what file managers and file systems leave behind), follows links, folds the
case of suffixes, and keeps account of everything that it passed over.
"""

from __future__ import annotations

import collections
import dataclasses
import os
import pathlib
import stat
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from data_pipelines.readers.files.opening import kind_of
from data_pipelines.readers.files.paths import natural
from data_pipelines.readers.recordings import Skipped

_JUNK_FILES = frozenset((".ds_store", "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"))
_JUNK_FOLDERS = frozenset(
    ("__macosx", "lost+found", "$recycle.bin", "system volume information", "@eadir")
)
_DEEPEST = 64  # levels below the source


@dataclasses.dataclass
class Listing:
    """The files of a source that a reader asked for, and what it was not asked for.

    files: in natural order, paths below `root` (links as they are, not what they point to).
    skipped: links, pipes and folders that could not be used, each with a reason; broken links and
    the like count as failures if their suffix was asked for. others: suffix -> names of regular
    files with other suffixes.
    """

    root: pathlib.Path
    files: list[pathlib.Path] = dataclasses.field(default_factory=list)
    skipped: list[Skipped] = dataclasses.field(default_factory=list)
    others: dict[str, list[str]] = dataclasses.field(default_factory=dict)

    def passed_over(self) -> dict[str, dict[str, Any]]:
        """For the manifest: suffix -> {"files": how many, "example": the first}."""
        return {
            suffix: {"files": len(names), "example": names[0]}
            for suffix, names in sorted(self.others.items())
        }


def is_junk(name: str, *, folder: bool = False) -> bool:
    """Whether a file manager left this: `._clip.mp4`, `.DS_Store`, `__MACOSX`; hidden folders too."""
    low = name.lower()
    if folder:
        return low in _JUNK_FOLDERS or low.startswith(".")
    return low.startswith("._") or low in _JUNK_FILES


def list_files(
    root: pathlib.Path,
    suffixes: Sequence[str] = (),
    *,
    named: Callable[[str], bool] | None = None,
    follow_links: bool = True,
    deep: bool = True,
) -> Listing:
    """All regular files below `root` with one of `suffixes` (lower case; () for all).

    named: says by a file's name whether it is asked for, in the place of `suffixes`.

    Links to files and folders are followed wherever they lead, every folder once; a link to a
    folder inside the source adds nothing. Without `follow_links` every link is listed as skipped.
    deep: whether sub-folders are searched.
    """
    listing = Listing(root)
    wanted = tuple(suffix.lower() for suffix in suffixes)
    for entry in _walk(root, listing, follow_links, deep):
        asked = named(entry.name) if named else not wanted or _suffix(entry.name) in wanted
        problem = _problem(entry, follow_links)
        if problem is not None:
            name = str(pathlib.Path(entry.path).relative_to(root))
            expected = not asked or problem[0] == "link"
            listing.skipped.append(Skipped(name, *problem, expected=expected))
        elif asked:
            listing.files.append(pathlib.Path(entry.path))
        else:
            name = str(pathlib.Path(entry.path).relative_to(root))
            listing.others.setdefault(_suffix(entry.name) or "(none)", []).append(name)
    listing.files.sort(key=lambda path: natural(path.relative_to(root)))
    listing.skipped.sort(key=lambda entry: natural(entry.name))
    for names in listing.others.values():
        names.sort(key=natural)
    return listing


def _walk(
    root: pathlib.Path, listing: Listing, follow_links: bool, deep: bool
) -> Iterator[os.DirEntry]:
    """Entries that are no folders and no junk; folders that cannot be read go to `skipped`."""
    inside, seen = root.resolve(), {root.resolve()}
    waiting = collections.deque([(root, 0)])
    while waiting:
        folder, depth = waiting.popleft()
        try:
            with os.scandir(folder) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            name = str(folder.relative_to(root))
            listing.skipped.append(
                Skipped(name, "unreadable folder", f"{folder}: {error.strerror}")
            )
            continue
        for entry in found:
            if not _is_folder(entry):
                if not is_junk(entry.name):
                    yield entry
                continue
            path = pathlib.Path(entry.path)
            if is_junk(entry.name, folder=True) or not deep or depth >= _DEEPEST:
                continue
            if entry.is_symlink():
                target = path.resolve()
                if target.is_relative_to(inside) or inside.is_relative_to(target) or target in seen:
                    continue  # listed under its own name, or a loop
                if not follow_links:
                    name = str(path.relative_to(root))
                    listing.skipped.append(
                        Skipped(name, "link", _not_followed(path), expected=True)
                    )
                    continue
                seen.add(target)
            waiting.append((path, depth + 1))


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _problem(entry: os.DirEntry, follow_links: bool) -> tuple[str, str] | None:
    """(reason, detail) of an entry that is no readable regular file; None if it is one."""
    if entry.is_symlink():
        if not follow_links:
            return "link", _not_followed(entry.path)
        try:
            mode = os.stat(entry.path).st_mode
        except OSError as error:
            target = os.readlink(entry.path)
            return "broken link", (
                f"{entry.path}: its target {target} cannot be reached ({error.strerror}); fetch the "
                "data (git annex get, dvc pull, or the hub's download again)"
            )
    else:
        mode = entry.stat().st_mode
    if stat.S_ISREG(mode):
        return None
    return "not a file", f"{entry.path}: a {kind_of(mode)}, not a file"


def _not_followed(path: str | os.PathLike) -> str:
    return f"{path}: a link to {os.readlink(path)}, not followed as --no-follow-links says"


def _suffix(name: str) -> str:
    return pathlib.PurePath(name).suffix.lower()

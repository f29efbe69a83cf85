"""The first stage of a conversion: a bundle of items to spooled episodes, on any worker."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import pathlib
import shutil
import tempfile
import types
from collections.abc import Sequence
from typing import Any

from data_pipelines.conversion.losses import Budget, certain_loss
from data_pipelines.conversion.output import OutputError, cannot_write, writing
from data_pipelines.conversion.spool import write_episode
from data_pipelines.errors import DataError
from data_pipelines.format.spec import DatasetSpec
from data_pipelines.readers.recordings import Item, ItemError, Recording, Skipped, failures
from data_pipelines.registry import get_recipe

BUNDLE_BYTES = 256 << 20
BUNDLE_ITEMS = 64
MIN_BUNDLES = 64  # small sources keep this many workers busy
# Names on disk are those of builds that earlier versions began.
BUNDLES = ".units"
SUMMARY = "unit.json"
# Of what bundles leave behind: a build that an older version began is begun anew. To be raised with
# every change of the spool, and of readers that made wrong data.
BUNDLE_FORMAT = 2
# Met while reading, these are about this machine, not about an item.
_MACHINE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE)


@dataclasses.dataclass(frozen=True)
class BundleJob:
    """The items that one worker converts in one go."""

    folder: str  # of the build
    recipe: str
    options: dict[str, Any]
    specs: tuple[dict[str, Any], ...]
    number: int
    items: tuple[Item, ...]
    budget: Budget | None  # of the whole job, where that is known beforehand

    @property
    def spool(self) -> pathlib.Path:
        """The bundle's folder; it appears, complete, when the bundle is done."""
        return pathlib.Path(self.folder) / BUNDLES / f"{self.number:06d}"


def cut_bundles(items: Sequence[Item]) -> list[tuple[Item, ...]]:
    """Consecutive items, by bytes and by number; never depends on the number of workers."""
    most = min(BUNDLE_ITEMS, max(1, -(-len(items) // MIN_BUNDLES)))
    bundles: list[list[Item]] = []
    for item in items:
        full = not bundles or len(bundles[-1]) >= most
        if full or sum(other.size for other in bundles[-1]) + item.size > BUNDLE_BYTES:
            bundles.append([])
        bundles[-1].append(item)
    return [tuple(bundle) for bundle in bundles]


def convert_bundle(job: BundleJob) -> None:
    """Reads the items of a bundle and spools their episodes; does nothing if that is done already.

    Items and recordings that cannot be used are listed in the bundle's summary. Raises DataError
    where the failures of all bundles together exceed what the job allows, OutputError where the
    output cannot be written.
    """
    if job.spool.exists():
        return
    _check_budget(job, 0, [])
    with writing(job.spool.parent):
        job.spool.parent.mkdir(parents=True, exist_ok=True)
        made = tempfile.mkdtemp(dir=job.spool.parent, prefix=f"work-{job.number:06d}-")
    work = pathlib.Path(made)
    try:
        recordings, skipped, lost = _convert(job, work)
        summary = {
            "recordings": recordings,
            "skipped": [dataclasses.astuple(item) for item in skipped],
        }
        with writing(work):
            (work / SUMMARY).write_text(json.dumps(summary))
        _check_budget(job, lost, failures(skipped))
        with writing(job.spool):
            if lost:
                (job.spool.parent / f"failed-{job.number:06d}-{lost}").touch()
            _publish(work, job.spool)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _publish(work: pathlib.Path, spool: pathlib.Path) -> None:
    try:
        os.rename(work, spool)
    except OSError:
        if not spool.exists():
            raise
        # Another worker ran the same bundle and was first; its result is the same.


def _convert(job: BundleJob, work: pathlib.Path) -> tuple[list[dict[str, Any]], list[Skipped], int]:
    """(entries of the recordings kept, what was skipped, how many episodes are certainly lost)."""
    specs = {spec["name"]: DatasetSpec.from_json(spec) for spec in job.specs}
    recipe = get_recipe(job.recipe)
    recordings: list[dict[str, Any]] = []
    skipped: list[Skipped] = []
    lost = 0
    for item in job.items:
        kept, missed = _convert_item(item, job.options, recipe, specs, work, len(recordings))
        recordings += kept
        skipped += missed
        lost += certain_loss(item, len(kept), missed)
    return recordings, skipped, lost


def _convert_item(
    item: Item,
    options: dict[str, Any],
    recipe: types.ModuleType,
    specs: dict[str, DatasetSpec],
    work: pathlib.Path,
    number: int,
) -> tuple[list[dict[str, Any]], list[Skipped]]:
    """Spools what `read` yields, numbered from `number`. What comes before an error is kept."""
    kept: list[dict[str, Any]] = []
    skipped: list[Skipped] = []
    seen = 0
    try:
        for result in recipe.read(item, options):
            if isinstance(result, Skipped):
                skipped.append(result)
                seen += 1 if result.episodes is None else result.episodes
                continue
            seen += 1
            try:
                entry, blank = _spool(result, specs, work, number + len(kept))
                kept.append(entry | {"item": item.name})
                skipped += blank
            except Exception as error:
                skipped.append(as_skipped(result.name, error, 1))
    except Exception as error:  # decoders raise dozens of kinds; the manifest keeps the text
        rest = None if item.episodes is None else max(1, item.episodes - seen)
        skipped.append(as_skipped(item.name, error, rest))
    return kept, skipped


def as_skipped(name: str, error: Exception, episodes: int | None = 1) -> Skipped:
    """The entry for what raised and so lost `episodes`, unless the error knows better.

    Raises OutputError for an error that is no item's: the output's, or this machine's.
    """
    if isinstance(error, OutputError):
        raise error
    if getattr(error, "errno", None) in _MACHINE:
        file = getattr(error, "filename", None) or tempfile.gettempdir()
        raise cannot_write(file, error) from error
    if isinstance(error, ItemError):
        lost = episodes if error.episodes is None else error.episodes
        return Skipped(name, error.reason, str(error), episodes=lost, frames=error.frames)
    told = str(error)
    if not told or not isinstance(error, (DataError, OSError)):  # "'x'" alone tells nothing
        told = f"{type(error).__name__}: {told}".removesuffix(": ")
    return Skipped(name, "unreadable", told, episodes=episodes)


def _spool(
    recording: Recording, specs: dict[str, DatasetSpec], work: pathlib.Path, number: int
) -> tuple[dict[str, Any], list[Skipped]]:
    """Spools every camera of a recording that shows something, or none of them.

    Returns the summary's entry, and the blank cameras: data sets fill in black pictures for cameras
    that an episode lacks. Raises ItemError if all are blank, or if one has another fault.
    """
    lengths, blank = {}, {}
    try:
        for name, frames in recording.frames.items():
            try:
                lengths[name] = _spool_camera(recording, specs[name], frames, work / name, number)
            except ItemError as error:
                if error.reason != "blank":
                    raise
                blank[name] = error
        if not lengths:
            raise next(iter(blank.values()), ItemError("no cameras", f"{recording.name}: none"))
        if len(set(lengths.values())) > 1:
            raise ItemError("frame count", f"{recording.name}: cameras differ in length: {lengths}")
    except BaseException:
        for name in specs.keys() & recording.frames.keys():
            for suffix in (".npz", ".frames"):
                (work / name / f"{number:08d}{suffix}").unlink(missing_ok=True)
        raise
    entry = {
        "name": recording.name,
        "number": number,
        "datasets": list(lengths),
        "frames": next(iter(lengths.values())),
        "group": recording.group or recording.name,
        "split": recording.split,
    }
    if "language" in recording.metadata:
        entry["language"] = bool(str(recording.metadata["language"]).strip())
    return entry, [
        Skipped(f"{recording.name}:{name}", "blank camera", str(error), expected=True, episodes=0)
        for name, error in blank.items()
    ]


def _spool_camera(
    recording: Recording, spec: DatasetSpec, frames, folder: pathlib.Path, number: int
) -> int:
    """Spools one camera of a recording; returns its number of frames."""
    return write_episode(
        folder,
        spec,
        number,
        frames,
        action=recording.action,
        reward=recording.reward,
        state=recording.state,
        episode_return=recording.episode_return,
        source=recording.name,
        metadata=recording.metadata,
    )


def _check_budget(job: BundleJob, lost: int, failed: Sequence[Skipped]) -> None:
    """Stops the job as soon as it is certain that too much fails."""
    if job.budget is None:
        return
    lost += sum(
        int(path.name.rsplit("-", 1)[1])
        for path in job.spool.parent.glob("failed-*")
        if not path.name.startswith(f"failed-{job.number:06d}-")
    )
    if job.budget.exceeded(lost):
        raise DataError(job.budget.message(lost, failed))

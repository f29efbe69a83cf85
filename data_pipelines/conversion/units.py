"""The first stage of a conversion: a unit of items to spooled episodes, on any worker."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import pathlib
import shutil
import tempfile
from collections.abc import Sequence
from typing import Any

from data_pipelines.errors import DataError
from data_pipelines.recordings import Item, ItemError, Recording, Skipped, failures
from data_pipelines.registry import get_recipe
from data_pipelines.spec import DatasetSpec
from data_pipelines.conversion.spool import write_episode

UNIT_BYTES = 256 << 20
UNIT_ITEMS = 64
MIN_UNITS = 64  # small sources keep this many workers busy
UNITS = ".units"
SUMMARY = "unit.json"
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)  # about the output, not about an item


@dataclasses.dataclass(frozen=True)
class UnitJob:
    """The items that one worker converts in one go."""

    folder: str  # of the build
    recipe: str
    options: dict[str, Any]
    specs: tuple[dict[str, Any], ...]
    number: int
    items: tuple[Item, ...]
    allowed_failures: int | None  # of the whole job, where that is known beforehand

    @property
    def spool(self) -> pathlib.Path:
        """The unit's folder; it appears, complete, when the unit is done."""
        return pathlib.Path(self.folder) / UNITS / f"{self.number:06d}"


def cut_units(items: Sequence[Item]) -> list[tuple[Item, ...]]:
    """Consecutive items, by bytes and by number; never depends on the number of workers."""
    most = min(UNIT_ITEMS, max(1, -(-len(items) // MIN_UNITS)))
    units: list[list[Item]] = []
    for item in items:
        full = not units or len(units[-1]) >= most
        if full or sum(other.size for other in units[-1]) + item.size > UNIT_BYTES:
            units.append([])
        units[-1].append(item)
    return [tuple(unit) for unit in units]


def convert_unit(job: UnitJob) -> None:
    """Reads the items of a unit and spools their episodes; does nothing if that is done already.

    Items and recordings that cannot be used are listed in the unit's summary. Raises DataError
    where the failures of all units together exceed what the job allows, OSError where the output
    cannot be written.
    """
    if job.spool.exists():
        return
    _check_failures(job, [])
    job.spool.parent.mkdir(parents=True, exist_ok=True)
    work = pathlib.Path(tempfile.mkdtemp(dir=job.spool.parent, prefix=f"work-{job.number:06d}-"))
    try:
        recordings, skipped = _convert(job, work)
        summary = {
            "recordings": recordings,
            "skipped": [dataclasses.astuple(item) for item in skipped],
        }
        (work / SUMMARY).write_text(json.dumps(summary))
        failed = failures(skipped)
        _check_failures(job, failed)
        if failed:
            (job.spool.parent / f"failed-{job.number:06d}-{len(failed)}").touch()
        os.rename(work, job.spool)
    except OSError:
        if not job.spool.exists():
            raise
        # Another worker ran the same unit and was first; its result is the same.
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _convert(job: UnitJob, work: pathlib.Path) -> tuple[list[dict[str, Any]], list[Skipped]]:
    specs = {spec["name"]: DatasetSpec.from_json(spec) for spec in job.specs}
    recipe = get_recipe(job.recipe)
    recordings: list[dict[str, Any]] = []
    skipped: list[Skipped] = []
    for item in job.items:
        try:
            for result in recipe.read(item, job.options):
                if isinstance(result, Skipped):
                    skipped.append(result)
                    continue
                try:
                    recordings.append(_spool(result, specs, work, len(recordings)))
                except Exception as error:
                    skipped.append(as_skipped(result.name, error))
        except Exception as error:  # decoders raise dozens of kinds; the manifest keeps the text
            skipped.append(as_skipped(item.name, error))
    return recordings, skipped


def as_skipped(name: str, error: Exception) -> Skipped:
    """The entry for an item that raised; raises the error again if it is about the output disk."""
    if getattr(error, "errno", None) in _DISK_ERRORS:
        raise error
    reason = error.reason if isinstance(error, ItemError) else "unreadable"
    return Skipped(name, reason, str(error) or type(error).__name__)


def _spool(
    recording: Recording, specs: dict[str, DatasetSpec], work: pathlib.Path, number: int
) -> dict[str, Any]:
    """Spools every camera of a recording, or none of them."""
    lengths = {}
    try:
        for name, frames in recording.frames.items():
            lengths[name] = write_episode(
                work / name,
                specs[name],
                number,
                frames,
                action=recording.action,
                reward=recording.reward,
                state=recording.state,
                episode_return=recording.episode_return,
                source=recording.name,
                metadata=recording.metadata,
            )
        if len(set(lengths.values())) > 1:
            raise ItemError("frame count", f"{recording.name}: cameras differ in length: {lengths}")
    except BaseException:
        for name in recording.frames:
            for suffix in (".npz", ".frames"):
                (work / name / f"{number:08d}{suffix}").unlink(missing_ok=True)
        raise
    return {
        "name": recording.name,
        "number": number,
        "datasets": list(lengths),
        "frames": next(iter(lengths.values())),
        "group": recording.group or recording.name,
        "split": recording.split,
    }


def _check_failures(job: UnitJob, failed: list[Skipped]) -> None:
    """Stops the job as soon as it is certain that too much fails."""
    if job.allowed_failures is None:
        return
    before = sum(
        int(path.name.rsplit("-", 1)[1])
        for path in job.spool.parent.glob("failed-*")
        if not path.name.startswith(f"failed-{job.number:06d}-")
    )
    if before + len(failed) > job.allowed_failures:
        last = failed[-1] if failed else None
        raise DataError(
            too_many(before + len(failed), job.allowed_failures, job.options["max_failures"], last)
        )


def too_many(failed: int, allowed: int, share: float, last: Skipped | None) -> str:
    """The message for a job with more failures than --max-failures allows."""
    text = f"{failed} items cannot be used, more than the {allowed} that --max-failures={share:g} "
    text += "allows"
    if last:
        text += f"; last: {last.name}: {last.reason} ({last.detail})"
    return text + ". Mend the source, or raise --max-failures"

"""From a recipe to a finished folder: read, split, check, write, and only then rename."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import fcntl
import functools
import hashlib
import json
import os
import pathlib
import shutil
from collections.abc import Iterator, Sequence
from typing import Any

from data_pipelines.conversion.assembly import SHARD_BYTES, Assembly, assemble
from data_pipelines.conversion.units import SUMMARY, UNITS, UnitJob, cut_units, too_many
from data_pipelines.conversion.engines import LOCAL, STOP, run_stages
from data_pipelines.errors import DataError
from data_pipelines.manifest import FILE_NAME, FORMAT_VERSION, read_manifest
from data_pipelines.conversion.progress import Progress
from data_pipelines.recordings import Plan, Skipped, failures
from data_pipelines.registry import get_recipe
from data_pipelines.conversion.shards import DONE, ShardJob, finish_dataset
from data_pipelines.spec import DatasetSpec
from data_pipelines.conversion.splits import SPLITS
from data_pipelines.conversion.spool import list_episodes, read_episode

PLAN = "plan.json"
ASSEMBLY = "assembly.json"
# Options that decide whether a job goes on, not what it writes: raising one keeps what is done.
TOLERANCES = ("max_failures", "leaks")


@dataclasses.dataclass(frozen=True)
class Engine:
    """How a build runs; never what it builds. runner: 'local' or the name of a Beam runner."""

    runner: str = LOCAL
    workers: int = 1
    beam_arguments: tuple[str, ...] = ()


def prepare(
    recipe: str,
    out: str | pathlib.Path,
    options: dict[str, Any],
    *,
    engine: Engine = Engine(),  # noqa: B008 (frozen)
    shard_bytes: int = SHARD_BYTES,
    progress: bool = False,
) -> bool:
    """Builds the dataset folder `out`; returns False if it was there already with these options.

    Everything is written to a hidden sibling folder and renamed at the end, so a killed run leaves
    nothing that looks complete. The next run of the same command keeps the units and shards that
    were done; simulators start afresh. Raises DataError for an unknown recipe, options that differ
    from what `out` holds, an `out` that is something else, a folder that cannot be written, a
    source of which too much is unusable, or data that fails a check.
    """
    if engine.workers < 1:
        raise DataError(f"--workers is {engine.workers}; use at least 1")
    module = get_recipe(recipe)
    out = pathlib.Path(out).absolute()
    options = json.loads(json.dumps(options))  # what a manifest read back would hold
    if _already_there(out, recipe, options):
        return False
    resumable = hasattr(module, "plan")
    if resumable:
        plan = module.plan(options)
        _check_plan(plan)
    with _building_folder(out, resumable) as folder:
        with Progress(folder, progress) as bar:
            if resumable:
                units = _unit_jobs(plan, recipe, options, shard_bytes, folder)
                bar.expect(len(units))
            else:
                _empty(folder)
                plan, units = _collect(module, options, folder, engine.workers, bar), []
            step = functools.partial(
                _assemble, str(folder), options, plan, shard_bytes, resumable=resumable
            )
            run_stages(
                folder,
                units,
                step,
                runner=engine.runner,
                workers=engine.workers,
                beam_arguments=engine.beam_arguments,
            )
        assembly = json.loads((folder / ASSEMBLY).read_text())
        _write_manifest(recipe, options, plan, assembly, folder)
        for name in (UNITS, DONE, PLAN, ASSEMBLY, STOP):
            path = folder / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        _finish(folder, out)
    return True


def _already_there(out: pathlib.Path, recipe: str, options: dict[str, Any]) -> bool:
    """True if `out` was finished by this recipe and options; raises DataError for anything else."""
    if not out.exists():
        return False
    if not out.is_dir():
        raise DataError(f"{out} is a file; give --out a new folder")
    if not (out / FILE_NAME).exists():
        if any(out.iterdir()):
            raise DataError(
                f"{out} holds files but no {FILE_NAME}; it is not a dataset folder and is left as "
                "it is. Give --out a new or empty folder"
            )
        return False
    manifest = read_manifest(out)
    if manifest["recipe"] != recipe:
        raise DataError(f"{out} holds {manifest['recipe']!r}, not {recipe!r}; give another --out")
    there = manifest["options"]
    differences = [
        f"{key}: {there.get(key)!r} there, {options.get(key)!r} asked"
        for key in sorted(there.keys() | options.keys())
        if there.get(key) != options.get(key)
    ]
    if differences:
        raise DataError(
            f"{out} was prepared with other options ({'; '.join(differences)}). Give another "
            "--out, or remove that folder first"
        )
    return True


@contextlib.contextmanager
def _building_folder(out: pathlib.Path, resumable: bool) -> Iterator[pathlib.Path]:
    """A locked, hidden sibling of `out`. Unless `resumable`, a failure leaves nothing of it."""
    folder = out.parent / f".{out.name}.partial"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise DataError(
            f"cannot write in {out.parent}: {error}; give --out a writable place"
        ) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise DataError(f"another run is preparing {out}; wait for it to finish") from error
        try:
            yield folder
        except BaseException:
            if not resumable:
                shutil.rmtree(folder, ignore_errors=True)
            raise
    except OSError as error:
        raise DataError(f"cannot write {out}: {error}") from error
    finally:
        os.close(descriptor)


def _empty(folder: pathlib.Path) -> None:
    for item in folder.iterdir():
        shutil.rmtree(item) if item.is_dir() else item.unlink()


def _check_plan(plan: Plan) -> None:
    names = [item.name for item in plan.items]
    if not names:
        reasons = collections.Counter(item.reason for item in plan.skipped)
        raise DataError(f"the source holds nothing to read; skipped: {dict(reasons) or 'nothing'}")
    if len(set(names)) != len(names):
        twice = next(name for name, count in collections.Counter(names).items() if count > 1)
        raise DataError(f"the source lists {twice!r} twice; remove one of them")


def _unit_jobs(
    plan: Plan, recipe: str, options: dict[str, Any], shard_bytes: int, folder: pathlib.Path
) -> list[UnitJob]:
    """The jobs of the first stage, after throwing away what another plan left in `folder`."""
    specs = tuple(spec.to_json() for spec in plan.specs)
    content = {key: value for key, value in options.items() if key not in TOLERANCES}
    text = json.dumps(
        [recipe, content, shard_bytes, specs, [dataclasses.astuple(item) for item in plan.items]]
    )
    fingerprint = hashlib.sha256(text.encode()).hexdigest()
    file = folder / PLAN
    if not file.exists() or file.read_text() != fingerprint:
        _empty(folder)
        file.write_text(fingerprint)
    for leftover in (folder / UNITS).glob("work-*"):
        shutil.rmtree(leftover)
    allowed = None
    if plan.one_recording_per_item:
        failed = failures(plan.skipped)
        most = _allowed(len(plan.items) + len(failed), options)
        allowed = most - len(failed)
        if allowed < 0:
            raise DataError(too_many(len(failed), most, options["max_failures"], failed[-1]))
    return [
        UnitJob(str(folder), recipe, options, specs, number, items, allowed)
        for number, items in enumerate(cut_units(plan.items))
    ]


def _allowed(total: int, options: dict[str, Any]) -> int:
    """How many of `total` items may fail."""
    return max(1, int(options["max_failures"] * total))


def _collect(module, options, folder: pathlib.Path, workers: int, bar: Progress) -> Plan:
    """Runs a simulator's recipe, whose episodes become one unit."""
    unit = folder / UNITS / f"{0:06d}"
    bar.expect_transitions(module.expected_transitions(options))
    collected = module.collect(options | {"workers": workers}, unit, bar.add_transitions)
    recordings = []
    for spec in collected.specs:
        for number in list_episodes(unit / spec.name):
            name = read_episode(unit / spec.name, number).source
            recordings.append(
                {
                    "name": f"{spec.name} {name}",
                    "number": number,
                    "datasets": [spec.name],
                    "group": f"{number}",
                    "split": None,
                }
            )
    (unit / SUMMARY).write_text(json.dumps({"recordings": recordings, "skipped": []}))
    return Plan(
        specs=collected.specs,
        items=[],
        skipped=[Skipped(*item) for item in collected.skipped_items],
        sources=collected.sources,
    )


def _assemble(
    folder: str, options: dict[str, Any], plan: Plan, shard_bytes: int, resumable: bool
) -> list[ShardJob]:
    """The step between the two stages: also leaves its result in the folder, for the manifest."""
    root = pathlib.Path(folder)
    result = assemble(
        root,
        plan.specs,
        options.get("seed", 0),
        shard_bytes,
        stop_at_leaks=options.get("leaks") != "report",
    )
    if resumable:
        _check_skipped(result, plan, options)
    facts = {
        "jobs": [dataclasses.asdict(job) for job in result.jobs],
        "skipped": [
            (item.name, item.reason, item.detail) for item in plan.skipped + result.skipped
        ],
        "leakage": result.leakage,
    }
    (root / ASSEMBLY).write_text(json.dumps(facts))
    return result.jobs


def _check_skipped(result: Assembly, plan: Plan, options: dict[str, Any]) -> None:
    failed = failures(plan.skipped + result.skipped)
    allowed = _allowed(result.recordings + len(failed), options)
    if len(failed) > allowed:
        raise DataError(too_many(len(failed), allowed, options["max_failures"], failed[-1]))


def _write_manifest(
    recipe: str,
    options: dict[str, Any],
    plan: Plan,
    assembly: dict[str, Any],
    folder: pathlib.Path,
) -> None:
    jobs = [ShardJob(**job) for job in assembly["jobs"]]
    used = [spec for spec in plan.specs if any(job.spec["name"] == spec.name for job in jobs)]
    entries = {
        spec.name: finish_dataset(
            folder, spec, [job for job in jobs if job.spec["name"] == spec.name]
        )
        for spec in used
    }
    manifest = _manifest(recipe, options, plan.sources, assembly, entries)
    (folder / FILE_NAME).write_text(json.dumps(manifest, indent=1) + "\n")


def _manifest(
    recipe: str,
    options: dict[str, Any],
    sources: dict[str, Any],
    assembly: dict[str, Any],
    entries: dict[str, dict[str, Any]],
) -> dict[str, Any]:
    """The whole manifest. No times and no host names: the same options give the same bytes."""
    totals = {
        split: {
            key: sum(entry["splits"].get(split, {}).get(key, 0) for entry in entries.values())
            for key in ("episodes", "transitions", "records")
        }
        for split in SPLITS
    }
    hashes = [
        shard["sha256"]
        for entry in entries.values()
        for shards in entry["shards"].values()
        for shard in shards
    ]
    transitions = {
        name: sum(s["transitions"] for s in entry["splits"].values())
        for name, entry in entries.items()
    }
    return {
        "format_version": FORMAT_VERSION,
        "recipe": recipe,
        "options": options,
        "episodes": sum(split["episodes"] for split in totals.values()),
        "transitions": sum(transitions.values()),
        "splits": totals,
        "mixture": transitions,
        "skipped": dict(collections.Counter(reason for _, reason, _ in assembly["skipped"])),
        "skipped_items": [list(item) for item in assembly["skipped"]],
        "sources": sources,
        "leakage_check": assembly["leakage"],
        "content_hash": hashlib.sha256("".join(hashes).encode()).hexdigest(),
        "datasets": entries,
    }


def _finish(folder: pathlib.Path, out: pathlib.Path) -> None:
    """Flushes everything to disk, then makes the folder visible under its name in one step."""
    for path in folder.rglob("*"):
        if path.is_file():
            with open(path, "rb") as file:
                os.fsync(file.fileno())
    os.rename(folder, out)

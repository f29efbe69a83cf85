"""From a recipe to a finished folder: read, split, check, write, and only then rename."""

from __future__ import annotations

import collections
import dataclasses
import functools
import hashlib
import json
import os
import pathlib
from typing import Any

from data_pipelines.conversion import place
from data_pipelines.conversion.assembly import SHARD_BYTES, assemble
from data_pipelines.conversion.bundles import (
    BUNDLE_FORMAT,
    BUNDLES,
    SUMMARY,
    BundleJob,
    cut_bundles,
)
from data_pipelines.conversion.description import assembly_facts, manifest
from data_pipelines.conversion.engines import Engine, run_stages
from data_pipelines.conversion.losses import allowed, budget, expected_episodes, told, too_many
from data_pipelines.conversion.progress_bars import Progress
from data_pipelines.conversion.shards import ShardJob, finish_dataset
from data_pipelines.conversion.splits import MORE, SPLITS
from data_pipelines.conversion.spool import SpooledEpisode, list_episodes, read_episode
from data_pipelines.errors import DataError
from data_pipelines.format.manifest import FILE_NAME
from data_pipelines.format.spec import DatasetSpec
from data_pipelines.option_ranges import check_ranges
from data_pipelines.readers.recordings import Plan, failures
from data_pipelines.registry import get_recipe
from data_pipelines.whole_files import whole_file

__all__ = ["Engine", "prepare"]
# Options that decide whether a job goes on, not what it writes: raising one keeps what is done.
TOLERANCES = ("max_failures", "leaks")


def prepare(
    recipe: str,
    out: str | os.PathLike,
    options: dict[str, Any],
    *,
    engine: Engine = Engine(),  # noqa: B008 (frozen)
    shard_bytes: int = SHARD_BYTES,
    progress: bool = False,
) -> bool:
    """Builds the dataset folder `out`; returns False if it was there already with these options.

    Everything is written to a hidden sibling folder and renamed at the end, so a killed run leaves
    nothing that looks complete. The next run of the same command keeps the bundles, the episodes of
    a simulator and the shards that were done. Raises DataError for an unknown recipe, options that
    make no sense or differ from what `out` holds, an `out` that is something else, a source of which
    too much is unusable, or data that fails a check; OutputError where something cannot be written.
    """
    module = get_recipe(recipe)
    options = json.loads(json.dumps(options))  # what a manifest read back would hold
    check_ranges(options)
    engine.check()
    out = place.out_folder(out)
    if place.already_there(out, recipe, options):
        return False
    place.check_apart(out, options.get("source"))
    with place.building_folder(out) as folder:
        if place.already_there(out, recipe, options):  # by a run that has just ended
            return False
        with Progress(folder, progress) as bar:
            if hasattr(module, "plan"):
                plan = module.plan(options)
                _check_plan(plan)
                bundles = _bundle_jobs(plan, recipe, options, shard_bytes, folder)
                bar.expect(len(bundles))
            else:
                plan = Plan(module.specs(options), [], sources=module.sources(options))
                _begin(plan, recipe, options, shard_bytes, folder)
                _collect(module, plan.specs, options, folder, engine.workers, bar)
                bundles = []
            step = functools.partial(_assemble, str(folder), options, plan, shard_bytes)
            run_stages(folder, bundles, step, engine)
        _write_manifest(recipe, options, plan, folder)
        place.finish(folder, out)
    return True


def _check_plan(plan: Plan) -> None:
    names = [item.name for item in plan.items]
    if not names:
        what = told(plan.skipped) or "; nothing was found"
        raise DataError(f"the source holds nothing to read{what}")
    if len(set(names)) != len(names):
        twice = next(name for name, count in collections.Counter(names).items() if count > 1)
        raise DataError(f"the source lists {twice!r} twice; remove one of them")
    expected = expected_episodes(plan)
    if expected is not None and expected < len(SPLITS):
        raise DataError(
            f"the source has {expected} episodes; three are needed for train, validation and test"
            f"{told(failures(plan.skipped))}. {MORE}"
        )


def _fingerprint(*content: Any) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _begin(
    plan: Plan, recipe: str, options: dict[str, Any], shard_bytes: int, folder: pathlib.Path
) -> None:
    """Throws away what another plan left in `folder`."""
    content = {key: value for key, value in options.items() if key not in TOLERANCES}
    specs = [spec.to_json() for spec in plan.specs]
    # A simulator has no items: its version decides what it plays.
    items = [dataclasses.astuple(item) for item in plan.items] or plan.sources
    place.begin(folder, _fingerprint(BUNDLE_FORMAT, recipe, content, shard_bytes, specs, items))


def _bundle_jobs(
    plan: Plan, recipe: str, options: dict[str, Any], shard_bytes: int, folder: pathlib.Path
) -> list[BundleJob]:
    """The jobs of the first stage."""
    limit = budget(plan, options["max_failures"])
    if limit and limit.exceeded(0):
        raise DataError(limit.message(0, failures(plan.skipped)))
    _begin(plan, recipe, options, shard_bytes, folder)
    specs = tuple(spec.to_json() for spec in plan.specs)
    return [
        BundleJob(str(folder), recipe, options, specs, number, items, limit)
        for number, items in enumerate(cut_bundles(plan.items))
    ]


def _collect(
    module, specs: list[DatasetSpec], options, folder: pathlib.Path, workers: int, bar: Progress
) -> None:
    """Runs a simulator's recipe, whose episodes become one bundle; does nothing if that is done."""
    bundle = folder / BUNDLES / f"{0:06d}"
    if (bundle / SUMMARY).exists():
        return
    bar.expect_transitions(module.expected_transitions(options))
    skipped = module.collect(options, bundle, workers, bar.add_transitions)
    recordings = [
        _collected(spec, read_episode(bundle / spec.name, number))
        for spec in specs
        for number in list_episodes(bundle / spec.name)
    ]
    summary = {
        "recordings": recordings,
        "skipped": [dataclasses.astuple(item) for item in skipped],
    }
    with whole_file(bundle / SUMMARY) as unfinished:
        unfinished.write_text(json.dumps(summary))


def _collected(spec: DatasetSpec, episode: SpooledEpisode) -> dict[str, Any]:
    """The summary's entry of a view of a played episode; views of one episode share a group."""
    entry = {
        "name": f"{spec.name} {episode.source}",
        "number": episode.episode,
        "datasets": [spec.name],
        "group": f"{episode.episode}",
        "split": None,
    }
    if "language" in episode.metadata:
        entry["language"] = bool(str(episode.metadata["language"]).strip())
    return entry


def _assemble(folder: str, options: dict[str, Any], plan: Plan, shard_bytes: int) -> list[ShardJob]:
    """The step between the two stages: also leaves its result in the folder, for the manifest."""
    root = pathlib.Path(folder)
    result = assemble(
        root,
        plan.specs,
        options.get("seed", 0),
        shard_bytes,
        stop_at_leaks=options.get("leaks") != "report",
        items=plan.items,
        skipped=plan.skipped,
    )
    share = options.get("max_failures")  # simulators have none
    if share is not None:
        if result.loss.lost > allowed(share, result.loss.total):
            raise DataError(too_many(result.loss, share, failures(result.skipped)))
    (root / place.ASSEMBLY).write_text(json.dumps(assembly_facts(result, plan)))
    return result.jobs


def _write_manifest(recipe: str, options: dict[str, Any], plan: Plan, folder: pathlib.Path) -> None:
    facts = json.loads((folder / place.ASSEMBLY).read_text())
    jobs = [ShardJob(**job) for job in facts["jobs"]]

    def entry(spec: DatasetSpec) -> dict[str, Any] | None:
        own = [job for job in jobs if job.spec["name"] == spec.name]
        return finish_dataset(folder, spec, own) if own else None

    entries = {spec.name: entry(spec) for spec in plan.specs}
    entries = {name: entry for name, entry in entries.items() if entry}
    text = json.dumps(manifest(recipe, options, plan, facts, entries), indent=1)
    (folder / FILE_NAME).write_text(text + "\n")

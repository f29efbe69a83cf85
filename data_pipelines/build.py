"""From a recipe to a finished folder: collect, split, check, write, and only then rename."""

from __future__ import annotations

import collections
import contextlib
import fcntl
import hashlib
import json
import os
import pathlib
import shutil
from collections.abc import Iterator
from typing import Any

import numpy as np
from tqdm import tqdm

from data_pipelines.builder import dataset_folder, write_shards
from data_pipelines.errors import DataError
from data_pipelines.leakage import EpisodeHashes, check_leakage
from data_pipelines.manifest import FILE_NAME, FORMAT_VERSION, file_hash, read_manifest
from data_pipelines.registry import Collected, get_recipe
from data_pipelines.spec import DatasetSpec
from data_pipelines.splits import SPLITS, assign_splits
from data_pipelines.spool import list_episodes, read_episode

Splits = dict[str, dict[str, list[int]]]  # dataset -> split -> episodes


def prepare(
    recipe: str,
    out: str | pathlib.Path,
    options: dict[str, Any],
    *,
    workers: int = 2,
    num_shards: int | None = None,
    progress: bool = False,
) -> bool:
    """Builds the dataset folder `out`; returns False if it was there already with these options.

    Everything is written to a sibling folder and renamed at the end, so a killed run leaves nothing
    that looks complete and the next run starts afresh. `workers` processes collect; their number
    never changes the result. Raises DataError for an unknown recipe, options that differ from what
    `out` holds, an `out` that is something else, a folder that cannot be written, or data that
    fails a check.
    """
    if workers < 1:
        raise DataError(f"--workers is {workers}; use at least 1")
    module = get_recipe(recipe)
    out = pathlib.Path(out).absolute()
    options = json.loads(json.dumps(options))  # what a manifest read back would hold
    if _already_there(out, recipe, options):
        return False
    with _building_folder(out) as folder:
        spool = folder / ".spool"
        bar = tqdm(
            total=module.expected_transitions(options),
            unit=" transitions",
            desc=f"collect {recipe}",
            disable=None if progress else True,
        )
        with bar:
            collected = module.collect(options | {"workers": workers}, spool, bar.update)
        splits = _split_episodes(collected, spool, options)
        leakage = check_leakage(_spooled_hashes(splits, spool))
        entries = _write_datasets(collected.specs, splits, spool, folder, num_shards, progress)
        manifest = _manifest(recipe, options, collected, entries, leakage)
        shutil.rmtree(spool)
        (folder / FILE_NAME).write_text(json.dumps(manifest, indent=1) + "\n")
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
def _building_folder(out: pathlib.Path) -> Iterator[pathlib.Path]:
    """An empty, locked sibling of `out`; what a killed run left in it is removed."""
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
            for item in folder.iterdir():
                shutil.rmtree(item) if item.is_dir() else item.unlink()
            yield folder
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    except OSError as error:
        raise DataError(f"cannot write {out}: {error}") from error
    finally:
        os.close(descriptor)


def _finish(folder: pathlib.Path, out: pathlib.Path) -> None:
    """Flushes everything to disk, then makes the folder visible under its name in one step."""
    for path in folder.rglob("*"):
        if path.is_file():
            with open(path, "rb") as file:
                os.fsync(file.fileno())
    os.rename(folder, out)


def _split_episodes(collected: Collected, spool: pathlib.Path, options: dict[str, Any]) -> Splits:
    """The episodes of every split of every dataset; raises DataError if there are too few."""
    episodes = {spec.name: list_episodes(spool / spec.name) for spec in collected.specs}
    if not any(episodes.values()):
        reasons = collections.Counter(reason for _, reason, _ in collected.skipped_items)
        raise DataError(f"no episode could be read; skipped: {dict(reasons) or 'nothing'}")
    seed = options.get("seed", 0)
    return {name: assign_splits(ids, seed, name) for name, ids in episodes.items()}


def _write_datasets(
    specs: list[DatasetSpec],
    splits: Splits,
    spool: pathlib.Path,
    folder: pathlib.Path,
    num_shards: int | None,
    progress: bool,
) -> dict[str, dict[str, Any]]:
    """Writes the shards of every dataset; returns the manifest's entries."""
    entries = {}
    with tqdm(unit=" transitions", desc="write shards", disable=None if progress else True) as bar:
        for spec in specs:
            index = write_shards(
                spec,
                spool / spec.name,
                splits[spec.name],
                folder,
                num_shards=num_shards,
                on_transitions=bar.update,
            )
            entries[spec.name] = _entry(spec, splits[spec.name], index, folder)
    return entries


def _entry(
    spec: DatasetSpec,
    splits: dict[str, list[int]],
    index: dict[str, np.ndarray],
    folder: pathlib.Path,
) -> dict[str, Any]:
    """One dataset's part of the manifest."""
    root = dataset_folder(folder, spec.name)
    with open(root / "dataset_info.json") as file:
        lengths = {s["name"]: s["shardLengths"] for s in json.load(file)["splits"]}
    shards: dict[str, list[dict[str, Any]]] = {}
    for split in splits:
        count = len(lengths[split])
        shards[split] = []
        for i, records in enumerate(lengths[split]):
            name = f"{spec.name}-{split}.array_record-{i:05d}-of-{count:05d}"
            shards[split].append(
                {
                    "file": name,
                    "records": int(records),
                    "bytes": (root / name).stat().st_size,
                    "sha256": file_hash(root / name),
                }
            )
    counts = {
        split: {
            "episodes": len(splits[split]),
            "transitions": int(np.minimum(rows[:, 2] - 1, spec.clip_stride).sum()),
            "records": len(rows),
        }
        for split, rows in index.items()
    }
    return {"spec": spec.to_json(), "splits": counts, "shards": shards}


def _spooled_hashes(splits: Splits, spool: pathlib.Path) -> Iterator[EpisodeHashes]:
    for name, parts in splits.items():
        for split, episodes in parts.items():
            for episode in episodes:
                hashes = read_episode(spool / name, episode, frames=False).hashes
                yield EpisodeHashes(name, split, episode, hashes)


def _manifest(
    recipe: str,
    options: dict[str, Any],
    collected: Collected,
    entries: dict[str, dict[str, Any]],
    leakage: dict[str, int],
) -> dict[str, Any]:
    """The whole manifest. No times and no host names: the same options give the same bytes."""
    totals = {
        split: {
            key: sum(entry["splits"][split][key] for entry in entries.values())
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
        "skipped": dict(collections.Counter(reason for _, reason, _ in collected.skipped_items)),
        "skipped_items": [list(item) for item in collected.skipped_items],
        "sources": collected.sources,
        "leakage_check": leakage,
        "content_hash": hashlib.sha256("".join(hashes).encode()).hexdigest(),
        "datasets": entries,
    }

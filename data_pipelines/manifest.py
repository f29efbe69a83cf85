"""manifest.json: what a dataset folder holds. Written last: a folder with one is complete."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import pathlib
from typing import Any

from data_pipelines.layout import dataset_folder, episodes_file
from data_pipelines.errors import DataError
from data_pipelines.spec import ActionSpec, DatasetSpec

FORMAT_VERSION = 1
FILE_NAME = "manifest.json"


def file_hash(path: pathlib.Path) -> str:
    """sha256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_manifest(path: str | pathlib.Path) -> dict[str, Any]:
    """The manifest of a folder; raises DataError if there is none or it is of another format."""
    file = pathlib.Path(path) / FILE_NAME
    remedy = "make one with `python -m data_pipelines.prepare <dataset> --out=DIR`"
    if not file.parent.is_dir():
        raise DataError(f"{file.parent}: no such dataset folder; {remedy}")
    if not file.is_file():
        raise DataError(f"{file}: no manifest, so this is no finished dataset folder; {remedy}")
    try:
        manifest = json.loads(file.read_text())
    except (OSError, json.JSONDecodeError) as error:
        raise DataError(
            f"{file}: cannot be read as JSON ({error}); prepare the folder again"
        ) from error
    if manifest.get("format_version") != FORMAT_VERSION:
        raise DataError(
            f"{file}: format_version {manifest.get('format_version')}, this code reads "
            f"{FORMAT_VERSION}; prepare the folder again"
        )
    return manifest


@dataclasses.dataclass(frozen=True)
class DatasetInfo:
    """An opened dataset folder.

    `datasets` maps a dataset's name to its spec; `shards[name][split]` lists {"file", "bytes",
    "records", "sha256"} and `counts[name][split]` is {"episodes", "transitions", "records"}.
    """

    path: pathlib.Path
    manifest: dict[str, Any]
    datasets: dict[str, DatasetSpec]
    counts: dict[str, dict[str, dict[str, int]]]
    shards: dict[str, dict[str, list[dict[str, Any]]]]

    @property
    def splits(self) -> dict[str, dict[str, int]]:
        """Totals of each split over all datasets: {"episodes", "transitions", "records"}."""
        return self.manifest["splits"]

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C); raises DataError where the datasets of the folder differ."""
        return self._common("image_shape", lambda spec: spec.image_shape)

    @property
    def action(self) -> ActionSpec | None:
        """The action spec (None: video only); raises DataError where the datasets differ."""
        return self._common("action", lambda spec: spec.action)

    def _common(self, what: str, get) -> Any:
        values = {name: get(spec) for name, spec in self.datasets.items()}
        first = next(iter(values.values()))
        if any(value != first for value in values.values()):
            raise DataError(f"{self.path}: datasets differ in {what}: {values}; name one of them")
        return first

    def spec(self, name: str) -> DatasetSpec:
        """The spec of one dataset; raises DataError listing those that exist."""
        if name not in self.datasets:
            raise DataError(
                f"{self.path} holds no dataset {name!r}; it holds: {', '.join(self.datasets)}"
            )
        return self.datasets[name]

    def episodes(self, name: str, split: str) -> list[dict[str, Any]]:
        """One dict per episode of a split, in record order: episode, length, source,
        episode_return, and what the reader knew of it, `language` first of all.

        Raises DataError for a missing split and for a list that is not there or damaged.
        """
        self.shard_paths(name, split)
        file = episodes_file(self.path, name, split)
        try:
            return [json.loads(line) for line in file.read_text().splitlines()]
        except (OSError, json.JSONDecodeError) as error:
            raise DataError(
                f"{file}: cannot read the list of episodes ({error}); prepare the folder again"
            ) from error

    def shard_paths(self, name: str, split: str) -> list[pathlib.Path]:
        """The shards of one split, in record order.

        Raises DataError for a missing split, an empty one, and a shard that is missing or not of
        its recorded size (cheap; `prepare validate` compares hashes).
        """
        self.spec(name)
        if split not in self.shards[name]:
            splits = ", ".join(self.shards[name])
            raise DataError(f"dataset {name} has no split {split!r}; it has: {splits}")
        if not self.counts[name][split]["records"]:
            raise DataError(
                f"dataset {name}, split {split!r} is empty; collect more episodes or use another "
                "split"
            )
        paths = []
        for shard in self.shards[name][split]:
            file = dataset_folder(self.path, name) / shard["file"]
            if not file.is_file():
                raise DataError(f"{file}: shard is missing; prepare the folder again")
            size = file.stat().st_size
            if size != shard["bytes"]:
                raise DataError(
                    f"{file}: shard has {size} bytes, the manifest says {shard['bytes']}; it is "
                    "truncated or damaged, prepare the folder again"
                )
            paths.append(file)
        return paths


def open_dataset(path: str | pathlib.Path) -> DatasetInfo:
    """Opens a dataset folder: reads its manifest, no records. Raises as read_manifest does."""
    manifest = read_manifest(path)
    entries = manifest["datasets"]
    return DatasetInfo(
        path=pathlib.Path(path),
        manifest=manifest,
        datasets={name: DatasetSpec.from_json(entry["spec"]) for name, entry in entries.items()},
        counts={name: entry["splits"] for name, entry in entries.items()},
        shards={name: entry["shards"] for name, entry in entries.items()},
    )

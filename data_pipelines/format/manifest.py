"""manifest.json: what a dataset folder holds. Written last: a folder with one is complete."""

from __future__ import annotations

import dataclasses
import hashlib
import pathlib
import stat
from typing import Annotated, Any, NotRequired, TypedDict

import msgspec

from data_pipelines.errors import DataError
from data_pipelines.format.layout import episodes_file, shard_file
from data_pipelines.format.spec import ActionSpec, DatasetSpec
from data_pipelines.names import check_name
from data_pipelines.system_errors import system_error
from data_pipelines.typed_json import as_type, read_json, read_json_lines

FORMAT_VERSION = 1
FILE_NAME = "manifest.json"
AGAIN = "prepare the folder again"

Count = Annotated[int, msgspec.Meta(ge=0, le=2**62)]


class Shard(TypedDict):
    """One file of records."""

    file: str
    bytes: Count
    records: Count
    sha256: str


class Counts(TypedDict):
    """What a split holds."""

    episodes: Count
    transitions: Count
    records: Count


class Leakage(TypedDict):
    """What the search for frames in two splits found; see conversion.leakage."""

    windows: Count
    shared_starts: Count
    leaks: NotRequired[list[str]]


class Missing(TypedDict):
    """How much of the source could not be used, in episodes; estimated where not all are known."""

    episodes: Count
    share: float
    estimated: NotRequired[bool]


class Language(TypedDict):
    """How many recordings have a field for text, and how many of those are empty."""

    recordings: Count
    empty: Count


class PassedOver(TypedDict):
    """Files of one suffix that the reader does not read."""

    files: Count
    example: str


class Facts(TypedDict):
    """What stands in a manifest beside the datasets: how they were made, and totals.

    skipped: how many per reason; skipped_items: [name, reason, detail] each. recordings: where
    several datasets show the same ones. Folders of older versions lack some of these.
    """

    recipe: str
    options: dict[str, Any]
    episodes: Count
    transitions: Count
    splits: dict[str, Any]
    recordings: NotRequired[Count]
    mixture: NotRequired[dict[str, Count]]
    skipped: NotRequired[dict[str, Count]]
    skipped_items: NotRequired[list[Annotated[list[str], msgspec.Meta(min_length=3)]]]
    missing: NotRequired[Missing]
    language: NotRequired[Language]
    empty_datasets: NotRequired[list[str]]
    passed_over: NotRequired[dict[str, PassedOver]]
    sources: NotRequired[dict[str, Any]]
    leakage_check: NotRequired[Leakage]
    content_hash: NotRequired[str]


class _Entry(TypedDict):
    """One dataset in the manifest; its parts are parsed one by one, to name what does not fit."""

    spec: dict[str, Any]
    splits: dict[str, Any]
    shards: dict[str, Any]


class Episode(TypedDict):
    """One line of a list of episodes; further keys are what the reader knew of it."""

    episode: Count
    length: Annotated[int, msgspec.Meta(ge=2, le=2**31 - 1)]
    source: str
    episode_return: float


def file_hash(path: pathlib.Path) -> str:
    """sha256 of a file; raises OSError."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def regular_file(file: pathlib.Path, what: str) -> int:
    """Its size in bytes; DataError unless `file`, the `what` of a split, is a file."""
    try:
        status = file.stat()
    except FileNotFoundError:
        raise DataError(f"{file}: {what} is missing; {AGAIN}") from None
    except OSError as error:
        raise DataError(f"{file}: {system_error(error.strerror)}") from error
    if not stat.S_ISREG(status.st_mode):  # a pipe would be waited for
        raise DataError(f"{file}: {what} is no regular file; {AGAIN}")
    return status.st_size


def read_manifest(path: str | pathlib.Path) -> dict[str, Any]:
    """The manifest of a folder, as it stands in the file, after checking all of it.

    Raises DataError if there is none or it is of another format, and for names, types, specs,
    counts and lists of shards that do not fit.
    """
    file = pathlib.Path(path) / FILE_NAME
    remedy = "make one with `python -m data_pipelines.prepare <dataset> --out=DIR`"
    try:
        if not file.parent.is_dir():
            raise DataError(f"{file.parent}: no such dataset folder; {remedy}")
        if not file.is_file():
            raise DataError(f"{file}: no manifest, so this is no finished dataset folder; {remedy}")
    except OSError as error:  # no permission, a name too long, a disk that fails
        raise DataError(f"{file}: {system_error(error.strerror)}") from error
    manifest = read_json(file, dict[str, Any], remedy=AGAIN)
    version = manifest.get("format_version")
    if version != FORMAT_VERSION:
        raise DataError(
            f"{file}: format_version {version!r}, this code reads {FORMAT_VERSION}; {AGAIN}"
        )
    as_type(manifest, Facts, where=str(file), remedy=AGAIN)
    _by_split(manifest["splits"], Counts, f"{file}, splits")
    if not isinstance(manifest.get("datasets"), dict) or not manifest["datasets"]:
        raise DataError(f"{file}: field `datasets` holds none; {AGAIN}")
    for name, entry in manifest["datasets"].items():
        _entry(file, name, entry)
    return manifest


@dataclasses.dataclass(frozen=True)
class DatasetInfo:
    """An opened dataset folder.

    `datasets` maps a dataset's name to its spec; `shards[name][split]` lists its shards in record
    order and `counts[name][split]` says what they hold. `manifest` is the file's content: Facts,
    and whatever else stands there.
    """

    path: pathlib.Path
    manifest: dict[str, Any]
    datasets: dict[str, DatasetSpec]
    counts: dict[str, dict[str, Counts]]
    shards: dict[str, dict[str, list[Shard]]]

    @property
    def splits(self) -> dict[str, Counts]:
        """Totals of each split over all datasets."""
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
        regular_file(file, "list of episodes")
        listed = []
        for number, facts in enumerate(read_json_lines(file, dict[str, Any], remedy=AGAIN), 1):
            as_type(facts, Episode, where=f"{file}, entry {number}", remedy=AGAIN)
            listed.append(facts)
        expected = self.counts[name][split]["episodes"]
        if len(listed) != expected:
            raise DataError(
                f"{file}: this list of episodes does not fit the index and the manifest: it has "
                f"{len(listed)} episodes, they have {expected}; {AGAIN}"
            )
        return listed

    def shard_paths(self, name: str, split: str) -> list[pathlib.Path]:
        """The shards of one split, in record order.

        Raises DataError for a missing split, an empty one, shards that hold another number of
        records, and a shard that is missing or not of its recorded size (cheap; `prepare validate`
        compares hashes).
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
        held = sum(shard["records"] for shard in self.shards[name][split])
        if held != self.counts[name][split]["records"]:
            raise DataError(
                f"{self.path / FILE_NAME}, dataset {name!r}, split {split!r}: "
                f"{self.counts[name][split]['records']} records, its shards hold {held}; {AGAIN}"
            )
        for shard in self.shards[name][split]:
            file = shard_file(self.path, name, shard["file"])
            size = regular_file(file, "shard")
            if size != shard["bytes"]:
                raise DataError(
                    f"{file}: shard has {size} bytes, the manifest says {shard['bytes']}; it is "
                    f"truncated or damaged, {AGAIN}"
                )
            paths.append(file)
        return paths


def open_dataset(path: str | pathlib.Path) -> DatasetInfo:
    """Opens a dataset folder: reads its manifest, no records. Raises as read_manifest does."""
    manifest = read_manifest(path)
    file = pathlib.Path(path) / FILE_NAME
    entries = {name: _entry(file, name, entry) for name, entry in manifest["datasets"].items()}
    return DatasetInfo(
        path=file.parent,
        manifest=manifest,
        datasets={name: spec for name, (spec, _) in entries.items()},
        counts={name: entry["splits"] for name, (_, entry) in entries.items()},
        shards={name: entry["shards"] for name, (_, entry) in entries.items()},
    )


def _entry(file: pathlib.Path, name: str, data: Any) -> tuple[DatasetSpec, _Entry]:
    where = f"{file}, dataset {name!r}"
    entry = as_type(data, _Entry, where=where, remedy=AGAIN)
    spec = DatasetSpec.from_json(entry["spec"], where=f"{where}, spec")
    if spec.name != name:
        raise DataError(f"{where}: its spec is called {spec.name!r}; {AGAIN}")
    if entry["splits"].keys() != entry["shards"].keys():
        raise DataError(
            f"{where}: counts of splits {sorted(entry['splits'])}, shards of "
            f"{sorted(entry['shards'])}; {AGAIN}"
        )
    counts = _by_split(entry["splits"], Counts, f"{where}, splits")
    shards = _by_split(entry["shards"], list[Shard], f"{where}, shards")
    for split, files in shards.items():
        for shard in files:
            check_name(shard["file"], f"{where}, split {split!r}: shard")
    return spec, _Entry(spec=entry["spec"], splits=counts, shards=shards)


def _by_split(data: dict[str, Any], kind: Any, where: str) -> dict[str, Any]:
    return {
        check_name(split, f"{where}: split"): as_type(
            value, kind, where=f"{where}, {split}", remedy=AGAIN
        )
        for split, value in data.items()
    }

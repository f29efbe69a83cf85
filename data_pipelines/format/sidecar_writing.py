"""Writing sidecars: block by block, by several processes, whole or not at all.

    write_sidecar("text", info, "basic", "train", embeddings, kind="text", alignment="episode")

The rows of a split are cut into blocks. A block that is done is one file below .parts; when all are
there, they are put together, sidecar.json is written, and .parts goes. Killed at any instant, the
same calls go on with the blocks that are missing. Processes that share a folder take every n-th
block, and whoever finds all of them puts them together.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import pathlib
import shutil
import zipfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO

import numpy as np

from data_pipelines.errors import DataError
from data_pipelines.format.manifest import DatasetInfo, file_hash
from data_pipelines.format.sidecar_manifest import (
    AGAIN,
    FILE_NAME,
    FORMAT,
    TABLES,
    Facts,
    RowType,
    check_facts,
    content_hash,
    read_facts,
    row_dtype,
)
from data_pipelines.format.sidecars import (
    Sidecar,
    open_sidecar,
    sidecar_folder,
    split_episodes,
    split_fingerprint,
)
from data_pipelines.typed_json import as_type, read_json
from data_pipelines.whole_files import whole_file

BLOCK_ROWS = 2048
_PARTS, _PLAN = ".parts", "plan.json"


def write_sidecar(
    folder: str | pathlib.Path,
    info: DatasetInfo,
    dataset: str,
    split: str,
    values: Any,
    *,
    kind: str,
    alignment: str,
    gap: int | None = None,
    made_by: Mapping[str, Any] | None = None,
) -> Sidecar:
    """Writes arrays that are at hand, unless they are there.

    Args:
      values: (N, ...), or {name: (N, ...)}, one row per frame, transition or episode in the order
        of the split's episodes; a single array bears the name of `kind`.
      kind, alignment, gap, made_by: see sidecars.Facts.

    Raises:
      DataError: as `SidecarWriter`; other numbers of rows than the split has.
    """
    arrays = dict(values) if isinstance(values, Mapping) else {kind: values}
    arrays = {name: np.asanyarray(array) for name, array in arrays.items()}
    types = {name: (array.dtype, array.shape[1:]) for name, array in arrays.items()}
    writer = SidecarWriter(
        folder,
        info,
        dataset,
        split,
        kind=kind,
        alignment=alignment,
        arrays=types,
        gap=gap,
        made_by=made_by,
    )
    for name, array in arrays.items():
        if not array.ndim or len(array) != writer.facts.rows:
            raise DataError(
                f"{name} has shape {array.shape}; dataset {dataset}, split {split!r} has "
                f"{writer.facts.rows} {alignment}s, give one row for each"
            )
    for block in writer.missing():
        writer.write(block, {name: array[block] for name, array in arrays.items()})
    return writer.finish()


class SidecarWriter:
    """Writes the sidecar of one split in blocks of rows.

    Args:
      folder, info, dataset, split: where to, and of which records.
      kind, alignment, gap, made_by: see sidecars.Facts.
      arrays: name -> (type, shape) of a row.

    Raises:
      DataError: no row, types that are no numbers, or a folder that holds (a part of) a sidecar of
        another kind, content or origin.
    """

    def __init__(
        self,
        folder: str | pathlib.Path,
        info: DatasetInfo,
        dataset: str,
        split: str,
        *,
        kind: str,
        alignment: str,
        arrays: Mapping[str, tuple[Any, tuple[int, ...]]],
        gap: int | None = None,
        made_by: Mapping[str, Any] | None = None,
        block_rows: int = BLOCK_ROWS,
    ):
        self.place = sidecar_folder(folder, dataset, split)
        self._folder, self._info = folder, info
        self._parts = self.place / _PARTS
        self._episodes = split_episodes(info, dataset, split)
        facts = Facts(
            kind=kind,
            dataset=dataset,
            split=split,
            data=split_fingerprint(info, dataset, split),
            alignment=alignment,
            gap=gap,
            rows=0,
            arrays={name: _row_type(*given) for name, given in arrays.items()},
            made_by=json.loads(json.dumps(dict(made_by or {}))),
        )
        check_facts(facts, str(self.place))
        self._offsets = self._episodes.offsets(alignment, gap)
        self.facts = dataclasses.replace(facts, rows=int(self._offsets[-1]))
        if not self.facts.rows:
            raise DataError(
                f"dataset {dataset}, split {split!r} holds no transition {gap} frames apart; leave "
                "it out, or give a smaller gap"
            )
        self._block_rows = block_rows
        self._planned = False  # whether the plan that lies there is known to be this one
        self._check_place()

    @property
    def blocks(self) -> list[slice]:
        """All blocks, as rows."""
        starts = range(0, self.facts.rows, self._block_rows)
        return [slice(a, min(a + self._block_rows, self.facts.rows)) for a in starts]

    @property
    def finished(self) -> bool:
        """Whether the sidecar is there; what of it is whole `open_sidecar` tells."""
        return (self.place / FILE_NAME).is_file()

    def missing(self, shard: int = 0, shards: int = 1) -> Iterator[slice]:
        """Blocks that nobody has written yet, as rows: every `shards`-th, from number `shard` on.

        Damaged ones count as missing. Ends as soon as the sidecar is finished by another process.
        """
        for block in self.blocks[shard::shards]:
            if self.finished:
                return
            if not self._read(block):
                yield block

    def write(self, block: slice, values: Mapping[str, np.ndarray]) -> None:
        """Writes the rows of a block, {array: (rows, ...)}; durable when it returns.

        Raises DataError for other arrays, types or shapes than were announced, and for a disk that
        does not take them.
        """
        arrays: dict[str, Any] = {
            name: np.ascontiguousarray(values[name]) for name in self.facts.arrays
        }
        if not self._fits(block, arrays):
            found = {name: (array.dtype.str, array.shape) for name, array in arrays.items()}
            raise DataError(
                f"{self.place}: rows {block.start} to {block.stop} are {found}; announced were "
                f"{self.facts.arrays}"
            )
        self._plan()
        _write(self._part(block), self._parts, lambda stream: np.savez(stream, **arrays))

    def finish(self) -> Sidecar | None:
        """Puts the blocks together, if all are there: the sidecar, opened; else None.

        Raises DataError for a block that is damaged (it is removed: the same calls write it again),
        and for a disk that does not take the files.
        """
        with self._alone() as there_are_parts:
            if there_are_parts and not self.finished and not self.count_missing():
                self._assemble()
        if not self.finished:
            return None
        if self._parts.is_dir():
            shutil.rmtree(self._parts, ignore_errors=True)
        return self.open()

    def open(self, *, verify: bool = False) -> Sidecar:
        """The finished sidecar; see `open_sidecar`."""
        facts = self.facts
        return open_sidecar(self._folder, self._info, facts.dataset, facts.split, verify=verify)

    def remove(self) -> None:
        """Takes a finished sidecar away, because it is damaged, to write it again."""
        for name in (FILE_NAME, *(f"{name}.npy" for name in (*self.facts.arrays, *TABLES))):
            (self.place / name).unlink(missing_ok=True)
        self._planned = False

    def count_missing(self) -> int:
        """How many blocks nobody has written yet."""
        return sum(not self._part(block).is_file() for block in self.blocks)

    def _check_place(self) -> None:
        """Compares what lies in the folder with what is to be written."""
        if self.finished:
            found, _ = read_facts(self.place)
            self._compare(found, self._block_rows)
        elif (self._parts / _PLAN).is_file():
            self._check_plan()

    def _plan(self) -> None:
        """Leaves word of what the parts are of, before the first of them."""
        if self._planned:
            return
        plan = self._parts / _PLAN
        if not plan.is_file():
            values = dataclasses.asdict(self.facts) | {"block_rows": self._block_rows}
            values["sha256"] = content_hash(json.loads(json.dumps(values)))
            text = json.dumps(values, indent=1) + "\n"
            _write(plan, self._parts, lambda stream: stream.write(text.encode()))
        self._check_plan()  # Another process may have written it at the same time.
        self._planned = True

    def _check_plan(self) -> None:
        plan = self._parts / _PLAN
        remedy = f"remove {self._parts} and begin again"
        values = read_json(plan, dict[str, Any], remedy=remedy)
        if values.get("sha256") != content_hash(values):
            raise DataError(f"{plan}: its fields are not those that were written; {remedy}")
        found = as_type(values, Facts, where=str(plan), remedy=remedy)
        self._compare(found, values.get("block_rows"))

    def _compare(self, found: Facts, block_rows: Any) -> None:
        mine, other = dataclasses.asdict(self.facts), dataclasses.asdict(found)
        mine |= {"block_rows": self._block_rows} | mine.pop("made_by")
        other |= {"block_rows": block_rows} | other.pop("made_by")
        differ = [key for key in mine | other if mine.get(key) != other.get(key)]
        if differ:
            told = ", ".join(
                f"{key} {str(other.get(key))[:24]} instead of {str(mine.get(key))[:24]}"
                for key in differ
            )
            raise DataError(
                f"{self.place} holds a sidecar of another model, dataset or kind ({told}); give "
                "another folder, or remove that one"
            )

    def _part(self, block: slice) -> pathlib.Path:
        return self._parts / f"{block.start // self._block_rows:08d}.npz"

    def _fits(self, block: slice, arrays: Mapping[str, np.ndarray]) -> bool:
        count = block.stop - block.start
        return arrays.keys() == self.facts.arrays.keys() and all(
            (arrays[name].dtype.str, arrays[name].shape) == (row.dtype, (count, *row.shape))
            for name, row in self.facts.arrays.items()
        )

    def _read(self, block: slice) -> dict[str, np.ndarray]:
        """The arrays of a block, {} if it is missing or damaged; zip checks what it reads."""
        try:
            with np.load(self._part(block), allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
        except (OSError, ValueError, EOFError, KeyError, MemoryError, zipfile.BadZipFile):
            return {}
        return arrays if self._fits(block, arrays) else {}

    @contextlib.contextmanager
    def _alone(self) -> Iterator[bool]:
        """One process at a time; False where there are no parts, as another has put them together."""
        try:
            lock = open(self._parts / "lock", "a")
        except FileNotFoundError:
            yield False
            return
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield self._parts.is_dir()

    def _assemble(self) -> None:
        """Puts all blocks together, array by array; the manifest last."""
        files = {}
        tables = {"episodes": self._episodes.numbers, "offsets": self._offsets}
        fills: dict[str, Callable[[BinaryIO], Any]] = {
            name: lambda stream, name=name: self._stream(stream, name) for name in self.facts.arrays
        } | {
            name: lambda stream, table=table: np.save(stream, table)
            for name, table in tables.items()
        }
        for name, fill in fills.items():
            path = self.place / f"{name}.npy"
            _write(path, self._parts, fill)
            files[path.name] = {"bytes": path.stat().st_size, "sha256": file_hash(path)}
        values = {"format": FORMAT} | dataclasses.asdict(self.facts) | {"files": files}
        # As a reader sees it, without Python's tuples.
        values["sha256"] = content_hash(json.loads(json.dumps(values)))
        text = json.dumps(values, indent=1) + "\n"
        _write(self.place / FILE_NAME, self._parts, lambda stream: stream.write(text.encode()))

    def _stream(self, stream: BinaryIO, name: str) -> None:
        """Writes one array as .npy, a block at a time."""
        row = self.facts.arrays[name]
        header = {"descr": row.dtype, "fortran_order": False}
        shape = (self.facts.rows, *row.shape)
        np.lib.format.write_array_header_1_0(stream, header | {"shape": shape})
        for block in self.blocks:
            arrays = self._read(block)
            if not arrays:
                self._part(block).unlink(missing_ok=True)
                raise DataError(
                    f"{self._part(block)}: this part of a sidecar was damaged and is removed; run "
                    "the same command again, which writes it anew"
                )
            stream.write(arrays[name].tobytes())


def _row_type(dtype: Any, shape: tuple[int, ...]) -> RowType:
    dtype = np.dtype(dtype)
    row = RowType(dtype.newbyteorder("<").str if dtype.kind in "biuf" else dtype.str, tuple(shape))
    row_dtype(row, "a sidecar's array")
    return row


def _write(path: pathlib.Path, scratch: pathlib.Path, fill: Callable[[BinaryIO], Any]) -> None:
    """Writes a file by way of `scratch`, durable and at once: a kill leaves the old one or the new."""
    try:
        scratch.mkdir(parents=True, exist_ok=True)
        with whole_file(path, scratch=scratch, durable=True) as unfinished:
            with open(unfinished, "wb") as stream:
                fill(stream)
    except OSError as error:
        raise DataError(
            f"{path}: cannot be written ({error.strerror or error}); mend the storage or give "
            f"another folder, then {AGAIN}"
        ) from error

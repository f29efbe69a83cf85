"""Where numbers go: JSONL always, TensorBoard event files, Weights & Biases when asked."""

import dataclasses
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from flexlam_jax.errors import UserError, WorkdirError
from flexlam_jax.files import write_atomically, writing_to
from flexlam_jax.typed_json import parse_json

Row = Mapping[str, Any]
_START = b'{"step": '  # Of every line that a JsonlWriter writes.


class Writer(Protocol):
    def write(self, step: int, values: Row) -> None: ...
    def sync(self) -> None: ...
    def close(self) -> None: ...


class JsonlWriter:
    """One JSON object per line, flushed line by line; keys in the order given."""

    def __init__(self, path: Path):
        self._path = path
        with writing_to(path):
            self._file = open(path, "a")

    def write(self, step: int, values: Row) -> None:
        with writing_to(self._path):
            self._file.write(json.dumps({"step": step, **values}) + "\n")
            self._file.flush()

    def sync(self) -> None:
        """Makes rows as durable as the checkpoint that is about to be written."""
        with writing_to(self._path):
            os.fsync(self._file.fileno())

    def close(self) -> None:
        with writing_to(self._path):  # What a write before could not flush is tried again.
            self._file.close()


@dataclasses.dataclass(frozen=True)
class _Row:
    step: int


def read_rows(path: Path) -> list[tuple[int, bytes]]:
    """(step, line) of every row; none for a missing file. A half-written last line is no row.

    Raises:
      WorkdirError: a line that is no row, with its number: then this is not what a run wrote.
    """
    if not path.exists():
        return []
    *lines, half = path.read_bytes().split(b"\n")
    remedy = "restore the file, or move it elsewhere: the run continues without it"
    rows = [
        (
            parse_json(
                line, _Row, where=f"{path}, line {number},", remedy=remedy, error=WorkdirError
            ).step,
            line + b"\n",
        )
        for number, line in enumerate(lines, 1)
    ]
    if not _START.startswith(half[: len(_START)].rstrip(b"\0")):
        raise WorkdirError(
            f"{path}, line {len(lines) + 1}, is damaged: it is not the beginning of a row; {remedy}"
        )
    return rows


def truncate_jsonl(path: Path, step: int) -> None:
    """Drops rows after `step` and a half-written last line, so that a resumed run writes them anew.

    Raises as `read_rows`; then nothing is changed.
    """
    if path.exists():
        write_atomically(path, b"".join(line for at, line in read_rows(path) if at <= step))


class TensorBoardWriter:
    """Scalar event files, by TensorBoard's own record writer; TensorFlow is never imported."""

    def __init__(self, directory: Path, start_step: int = 0):
        from tensorboard.compat.proto import event_pb2
        from tensorboard.summary.writer.record_writer import RecordWriter

        self._event = event_pb2.Event
        self._path = directory / f"events.out.tfevents.{time.time():.6f}.{os.getpid()}"
        with writing_to(self._path):
            self._records = RecordWriter(open(self._path, "wb"))
        self._record(file_version="brain.Event:2")
        if start_step:
            # Tells TensorBoard to forget what a killed run wrote from here on.
            self._record(
                step=start_step + 1,
                session_log=event_pb2.SessionLog(status=event_pb2.SessionLog.START),
            )

    def write(self, step: int, values: Row) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary

        scalars = [
            Summary.Value(tag=tag, simple_value=value)
            for tag, value in values.items()
            if isinstance(value, (int, float))
        ]
        self._record(step=step, summary=Summary(value=scalars))

    def _record(self, **fields: Any) -> None:
        event = self._event(wall_time=time.time(), **fields)
        with writing_to(self._path):
            self._records.write(event.SerializeToString())
            self._records.flush()

    def sync(self) -> None:
        with writing_to(self._path):
            self._records.flush()

    def close(self) -> None:
        with writing_to(self._path):
            self._records.close()


class WandbWriter:
    """Weights & Biases, imported only here. One run id per work directory, resumed on restart."""

    def __init__(self, project: str, directory: Path, config: Mapping[str, Any]):
        try:
            import wandb
        except ImportError:
            raise UserError(
                "config.log.wandb is set but wandb is not installed; "
                "pip install 'flexlam_jax[wandb]' or unset it."
            ) from None
        id_file = directory / "wandb_id.txt"
        if not id_file.exists():
            id_file.write_text(wandb.util.generate_id())
        self._run = wandb.init(
            project=project,
            dir=directory,
            id=id_file.read_text().strip(),
            resume="allow",
            config=dict(config),
            name=directory.name,
        )

    def write(self, step: int, values: Row) -> None:
        self._run.log(dict(values), step=step)

    def sync(self) -> None:
        pass

    def close(self) -> None:
        self._run.finish()

"""Where numbers go: JSONL always, TensorBoard event files, Weights & Biases when asked."""

from collections.abc import Mapping
import json
import os
from pathlib import Path
import time
from typing import Any, Protocol

from flexlam_jax.errors import UserError

Row = Mapping[str, Any]


class Writer(Protocol):
    def write(self, step: int, values: Row) -> None: ...
    def sync(self) -> None: ...
    def close(self) -> None: ...


class JsonlWriter:
    """One JSON object per line, flushed line by line; keys in the order given."""

    def __init__(self, path: Path):
        self._file = open(path, "a")

    def write(self, step: int, values: Row) -> None:
        self._file.write(json.dumps({"step": step, **values}) + "\n")
        self._file.flush()

    def sync(self) -> None:
        """Makes rows as durable as the checkpoint that is about to be written."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


def truncate_jsonl(path: Path, step: int) -> None:
    """Drops rows after `step` and a half-written last line, so that a resumed run writes them anew.

    The new file replaces the old one in one rename.
    """
    if not path.exists():
        return
    kept = []
    for line in path.read_text().splitlines(keepends=True):
        try:
            if not line.endswith("\n") or json.loads(line)["step"] > step:
                break
        except (ValueError, KeyError):
            break
        kept.append(line)
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text("".join(kept))
    os.replace(temporary, path)


class TensorBoardWriter:
    """Scalar event files, by TensorBoard's own record writer; TensorFlow is never imported."""

    def __init__(self, directory: Path, start_step: int = 0):
        from tensorboard.compat.proto import event_pb2
        from tensorboard.summary.writer.record_writer import RecordWriter
        self._event = event_pb2.Event
        name = f"events.out.tfevents.{time.time():.6f}.{os.getpid()}"
        self._records = RecordWriter(open(directory / name, "wb"))
        self._record(file_version="brain.Event:2")
        if start_step:
            # Tells TensorBoard to forget what a killed run wrote from here on.
            self._record(step=start_step + 1, session_log=event_pb2.SessionLog(
                status=event_pb2.SessionLog.START))

    def write(self, step: int, values: Row) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary
        scalars = [Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()
                   if isinstance(value, (int, float))]
        self._record(step=step, summary=Summary(value=scalars))

    def _record(self, **fields: Any) -> None:
        event = self._event(wall_time=time.time(), **fields)
        self._records.write(event.SerializeToString())
        self._records.flush()

    def sync(self) -> None:
        self._records.flush()

    def close(self) -> None:
        self._records.close()


class WandbWriter:
    """Weights & Biases, imported only here. One run id per work directory, resumed on restart."""

    def __init__(self, project: str, directory: Path, config: Mapping[str, Any]):
        try:
            import wandb
        except ImportError:
            raise UserError("config.log.wandb is set but wandb is not installed; "
                            "pip install 'flexlam_jax[wandb]' or unset it.") from None
        id_file = directory / "wandb_id.txt"
        if not id_file.exists():
            id_file.write_text(wandb.util.generate_id())
        self._run = wandb.init(project=project, dir=directory, id=id_file.read_text().strip(),
                               resume="allow", config=dict(config), name=directory.name)

    def write(self, step: int, values: Row) -> None:
        self._run.log(dict(values), step=step)

    def sync(self) -> None:
        pass

    def close(self) -> None:
        self._run.finish()

"""The work directory of a run: one writer at a time, one config for good.

config.json        the config, as resolved
run.json           how each (re)start was made: command, git revision, versions, devices;
                   and hashes of the data that the run is trained on
metrics.jsonl      a pure function of config and code: equal runs write equal bytes
performance.jsonl  timing and memory, different every time
events.out.*       TensorBoard
checkpoints/       see checkpoint.py; and what the steps are read with, as a policy's table of sentences
compilation_cache/ compiled programs, so that a restart trains again in seconds; may be deleted
"""

import dataclasses
import json
import logging
import re
import secrets
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flexlam_jax.checkpoints.files import FOLDER
from flexlam_jax.errors import WorkdirError
from flexlam_jax.files import write_atomically
from flexlam_jax.output_folder import RUN, Claim
from flexlam_jax.parallel import distributed
from flexlam_jax.training.metric_writers import read_rows
from flexlam_jax.training.run_start import describe_start
from flexlam_jax.typed_json import read_json

_log = logging.getLogger(__name__)

# Settings that may change when a run is continued: where and how fast it runs, what it writes, how
# it ends up on disk. Everything else decides the numbers.
FREE = (
    r"log\..*",
    r"checkpoint\..*",
    r"eval\..*",
    r"profile\..*",
    r"mesh\..*",
    r"peak_tflops",
    r"watchdog_seconds",
    r"compilation_cache",
    r"data\.(path|threads|prefetch|workers)",
    r"model\.text\.path",
)
# With these schedules a longer run begins like the shorter one; a cosine depends on its end.
_EXTENSIBLE = ("constant", "wsd")


class Workdir:
    """A context manager that owns the directory while it is open.

    Only process 0 locks and writes. The others check that they see the same directory, because
    every process writes its own part of a checkpoint; errors of one are raised by all.
    """

    def __init__(
        self,
        path: Any,
        config: Mapping[str, Any],
        data: Mapping[str, str] | None = None,
        defaults: Mapping[str, Any] | None = None,
        beside: Mapping[str, bytes] | None = None,
    ):
        """Args: `path`; `config` a plain JSON-able mapping; `data` the `data_hashes` of `fit`;
        `defaults` what keys are that a config, like those of before they existed, leaves out;
        `beside` as `fit` takes it.

        Raises:
          WorkdirError: `path` is nowhere that a run may write; see `output_folder.check`.
        """
        self._claim = Claim(path, RUN)
        if "://" in str(path):
            raise WorkdirError(
                f"--workdir={path} is a bucket URL; logs need a mounted path (gcsfuse, s3fs, NFS)."
            )
        self.path = Path(path).expanduser().absolute()
        self.config = json.loads(json.dumps(config))
        self._defaults = flatten(json.loads(json.dumps(defaults or {})))
        self._data = None if data is None else dict(data)
        self._beside = dict(beside or {})

    def __enter__(self) -> "Workdir":
        try:
            distributed.together("work directory", self._open)
            self._check_shared()
            distributed.together("run.json", self._write)
        except BaseException:
            self._claim.release()
            raise
        return self

    def __exit__(self, *exc_info: Any) -> None:
        self._claim.release()

    def file(self, name: str) -> Path:
        return self.path / name

    def _open(self) -> None:
        if distributed.process_index() == 0:
            self._claim.__enter__()
            self._check_run()

    def _check_shared(self) -> None:
        """Process 0 writes a random word into the directory; every other one must read it there."""
        if distributed.process_count() == 1:
            return
        word, file = secrets.token_hex(8), self.path / ".shared"
        if distributed.process_index() == 0:
            file.write_text(word)
        word = distributed.broadcast("word in the work directory", word)
        seen = distributed.process_index() == 0 or _wait_for(file, word)
        blind = distributed.share("work directory seen", "" if seen else socket.gethostname())
        if distributed.process_index() == 0:
            file.unlink(missing_ok=True)
        if blind:
            names = ", ".join(f"process {index} on {host}" for index, host in blind.items())
            raise WorkdirError(
                f"work directory {self.path}, as process 0 sees it, is not visible to {names}; "
                "every process must see the same directory (NFS, Filestore, gcsfuse)."
            )

    def _check_run(self) -> None:
        """Raises WorkdirError if the directory holds a run with other settings or on other data.

        What has not saved a step yet may become another run: its first start failed.
        """
        there, began = self._read(), self._began()
        problem = self._other_config() or self._other_data(there.data)
        if problem and began:
            raise WorkdirError(problem)
        if problem:
            _log.info("the run in %s never saved a step; it takes the new settings", self.path)

    def _read(self) -> "RunFile":
        if not self.file("run.json").exists():
            return RunFile(starts=[])
        return read_json(
            self.file("run.json"),
            RunFile,
            error=WorkdirError,
            remedy="restore it or give another --workdir",
        )

    def _began(self) -> bool:
        """Whether the run here saved a step, or wrote rows up to where it must have saved one.

        Rows before that are lost anyway: what saved nothing starts again at step 0.
        """
        saved = [
            child
            for folder in (FOLDER, f"{FOLDER}.damaged")
            if self.file(folder).is_dir()
            for child in self.file(folder).iterdir()
            if child.name.split(".")[0].isdigit()
        ]
        last = max(
            (
                step
                for name in ("metrics.jsonl", "performance.jsonl")
                for step, _ in read_rows(self.file(name))
            ),
            default=0,
        )
        every = flatten(self._old_config()).get("checkpoint.every")
        first = max(1, every // 2) if isinstance(every, int) else 1
        return bool(saved) or last >= first

    def _old_config(self) -> dict[str, Any]:
        """config.json, {} where there is none."""
        if not self.file("config.json").exists():
            return {}
        return read_json(
            self.file("config.json"),
            dict[str, Any],
            error=WorkdirError,
            remedy="restore it or give another --workdir",
        )

    def _other_config(self) -> str:
        """What differs from the run that is here and decides its numbers, as a message."""
        old, new = flatten(self._old_config()), flatten(self.config)
        if not old:
            return ""
        free = list(FREE)
        if new.get("optimizer.schedule") in _EXTENSIBLE:
            free.append("total_steps")
        if "model.image_size" in new:  # It decides; a data.image_size that contradicts is refused.
            free.append(r"data\.image_size")
        changed = [
            key
            for key in sorted(old.keys() | new.keys())
            if self._value(old, key) != self._value(new, key)
            and not re.fullmatch("|".join(free), key)
        ]
        return _difference(
            f"work directory {self.path} holds a run with another config:",
            [
                f"{key}: {self._value(old, key)} there, {self._value(new, key)} now"
                for key in changed
            ],
            "Give another --workdir, or the config of the run that is there.",
        )

    def _value(self, flat: Mapping[str, Any], key: str) -> Any:
        return flat.get(key, self._defaults.get(key, "(unset)"))

    def _other_data(self, old: dict[str, str] | None) -> str:
        """Which data have other content than those of the run that is here, as a message."""
        new = self._data
        if old is None or new is None:  # Early versions recorded none.
            return ""
        return _difference(
            f"work directory {self.path} holds a run on other data:",
            [
                f"{key}: sha256 {old.get(key, '(none)')[:16]} there, {new.get(key, '(none)')[:16]} now"
                for key in sorted(old.keys() | new.keys())
                if old.get(key) != new.get(key)
            ],
            "Give another --workdir, or the data of the run that is there (config.data.path).",
        )

    def _write(self) -> None:
        if distributed.process_index() != 0:
            return
        there = self._read()
        for name, content in self._beside.items():
            file = self.file(FOLDER) / name
            # Whoever uses the steps may have added to it, as sentences to a table.
            if not (file.exists() and self._began()):
                write_atomically(file, content)
        write_json(self.file("config.json"), self.config)
        write_json(
            self.file("run.json"),
            {
                "data": there.data if self._data is None else self._data,
                "starts": [*there.starts, describe_start()],
            },
        )


@dataclasses.dataclass(frozen=True)
class RunFile:
    """run.json. `data` is None where a run was given none, or began before it was recorded."""

    starts: list[dict[str, Any]]
    data: dict[str, str] | None = None


def _difference(head: str, lines: list[str], remedy: str) -> str:
    """A message, or "" for no lines."""
    more = [f"  ... and {len(lines) - 20} more"] if len(lines) > 20 else []
    return "\n".join([head, *(f"  {line}" for line in lines[:20]), *more, remedy]) if lines else ""


def _wait_for(file: Path, word: str, seconds: float = 10.0) -> bool:
    """Whether `file` comes to hold `word`: network file systems show new files with a delay."""
    end = time.monotonic() + seconds
    while True:
        try:
            if file.read_text() == word:
                return True
        except OSError:
            pass
        if time.monotonic() > end:
            return False
        time.sleep(0.1)


def write_json(path: Path, value: Any) -> None:
    """Indented and sorted, for people; whole or not at all."""
    write_atomically(path, json.dumps(value, indent=2, sort_keys=True) + "\n")


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": 1}} -> {"a.b": 1}."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat

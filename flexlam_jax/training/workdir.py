"""The work directory of a run: one writer at a time, one config for good.

    config.json        the config, as resolved
    run.json           how each (re)start was made: command, git revision, versions, devices
    metrics.jsonl      a pure function of config and code: equal runs write equal bytes
    performance.jsonl  timing and memory, different every time
    events.out.*       TensorBoard
    checkpoints/       see checkpoint.py
    compilation_cache/ compiled programs, so that a restart trains again in seconds; may be deleted
"""

from collections.abc import Mapping
import datetime
import fcntl
import json
import os
from pathlib import Path
import re
import secrets
import socket
import subprocess
import sys
import time
from typing import Any

import jax

from flexlam_jax.errors import WorkdirError
from flexlam_jax.training import distributed

# Settings that may change when a run is continued: where and how fast it runs, what it writes, how
# it ends up on disk. Everything else decides the numbers.
FREE = (r"log\..*", r"checkpoint\..*", r"eval\..*", r"profile\..*", r"mesh\..*", r"peak_tflops",
        r"watchdog_seconds", r"compilation_cache", r"data\.(path|threads|prefetch|workers)")
# With these schedules a longer run begins like the shorter one; a cosine depends on its end.
_EXTENSIBLE = ("constant", "wsd")


class Workdir:
    """A context manager that owns the directory while it is open.

    Only process 0 locks and writes. The others check that they see the same directory, because
    every process writes its own part of a checkpoint; errors of one are raised by all.
    """

    def __init__(self, path: Any, config: Mapping[str, Any]):
        """Args: `path`; `config` a plain JSON-able mapping."""
        if "://" in str(path):
            raise WorkdirError(f"--workdir={path} is a bucket URL; logs need a mounted path "
                               "(gcsfuse, s3fs, NFS).")
        self.path = Path(path).expanduser().absolute()
        self.config = json.loads(json.dumps(config))
        self._lock = None

    def __enter__(self) -> "Workdir":
        try:
            distributed.together("work directory", self._open)
            self._check_shared()
            distributed.together("run.json", self._write)
        except BaseException:
            self._release()
            raise
        return self

    def __exit__(self, *exc_info: Any) -> None:
        self._release()

    def file(self, name: str) -> Path:
        return self.path / name

    def _open(self) -> None:
        if distributed.process_index() == 0:
            self._acquire()
            self._check_config()

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
                "every process must see the same directory (NFS, Filestore, gcsfuse).")

    def _acquire(self) -> None:
        """Takes an flock, which the kernel drops however the process ends."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = open(self.path / ".lock", "a+")
        except OSError as error:
            raise WorkdirError(f"cannot write to work directory {self.path}: {error.strerror}; "
                               "give another --workdir or mend its permissions.") from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            owner = lock.read().strip() or "another process"
            lock.close()
            raise WorkdirError(f"work directory {self.path} is in use by {owner}; wait for that "
                               "run, stop it, or give another --workdir.") from None
        lock.truncate(0)
        lock.write(f"pid {os.getpid()} on {socket.gethostname()}")
        lock.flush()
        self._lock = lock

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _check_config(self) -> None:
        """Raises WorkdirError if the directory holds a run with other settings."""
        file = self.path / "config.json"
        if not file.exists():
            return
        try:
            old = flatten(json.loads(file.read_text()))
        except ValueError:
            raise WorkdirError(f"{file} is not readable JSON; restore it or give another "
                               "--workdir.") from None
        new = flatten(self.config)
        free = list(FREE)
        if new.get("optimizer.schedule") in _EXTENSIBLE:
            free.append("total_steps")
        changed = [key for key in sorted(old.keys() | new.keys())
                   if old.get(key) != new.get(key) and not re.fullmatch("|".join(free), key)]
        if changed:
            lines = [f"  {key}: {old.get(key, '(unset)')} there, {new.get(key, '(unset)')} now"
                     for key in changed[:20]]
            raise WorkdirError("\n".join(
                [f"work directory {self.path} holds a run with another config:", *lines,
                 *([f"  ... and {len(changed) - 20} more"] if len(changed) > 20 else []),
                 "Give another --workdir, or the config of the run that is there."]))

    def _write(self) -> None:
        if distributed.process_index() != 0:
            return
        try:
            write_json(self.path / "config.json", self.config)
            runs = self.path / "run.json"
            starts = json.loads(runs.read_text())["starts"] if runs.exists() else []
            write_json(runs, {"starts": [*starts, describe_start()]})
        except OSError as error:
            raise WorkdirError(f"cannot write to work directory {self.path}: {error.strerror}; "
                               "give another --workdir or mend its permissions.") from None


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
    """Writes beside and renames, so that a kill leaves the old file or the new one."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n")
    os.replace(temporary, path)


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": 1}} -> {"a.b": 1}."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def describe_start() -> dict[str, Any]:
    """What one would want to know of a start a year later."""
    import flax, numpy, optax, orbax.checkpoint  # noqa: E401  only for their versions
    return {
        "time": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "argv": sys.argv,
        "git": git_revision(),
        "host": socket.gethostname(),
        "python": sys.version.split()[0],
        "versions": {"jax": jax.__version__, "flax": flax.__version__, "optax": optax.__version__,
                     "orbax": orbax.checkpoint.__version__, "numpy": numpy.__version__},
        "devices": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
        "processes": jax.process_count(),
    }


def git_revision() -> str:
    """Commit of this checkout with "+changes" when files differ from it.

    Outside git it is $FLEXLAM_REVISION, which the launchers set on machines that have a copy of the
    checkout only, or "unknown".
    """
    def git(*args: str) -> str:
        return subprocess.run(["git", "-C", str(Path(__file__).parent), *args], check=True,
                              capture_output=True, text=True, timeout=10).stdout.strip()
    try:
        return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain", "-uno")
                                           else "")
    except (OSError, subprocess.SubprocessError):
        return os.environ.get("FLEXLAM_REVISION", "unknown")

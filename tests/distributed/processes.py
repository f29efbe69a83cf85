"""Starts groups of real local processes that join by gloo on 127.0.0.1, for the tests beside."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
# What a launcher sees when another process of the run is gone: our code, or JAX's abort.
LOST = (77, -signal.SIGABRT)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def compilation_cache(folder):
    """Environment in which programs are compiled once for all groups."""
    return {
        "JAX_COMPILATION_CACHE_DIR": str(folder / "cache"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }


class Group:
    """`count` processes of one command; a context manager that leaves none behind."""

    def __init__(self, count, command, *, devices=1, **environment):
        address = f"127.0.0.1:{free_port()}"
        joining = {"COORDINATOR_ADDRESS": address, "NUM_PROCESSES": str(count)}
        # Less optimised programs compile in two thirds of the time.
        flags = os.environ.get("XLA_FLAGS", "") + " --xla_backend_optimization_level=0"
        self.processes = [
            subprocess.Popen(
                [sys.executable, *command],
                cwd=REPO,
                text=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env={
                    **os.environ,
                    "JAX_PLATFORMS": "cpu",
                    "PYTHONPATH": str(REPO),
                    "JAX_NUM_CPU_DEVICES": str(devices),
                    "XLA_FLAGS": flags,
                    **joining,
                    "PROCESS_ID": str(index),
                    **environment,
                },
            )
            for index in range(count)
        ]
        self.output = None

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        for process in self.processes:
            process.kill()
            process.communicate()

    def kill(self, number=signal.SIGKILL, only=None):
        for index, process in enumerate(self.processes):
            if only is None or index == only:
                process.send_signal(number)

    def finish(self, timeout=240):
        """Waits for all; returns their exit codes and keeps what they printed in `output`."""
        end = time.monotonic() + timeout
        self.output = [
            process.communicate(timeout=max(1, end - time.monotonic()))[0]
            for process in self.processes
        ]
        return [process.returncode for process in self.processes]

    def run(self, timeout=240):
        """Waits until all ended well."""
        with self:
            codes = self.finish(timeout)
        assert not any(codes), (codes, self.output)
        return self

    def until(self, condition, timeout=240):
        """Returns when `condition()` holds; fails if a process ends before."""
        end = time.monotonic() + timeout
        while not condition():
            for process in self.processes:
                assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < end, "timed out"
            time.sleep(0.001)


def rows(workdir):
    """Complete rows of metrics.jsonl so far."""
    file = Path(workdir) / "metrics.jsonl"
    return file.read_bytes().count(b"\n") if file.exists() else 0


def wait_for_rows(group, workdir, count):
    group.until(lambda: rows(workdir) >= count)

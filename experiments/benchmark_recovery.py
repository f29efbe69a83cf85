"""Measures how long a killed run takes to train again, and how much it lost. Writes one JSON row.

    python -m experiments.benchmark_recovery --config=experiments/configs/doom.py \\
        --config.data.path=data/doom [--kills=3] [--processes=1]

Starts `experiments.pretrain_lam` in a new work directory and kills it with SIGKILL again and again,
at moments drawn with --seed: every other kill hits a checkpoint that is being written, the others
come anywhere in an interval. `seconds` is from the kill to the first update that the killed run had
not saved, as metrics.jsonl shows it, with everything in between: starting Python, reading data,
restoring, reading the compiled programs that the run kept in its work directory (compiling them
anew with JAX_ENABLE_COMPILATION_CACHE=false). `cpu_seconds` is what the new start used by then
(Linux).
`lost_steps` are the updates that were done and have to be done again; more of them than
`config.checkpoint.every` is an error. The dataset must exist.
"""

if __name__ == "__main__":  # Before the imports, which take seconds.
    from experiments import process

    process.start()

import json
import os
import platform
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import jax
from absl import flags

from experiments import cli
from flexlam_jax.errors import UserError

_CONFIG = cli.define_config("Preset, as for pretrain_lam.")
_KILLS = flags.DEFINE_integer("kills", 3, "How often the run is killed.", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 0, "Of the moments of the kills.")
_PROCESSES = flags.DEFINE_integer("processes", 1, "Local processes of the run.", lower_bound=1)
flags.mark_flags_as_required(["config"])


def main(argv):
    del argv
    config = cli.config_value(_CONFIG)
    every = min(config.checkpoint.every, config.total_steps // (_KILLS.value + 2))
    if every < 2:
        raise UserError(
            f"config.total_steps={config.total_steps} is too short for --kills={_KILLS.value}."
        )
    given = [arg for arg in sys.argv[1:] if arg.startswith("--config")]
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "experiments.pretrain_lam",
            *given,
            f"--workdir={folder}",
            "--config.log.every=1",
            f"--config.checkpoint.every={every}",
        ]
        kills = _kill_again_and_again(command, Path(folder), every, random.Random(_SEED.value))
    print(
        json.dumps(
            {
                "python": platform.python_version(),
                "jax": jax.__version__,
                "cores": os.cpu_count(),
                "load": os.getloadavg()[0],
                "processes": _PROCESSES.value,
                "compilation_cache": jax.config.jax_enable_compilation_cache,
                "checkpoint_every": every,
                "seconds": statistics.median(k["seconds"] for k in kills),
                "cpu_seconds": statistics.median(k["cpu_seconds"] for k in kills),
                "lost_steps": max(k["lost_steps"] for k in kills),
                "kills": kills,
            }
        )
    )


def _kill_again_and_again(command, folder, every, rng):
    """One entry per kill; the run that the last one is measured with is killed unmeasured."""
    kills, killed_at, saved, inode = [], 0.0, 0, 0
    for number in range(_KILLS.value + 1):
        group = _start(command)
        try:
            if kills:
                # A start drops the rows after the restored step by replacing the file.
                _until(group, lambda: _inode(folder) != inode and _last_step(folder) > saved)
                kills[-1] |= {
                    "seconds": time.monotonic() - killed_at,
                    "cpu_seconds": sum(_cpu_seconds(process) for process in group),
                }
                if number == _KILLS.value:
                    return kills
            target = number * every + every // 2 + rng.randrange(every)
            _until(group, lambda: _last_step(folder) >= target)
            if number % 2 == 0:
                _until(group, lambda: _writing(folder))
        finally:
            for process in group:
                process.send_signal(signal.SIGKILL)
            killed_at = time.monotonic()
            for process in group:
                process.wait()
        saved, inode = _saved(folder), _inode(folder)
        kills.append({"mid_write": _writing(folder), "lost_steps": _last_step(folder) - saved})
        if kills[-1]["lost_steps"] > every:
            raise UserError(f"a kill cost more than {every} updates: {kills}")


def _start(command):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    return [
        subprocess.Popen(
            command,
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            env={
                **os.environ,
                "COORDINATOR_ADDRESS": address,
                "PROCESS_ID": str(index),
                "NUM_PROCESSES": str(_PROCESSES.value),
            },
        )
        for index in range(_PROCESSES.value)
    ]


def _until(group, condition):
    while not condition():
        for process in group:
            if process.poll() is not None:
                raise UserError(f"the run ended by itself:\n{process.communicate()[1][-1000:]}")
        time.sleep(0.005)


def _last_step(folder):
    try:
        rows = (folder / "metrics.jsonl").read_text().splitlines(keepends=True)
        return max((json.loads(row)["step"] for row in rows if row.endswith("\n")), default=0)
    except FileNotFoundError:
        return 0


def _cpu_seconds(process):
    """User and system time so far; on a busy machine it says more than the clock."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _inode(folder):
    return (folder / "metrics.jsonl").stat().st_ino


def _writing(folder):
    """Whether there is a step without its final name."""
    return any("tmp" in path.name for path in (folder / "checkpoints").glob("*"))


def _saved(folder):
    steps = folder / "checkpoints"
    return (
        max((int(p.name) for p in steps.iterdir() if p.name.isdigit()), default=0)
        if steps.exists()
        else 0
    )


if __name__ == "__main__":
    cli.run(main)

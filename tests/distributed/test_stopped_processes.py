"""Processes that are killed, asked to stop, fail, hang, or never meet: how each of them ends."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time

import pytest

from tests.distributed.processes import (
    LOST,
    Group,
    compilation_cache,
    free_port,
    rows,
    wait_for_rows,
)

EVERY = 5  # Updates, the worker's config.checkpoint.every.


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("stopped")


def start(folder, scenario, *flags, count=2, out="out", **environment):
    (folder / out).mkdir(exist_ok=True)
    return Group(
        count,
        [
            "-m",
            "tests.distributed.worker",
            f"--out={folder / out}",
            f"--scenarios={scenario}",
            *flags,
        ],
        **compilation_cache(folder),
        **environment,
    )


def metrics(folder, out, scenario="slow"):
    return (folder / out / scenario / "metrics.jsonl").read_bytes()


@pytest.fixture(scope="module")
def whole(folder):
    """metrics.jsonl of a run of two processes that nothing interrupted."""
    start(folder, "slow", out="whole").run()
    return metrics(folder, "whole")


def lost(folder, out, scenario="slow"):
    """What starting again now would cost: updates told of in metrics.jsonl and not on disk."""
    saved = [
        int(p.name) for p in (folder / out / scenario / "checkpoints").iterdir() if p.name.isdigit()
    ]
    last = metrics(folder, out, scenario).rpartition(b"\n")[0].splitlines()[-1]
    return json.loads(last)["step"] - max(saved, default=0)


def half_written(workdir):
    """Step directories that Orbax has not given their final names."""
    return [p for p in (workdir / "checkpoints").glob("*tmp*")] if workdir.exists() else []


def test_killed_while_writing_and_at_a_random_moment(folder, whole):
    """Both processes die twice: in the middle of an asynchronous write, and anywhere."""
    workdir = folder / "killed" / "slow"
    with start(folder, "slow", out="killed") as group:
        group.until(lambda: half_written(workdir) and rows(workdir) >= 5)
        group.kill()
    left = [p.name for p in half_written(workdir)]
    assert left, "the write was over before the kill; the test must be made faster"
    assert lost(folder, "killed") <= EVERY
    count = random.randint(12, 20)
    print("half-written:", left, "killed again after rows:", count)  # Shown if the test fails.
    with start(folder, "slow", out="killed") as group:
        wait_for_rows(group, workdir, count)
        group.kill()
    assert lost(folder, "killed") <= EVERY
    start(folder, "slow", out="killed").run()
    assert metrics(folder, "killed") == whole
    assert not half_written(workdir)


def test_sigterm_to_one_stops_all_at_the_same_step(folder, whole):
    """JAX passes the signal on within a second, so the steps of this run are slow."""
    workdir = folder / "terminated" / "slower"
    for only, at in ((1, 3), (0, 12)):
        with start(folder, "slower", out="terminated") as group:
            wait_for_rows(group, workdir, at)
            group.kill(signal.SIGTERM, only=only)
            assert group.finish(timeout=60) == [75, 75]
        stopped = {
            re.search(r"stopped and saved at step (\d+) of 20", output).group(1)
            for output in group.output
        }
        assert len(stopped) == 1 and (workdir / "checkpoints" / stopped.pop()).is_dir()
    start(folder, "slower", out="terminated").run()
    assert metrics(folder, "terminated", "slower") == whole


def test_the_others_end_when_one_is_killed(folder):
    with start(folder, "slow", "--heartbeat_timeout=10", out="orphans") as group:
        wait_for_rows(group, folder / "orphans" / "slow", 6)
        group.kill(only=1)
        codes = group.finish(timeout=90)
    assert codes[0] in LOST and codes[1] == -signal.SIGKILL
    assert "lost another process" in group.output[0] or "heartbeat" in group.output[0]


def test_the_error_of_one_is_told_by_the_others(folder):
    with start(folder, "fails", out="fails") as group:
        codes = group.finish(timeout=90)
    assert codes == [77, 1]
    assert "OSError: shard 3 is truncated" in group.output[1]
    assert re.search(r"process 1 on \S+ stopped: OSError: shard 3 is truncated", group.output[0])


def test_a_run_that_hangs_dumps_its_stacks(folder):
    with start(folder, "hangs", count=1, out="hangs") as group:
        assert group.finish(timeout=90) == [76]
    assert re.search(r"watchdog: no progress for 3 s during step \d", group.output[0])
    assert "in _read\n" in group.output[0]  # The thread that reads data is among the stacks.


@pytest.mark.parametrize(
    "index, what",
    [(0, "not all processes reached this one"), (1, "the coordinator cannot be reached")],
)
def test_a_coordinator_that_nobody_meets(folder, index, what):
    address = f"127.0.0.1:{free_port()}"
    begin = time.monotonic()
    with start(
        folder,
        "whole",
        "--coordinator_timeout=2",
        count=1,
        COORDINATOR_ADDRESS=address,
        NUM_PROCESSES="2",
        PROCESS_ID=str(index),
    ) as group:
        assert group.finish(timeout=90) == [1]
    lines = [line for line in group.output[0].splitlines() if what in line]
    assert len(lines) == 1 and lines[0].startswith("error: ") and address in lines[0]
    assert "Traceback" not in group.output[0] and time.monotonic() - begin < 80


@pytest.mark.parametrize(
    "environment, message",
    [
        (
            dict(COORDINATOR_ADDRESS="host", NUM_PROCESSES="2", PROCESS_ID="0"),
            "host is not HOST:PORT",
        ),
        (dict(COORDINATOR_ADDRESS="a:1", NUM_PROCESSES="2", PROCESS_ID="2"), "is not in 0..1"),
        (dict(COORDINATOR_ADDRESS="a:1", NUM_PROCESSES="two"), "NUM_PROCESSES=two .* not a number"),
    ],
)
def test_settings_that_do_not_fit(monkeypatch, environment, message):
    from flexlam_jax.errors import UserError
    from flexlam_jax.parallel import distributed

    for name in ("COORDINATOR_ADDRESS", "NUM_PROCESSES", "PROCESS_ID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=message):
        distributed.initialize(timeout=5)
    assert distributed.process_count() == 1


def test_half_of_the_settings_is_not_enough():
    """In a process of its own: JAX looks for a cluster only where no device has been touched."""
    code = "from flexlam_jax.parallel import distributed; distributed.initialize(timeout=5)"
    names = ("COORDINATOR_ADDRESS", "NUM_PROCESSES", "PROCESS_ID")
    environment = {k: v for k, v in os.environ.items() if k not in names}
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment | {"COORDINATOR_ADDRESS": "a:1"},
    )
    assert done.returncode == 1
    message = "UserError: .*Number of processes must be defined.*--num_processes"
    assert re.search(message, done.stderr, re.DOTALL)

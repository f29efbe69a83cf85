"""Workers never outlive their parent, and one that was killed is one message."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time

import pytest

from data_pipelines import processes
from data_pipelines.errors import DataError
from data_pipelines.processes import worker_pool


def test_a_killed_worker_is_told_and_none_is_left():
    with (
        pytest.raises(DataError, match="a worker process was killed.*use fewer --workers"),
        worker_pool(1) as pool,
    ):
        pool.submit(os.kill, pool.submit(os.getpid).result(), signal.SIGKILL).result()
    assert not multiprocessing.active_children()


def test_an_interrupt_ends_workers_at_once():
    with pytest.raises(KeyboardInterrupt), worker_pool(1) as pool:
        pid = pool.submit(os.getpid).result()
        pool.submit(signal.pause)
        raise KeyboardInterrupt
    assert not multiprocessing.active_children()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_workers_leave_ctrl_c_to_their_parent():
    with worker_pool(1) as pool:
        blocked = pool.submit(signal.pthread_sigmask, signal.SIG_BLOCK, ()).result()
        assert signal.SIGINT in blocked
        assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_a_killed_parent_takes_its_workers_with_it():
    code = (
        "import os, signal\n"
        "from data_pipelines.processes import worker_pool\n"
        "if __name__ == '__main__':\n"
        "    with worker_pool(1) as pool:\n"
        "        pool.submit(os.getpid).result()\n"
        "        pool.submit(signal.pause)\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    # The worker holds this pipe open: the read ends when the worker does.
    result = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, timeout=60)
    assert result.returncode == -signal.SIGKILL


@pytest.mark.parametrize("dies", [False, True], ids=["interrupted", "worker-killed"])
def test_what_a_worker_started_ends_with_it(dies):
    """A simulator is a process of its own, which outlives a worker that is killed."""
    with pytest.raises((KeyboardInterrupt, DataError)), worker_pool(1) as pool:
        game = pool.submit(start_game).result()
        if dies:
            pool.submit(os._exit, 1).result()
        raise KeyboardInterrupt
    deadline = time.monotonic() + 10
    while processes._alive(game):  # signals arrive in their own time
        assert time.monotonic() < deadline


def start_game():
    return subprocess.Popen(["sleep", "60"]).pid

"""Worker processes that never outlive the command that started them."""

from __future__ import annotations

import concurrent.futures
import contextlib
import functools
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator

from data_pipelines.errors import DataError

_GRACE = 5.0  # seconds for a killed worker to be gone
_LOOK = 1.0  # seconds between two looks for another process


def end_with_parent(*_) -> None:
    """Ends this worker process when its parent is gone, also when that was killed.

    Workers would wait for ever, and a launcher for them: they hold the parent's output open.
    """
    _after_parent(lambda: os._exit(1))


def _after_parent(end: Callable[[], None]) -> None:
    def watch():
        multiprocessing.parent_process().join()
        end()

    threading.Thread(target=watch, daemon=True, name="end_with_parent").start()


def begin_worker() -> None:
    """Called first in a worker: it leads a group, and a simulator that it starts ends with it."""
    os.setpgid(0, 0)
    _after_parent(lambda: os.killpg(0, signal.SIGKILL))


def end_worker(worker: multiprocessing.process.BaseProcess) -> None:
    """Kills a worker, and what it, or one that was killed, started.

    A simulator that outlives its worker holds its pipes open, and this process waits.
    """
    try:
        os.killpg(worker.pid, signal.SIGKILL)
    except ProcessLookupError:  # over, or too young to lead a group
        worker.kill()


@functools.cache
def end_with(pid: int) -> None:
    """Ends this process when process `pid` of this machine, any one, is gone."""
    if pid == os.getpid():
        return

    def watch():
        while _alive(pid):
            time.sleep(_LOOK)
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="end_with").start()


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"  # dead, and nobody asked yet
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's, or a system without /proc
        return True


class _Pool(concurrent.futures.ProcessPoolExecutor):
    """Workers leave Ctrl-C, which a terminal sends to all processes, to their parent."""

    def __init__(self, workers: int):
        context = multiprocessing.get_context("spawn")
        super().__init__(workers, mp_context=context, initializer=begin_worker)
        self._others = set(multiprocessing.active_children())
        self._started: set[multiprocessing.Process] = set()

    def submit(self, *args, **kwargs):
        with undisturbed():  # processes start here
            future = super().submit(*args, **kwargs)
            self._started |= set(multiprocessing.active_children()) - self._others
        return future

    def end(self) -> None:
        """Ends the workers that are left, and what any of them started."""
        for worker in self._started:
            end_worker(worker)
        until = time.monotonic() + _GRACE
        for worker in self._started:
            worker.join(_GRACE)
            # The pool's own thread may have been told of the end first, and wait for the
            # interpreter to note it; until then the worker counts as alive.
            while worker.exitcode is None and time.monotonic() < until:
                time.sleep(0.001)
        self.shutdown(wait=False, cancel_futures=True)


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Signals wait until the block ends: a half-started process would end with a traceback.

    Processes that start in the block never see Ctrl-C, as they inherit the mask: not even while
    they import, long before any code of ours could set a handler.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    arrived: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM)
    keep = lambda number, frame: arrived.append(number)  # noqa: E731
    before = [signal.signal(number, keep) for number in numbers]
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler or signal.SIG_DFL)
        for number in arrived:
            signal.raise_signal(number)


@contextlib.contextmanager
def worker_pool(workers: int) -> Iterator[concurrent.futures.ProcessPoolExecutor]:
    """A pool of fresh processes: forks of a process that runs threads (JAX, Grain) may hang.

    An exception of the block lets running tasks end and cancels the others; an interrupt ends the
    workers at once. Raises DataError where a worker was killed.
    """
    pool = _Pool(workers)
    try:
        yield pool
        pool.shutdown()
    except concurrent.futures.process.BrokenProcessPool as error:
        raise DataError(
            "a worker process was killed, most likely because memory ran out; use fewer --workers"
        ) from error
    except Exception:
        pool.shutdown(cancel_futures=True)
        raise
    finally:
        pool.end()

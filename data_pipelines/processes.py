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
from collections.abc import Iterator

from data_pipelines.errors import DataError

_GRACE = 5.0  # seconds for a worker to end before it is killed
_LOOK = 1.0  # seconds between two looks for another process


def end_with_parent(*_) -> None:
    """Ends this worker process when its parent is gone, also when that was killed.

    Workers would wait for ever, and a launcher for them: they hold the parent's output open.
    """

    def watch():
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="end_with_parent").start()


@functools.cache
def end_with(pid: int) -> None:
    """Ends this process when process `pid` of this machine is gone, which need not be its parent."""
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

    def submit(self, *args, **kwargs):
        with _undisturbed():  # processes start here
            return super().submit(*args, **kwargs)


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
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
    others = set(multiprocessing.active_children())
    context = multiprocessing.get_context("spawn")
    pool = _Pool(workers, mp_context=context, initializer=end_with_parent)
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
        _end(set(multiprocessing.active_children()) - others)
        pool.shutdown(wait=False, cancel_futures=True)


def _end(children: set[multiprocessing.Process]) -> None:
    for child in children:
        child.terminate()
    for child in children:
        child.join(_GRACE)
        if child.is_alive():
            child.kill()

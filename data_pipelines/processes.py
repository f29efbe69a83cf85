"""Worker processes that never outlive the command that started them."""

from __future__ import annotations

import concurrent.futures
import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator

from data_pipelines.errors import DataError

_GRACE = 5.0  # seconds for a worker to end before it is killed


def end_with_parent(*_) -> None:
    """Ends this worker process when its parent is gone, also when that was killed.

    Workers would wait for ever, and a launcher for them: they hold the parent's output open.
    """

    def watch():
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="end_with_parent").start()


class _Pool(concurrent.futures.ProcessPoolExecutor):
    """Workers leave Ctrl-C, which a terminal sends to all processes, to their parent."""

    def submit(self, *args, **kwargs):
        # Processes start here and inherit the mask; also while they import, long before any code of
        # ours could set a handler.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            return super().submit(*args, **kwargs)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


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

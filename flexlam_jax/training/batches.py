"""From the loader's host batches to global device arrays, one step ahead of the loop."""

import functools
import queue
import threading
import time
from collections.abc import Mapping
from typing import Any, Protocol

import jax
import numpy as np
from jax.sharding import NamedSharding

from flexlam_jax.errors import UserError
from flexlam_jax.parallel.sharding import path_name, put_batch
from flexlam_jax.parallel.streams import Rows, by_stream, is_streams

HostBatch = Mapping[str, Any]  # {"frames": array, ...} or {stream: {"frames": array, ...}}


class DataIterator(Protocol):
    """What `fit` asks of its data: an endless iterator with a JSON-able position."""

    def __next__(self) -> HostBatch: ...
    def get_state(self) -> dict[str, Any]: ...
    def set_state(self, state: dict[str, Any]) -> None: ...
    def close(self) -> None: ...


class DeviceBatches:
    """Iterator of device batches. A thread fetches and transfers while the device computes.

    `get_state` is the position after the last batch *handed out*, however far the thread is ahead,
    so a checkpoint never skips a prefetched batch.
    """

    def __init__(
        self,
        data: DataIterator,
        sharding: NamedSharding,
        *,
        rows: Any,
        batch_size: Rows,
        ahead: int = 1,
    ):
        """Args: `rows` of the global batch of `batch_size` that `data` gives: `process_rows`; both
        are one per stream for data of streams."""
        self._data, self._sharding = data, sharding
        self._rows, self._batch_size = rows, batch_size
        self._state = data.get_state()
        self._peeked: tuple[HostBatch, dict[str, Any]] | None = None
        self._queue: queue.Queue = queue.Queue(maxsize=ahead)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._waited = 0.0

    def __enter__(self) -> "DeviceBatches":
        return self

    def __exit__(self, *exc_info: Any) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self._data.close()

    def shapes(self) -> dict[str, Any]:
        """Global shapes and device dtypes of a batch. Looks at the first one without using it up.

        The position must be set afterwards or not at all: see `set_state`.

        Raises:
          UserError: data with another number of rows than this process holds, or other streams.
        """
        if self._peeked is None:
            self._peeked = self._read()

        def shape(rows: int, x: np.ndarray) -> jax.ShapeDtypeStruct:
            return jax.ShapeDtypeStruct((rows, *x.shape[1:]), x.dtype, sharding=self._sharding)

        return by_stream(
            lambda rows, tree: jax.tree.map(functools.partial(shape, rows), tree),
            self._batch_size,
            self._peeked[0],
        )

    def get_state(self) -> dict[str, Any]:
        return self._state

    def take_wait(self) -> float:
        """Seconds that `next` made its callers wait since the last call of this."""
        waited, self._waited = self._waited, 0.0
        return waited

    def set_state(self, state: dict[str, Any]) -> None:
        """Moves to a saved position; only before the first batch is drawn."""
        assert self._thread is None, "batches are already being drawn"
        self._data.set_state(state)
        self._state, self._peeked = state, None

    def __iter__(self) -> "DeviceBatches":
        return self

    def __next__(self) -> dict[str, Any]:
        start = time.perf_counter()
        if self._thread is None:
            self._thread = threading.Thread(target=self._fill, daemon=True, name="batches")
            self._thread.start()
        item = self._queue.get()
        self._waited += time.perf_counter() - start
        if isinstance(item, BaseException):
            raise item
        batch, self._state = item
        return batch

    def _fill(self) -> None:
        try:
            while not self._stop.is_set():
                host, state = self._peeked or self._read()
                self._peeked = None
                batch = put_batch(self._sharding, self._rows, host, self._batch_size)
                self._put((batch, state))
        except StopIteration:
            self._put(
                UserError(
                    "the data ended before config.total_steps; give an endless "
                    "iterator or fewer steps."
                )
            )
        except BaseException as error:  # Raised where the batch is asked for.
            self._put(error)

    def _read(self) -> tuple[HostBatch, dict[str, Any]]:
        host = jax.tree.map(lambda x: canonical(np.asarray(x)), dict(next(self._data)))
        check_rows(host, self._rows, self._batch_size)
        return host, self._data.get_state()

    def _put(self, item: Any) -> None:
        while not self._stop.is_set():
            try:
                return self._queue.put(item, timeout=0.1)
            except queue.Full:
                continue


def check_rows(batch: HostBatch, rows: Any, batch_size: Rows) -> None:
    """Raises UserError, naming stream and array, unless this process was given its `rows`."""
    if is_streams(batch_size) and set(batch) != set(batch_size):
        raise UserError(
            f"the data gives the streams {sorted(batch)}, config.batch_size has rows for "
            f"{sorted(batch_size)}; name the same ones in both."
        )
    sizes = batch_size if is_streams(batch_size) else None
    for path, x in jax.tree.leaves_with_path(batch):
        stream = path[0].key if sizes else None
        held = rows[stream] if sizes else rows
        if x.shape[:1] != held.shape:
            raise UserError(
                f"the data gives {path_name(path)!r} of shape {x.shape}; this process holds "
                f"{len(held)} rows of a global batch of {sizes[stream] if sizes else batch_size}."
            )


def canonical(x: np.ndarray) -> np.ndarray:
    """JAX's dtype for x (int64 becomes int32, as everywhere without x64)."""
    return x.astype(jax.dtypes.canonicalize_dtype(x.dtype), copy=False)

"""How fast a run is, measured honestly: training time only, against a peak that is stated."""

import math
import resource
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from flexlam_jax.files import cannot_write
from flexlam_jax.models.flops import program_flops
from flexlam_jax.objectives.objective import Objective
from flexlam_jax.parallel.streams import Rows, total


class Chrono:
    """Wall-clock time of training steps; compilation, evaluation and saving are taken out."""

    def __init__(self, *, rows: int, transitions: int, flops: float, peak_tflops: float):
        """Args: `rows`, `transitions` and `flops` of an update, of all streams together;
        `peak_tflops` of all devices together; 0 is unknown.
        """
        self._rows, self._transitions = rows, transitions
        self._flops, self._peak = flops, peak_tflops
        self._steps, self._seconds, self._waited = 0, 0.0, 0.0
        self._mark: float | None = None

    def stop(self) -> None:
        """Stops the clock: what follows is not training."""
        self._mark = None

    def tick(self, waited: float) -> None:
        """Marks the end of a step, `waited` seconds of which went by waiting for data.

        The first tick after `stop` only starts the clock: its step may have included anything.
        """
        now = time.perf_counter()
        if self._mark is not None:
            self._steps += 1
            self._seconds += now - self._mark
            self._waited += waited
        self._mark = now

    def row(self) -> dict[str, float]:
        """Means since the last call, {} when no full step was timed."""
        if not self._steps:
            return {}
        seconds = self._seconds / self._steps
        row = {
            "step_seconds": seconds,
            "examples_per_second": self._rows / seconds,
            "transitions_per_second": self._transitions / seconds,
            "data_wait_fraction": self._waited / self._seconds,
            "host_gib": host_gib(),
        }
        if self._flops:
            row["model_tflops_per_second"] = self._flops / seconds / 1e12
            if self._peak:
                row["mfu"] = row["model_tflops_per_second"] / self._peak
                row["peak_tflops"] = self._peak
        memory = device_gib()
        if memory is not None:
            row["device_gib"] = memory
        self._steps, self._seconds, self._waited = 0, 0.0, 0.0
        return row


def update_flops(objective: Objective, state: Any, batch: Any, batch_size: Rows) -> float:
    """Model FLOPs of an update on a batch of these shapes, as the objective gives them or, where it
    gives none, counted: three times the matrix products of the traced forward pass.

    Raises:
      ValueError: the program holds a loop of unknown length; give `Objective.flops_per_row`.
    """
    if objective.flops_per_row is not None:
        return total(batch_size, objective.flops_per_row)

    def forward(variables: Any, batch: Any) -> Any:
        extra = dict(variables)
        params = extra.pop("params")
        return objective.outcome(params, extra, batch, jax.random.key(0)).terms

    return 3.0 * program_flops(forward, state.variables, batch)


def host_gib() -> float:
    """Resident memory of this process now (its maximum where /proc is missing)."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * resource.getpagesize() / 2**30
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def device_gib() -> float | None:
    """Largest peak over the local devices; None where the backend does not count (CPU)."""
    stats = [device.memory_stats() for device in jax.local_devices()]
    peaks = [s["peak_bytes_in_use"] for s in stats if s and "peak_bytes_in_use" in s]
    return max(peaks) / 2**30 if peaks else None


def measure_peak_tflops(mesh: Mesh, dtype: Any = jnp.float32) -> float:
    """Matmul rate of all devices of the mesh at once, in TFLOP/s: the best of a few runs.

    All at once, because virtual CPU devices share the same cores and neighbours share power; of
    random numbers, because a GPU multiplies constants at a higher clock than it can hold in
    training.
    """
    on_cpu = mesh.devices.flat[0].platform == "cpu"
    size, chain = (1024, 2) if on_cpu else (8192, 16)
    split = NamedSharding(mesh, P(mesh.axis_names))

    def matmuls(x):
        y = x
        for _ in range(chain):
            y = jnp.einsum("dij,djk->dik", x, y)
        return y

    count = math.prod(mesh.shape.values())

    def factors():  # Of norm about 1, so that the chain neither grows nor vanishes.
        return jax.random.normal(jax.random.key(0), (count, size, size), dtype) / size**0.5

    x = jax.jit(factors, out_shardings=split)()
    run = jax.jit(matmuls, in_shardings=split, out_shardings=split)
    jax.block_until_ready(run(x))
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        jax.block_until_ready(run(x))
        seconds.append(time.perf_counter() - start)
    return float(2 * size**3 * chain * count / np.min(seconds) / 1e12)


class Profiler:
    """Traces `steps` steps from step `start` into `directory` (0 steps: never)."""

    def __init__(self, directory: Any, start: int, steps: int):
        self._directory, self._window = str(directory), (start, start + steps)
        self._tracing = False

    def __enter__(self) -> "Profiler":
        return self

    def __exit__(self, *exc_info: Any) -> None:
        if self._tracing:
            self._stop()

    def at(self, step: int, state: Any) -> None:
        """Called before each step; waits for `state` at the edges so that the window is exact."""
        start, end = self._window
        if not self._tracing and start <= step < end:
            jax.block_until_ready(state)
            jax.profiler.start_trace(self._directory)
            self._tracing = True
        elif self._tracing and step >= end:
            jax.block_until_ready(state)
            self._stop()
            self._window = (0, 0)

    def _stop(self) -> None:
        """Writes the trace."""
        self._tracing = False
        try:
            jax.profiler.stop_trace()
        except (OSError, jax.errors.JaxRuntimeError) as error:
            raise cannot_write(
                self._directory,
                error,
                what="a profile",
                remedy="; --config.profile.steps=0 goes on without one.",
            ) from error

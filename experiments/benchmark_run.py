"""The run that experiments/benchmark.py times: task, step and state, as `fit` would make them."""

import copy
import dataclasses
import logging
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from experiments.tasks.registry import build_task
from experiments.tasks.task import Task
from flexlam_jax.errors import UserError
from flexlam_jax.parallel import sharding
from flexlam_jax.parallel.mesh import check_batch_size, make_mesh
from flexlam_jax.parallel.streams import Rows, by_stream, rows_of, total
from flexlam_jax.training.memory_needed import check_host_memory
from flexlam_jax.training.optimizer import make_optimizer, make_schedule
from flexlam_jax.training.program import TrainProgram, train_program
from flexlam_jax.training.state import TrainState

_log = logging.getLogger(__name__)


@dataclasses.dataclass
class BuiltRun:
    """A config ready to run, as `fit` would make it, with one batch of random numbers."""

    config: Any
    task: Task
    mesh: jax.sharding.Mesh
    program: TrainProgram
    state: TrainState
    batch: Any

    @property
    def transitions(self) -> int:
        """Of an update."""
        return total(self.rows, self.task.objective.transitions_per_row)

    @property
    def rows(self) -> Rows:
        return rows_of(self.task.batch)


def build(config: Any) -> BuiltRun:
    """Raises what a run with this config would raise."""
    task = build_task(config)
    config = task.config or config
    check_host_memory(task.batch, config)
    mesh = make_mesh(config.mesh)
    check_batch_size(rows_of(task.batch), config.optimizer.accumulate, mesh)
    schedule = make_schedule(config.optimizer, config.total_steps)
    optimizer = make_optimizer(config.optimizer, schedule)
    with jax.set_mesh(mesh):
        batch = jax.device_put(random_batch(task.batch), sharding.batch_sharding(mesh))
        program = train_program(task.objective, optimizer, schedule, config, mesh, batch)
        state = program.create()
    return BuiltRun(config, task, mesh, program, state, batch)


def random_batch(shapes: Any) -> Any:
    """Host arrays of these shapes, the same in every call: bytes at random, other types in [0, 1)
    or, for whole numbers, 0.
    """
    rng = np.random.default_rng(0)

    def one(x: jax.ShapeDtypeStruct) -> np.ndarray:
        if x.dtype == np.uint8:
            return rng.integers(0, 256, x.shape, np.uint8)
        return rng.random(x.shape, np.float32).astype(x.dtype)

    return jax.tree.map(one, shapes)


def timed(function: Callable, *args: Any) -> tuple[float, Any]:
    """(seconds until the result is there, result)."""
    start = time.perf_counter()
    result = jax.block_until_ready(function(*args))
    return time.perf_counter() - start, result


def steps(run: BuiltRun, repeats: int) -> list[float]:
    """Seconds of `repeats` updates, after one that may compile."""
    seconds = []
    with jax.set_mesh(run.mesh):
        for _ in range(repeats + 1):
            took, (run.state, _) = timed(run.program.step, run.state, run.batch)
            seconds.append(took)
    return seconds[1:]


def build_that_fits(config: Any) -> BuiltRun:
    """`build`, cut into as many micro-batches as it takes to fit; one update has been made.

    The batches of the large presets are those of pods. `accumulate` is doubled until an update runs
    on the devices that are here, which changes nothing but how much is in memory at one time.

    Raises:
      UserError: not even the smallest micro-batch fits.
    """
    config = copy.deepcopy(config)
    while True:
        run = build(config)
        try:
            steps(run, 0)
            return run
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error):
                raise
        rows = _micro_batch(run)
        config.optimizer.accumulate *= 2
        try:
            check_batch_size(run.rows, config.optimizer.accumulate, run.mesh)
        except UserError as error:
            raise UserError(
                f"a micro-batch of {rows} rows does not fit into the memory of the devices and "
                "cannot be halved; try --config.model.remat=full or another --config.batch_size."
            ) from error
        _log.warning(
            "a micro-batch of %s rows does not fit; trying accumulate=%d",
            rows,
            config.optimizer.accumulate,
        )
        del run  # Its state goes before the next is made.


def build_micro_batch(config: Any) -> BuiltRun:
    """One micro-batch of `build_that_fits` on its own."""
    run = build_that_fits(config)
    config = copy.deepcopy(run.config)
    config.batch_size, config.optimizer.accumulate = _micro_batch(run), 1
    return build(config)


def _micro_batch(run: BuiltRun) -> Rows:
    return by_stream(lambda rows: rows // run.config.optimizer.accumulate, run.rows)

"""The preset that experiments/benchmark.py times: model, step and state, as `fit` would make them."""

import copy
import dataclasses
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from flexlam_jax.errors import UserError
from flexlam_jax.models.lam import build_lam
from flexlam_jax.objectives.lam import lam_objective
from flexlam_jax.parallel import sharding
from flexlam_jax.parallel.mesh import check_batch_size, make_mesh
from flexlam_jax.training.optimizer import make_optimizer, make_schedule
from flexlam_jax.training.program import TrainProgram, train_program
from flexlam_jax.training.state import TrainState

_log = logging.getLogger(__name__)


@dataclasses.dataclass
class Subject:
    """A preset ready to run, as `fit` would make it, with one batch of random frames."""

    config: Any
    model: Any
    objective: Any
    mesh: jax.sharding.Mesh
    program: TrainProgram
    state: TrainState
    batch: Mapping[str, jax.Array]

    @property
    def transitions(self) -> int:
        return self.config.batch_size * (self.config.data.clip_length - 1)


def build(config: Any) -> Subject:
    """Raises what a run with this config would raise."""
    model = build_lam(config.model)
    objective = lam_objective(model, config.model, config.loss, clip_length=config.data.clip_length)
    mesh = make_mesh(config.mesh)
    check_batch_size(config.batch_size, config.optimizer.accumulate, mesh)
    schedule = make_schedule(config.optimizer, config.total_steps)
    optimizer = make_optimizer(config.optimizer, schedule)
    size = config.model.image_size
    height, width = (size, size) if isinstance(size, int) else size
    shape = (config.batch_size, config.data.clip_length, height, width, config.model.channels)
    frames = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    with jax.set_mesh(mesh):
        batch = {"frames": jax.device_put(frames, sharding.batch_sharding(mesh))}
        program = train_program(objective, optimizer, schedule, config, mesh, batch)
        state = program.create()
    return Subject(config, model, objective, mesh, program, state, batch)


def timed(function: Callable, *args: Any) -> tuple[float, Any]:
    """(seconds until the result is there, result)."""
    start = time.perf_counter()
    result = jax.block_until_ready(function(*args))
    return time.perf_counter() - start, result


def steps(subject: Subject, repeats: int) -> list[float]:
    """Seconds of `repeats` updates, after one that may compile."""
    seconds = []
    with jax.set_mesh(subject.mesh):
        for _ in range(repeats + 1):
            took, (subject.state, _) = timed(subject.program.step, subject.state, subject.batch)
            seconds.append(took)
    return seconds[1:]


def build_that_fits(config: Any) -> Subject:
    """`build`, cut into as many micro-batches as it takes to fit; one update has been made.

    The batches of the large presets are those of pods. `accumulate` is doubled until an update runs
    on the devices that are here, which changes nothing but how much is in memory at one time.

    Raises:
      UserError: not even the smallest micro-batch fits.
    """
    config = copy.deepcopy(config)
    while True:
        subject = build(config)
        try:
            steps(subject, 0)
            return subject
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error):
                raise
        clips = config.batch_size // config.optimizer.accumulate
        config.optimizer.accumulate *= 2
        try:
            check_batch_size(config.batch_size, config.optimizer.accumulate, subject.mesh)
        except UserError as error:
            raise UserError(
                f"a micro-batch of {clips} clips does not fit into the memory of the devices and "
                "cannot be halved; try --config.model.remat=full or another --config.batch_size."
            ) from error
        _log.warning(
            "a micro-batch of %d clips does not fit; trying accumulate=%d",
            clips,
            config.optimizer.accumulate,
        )
        del subject  # Its state goes before the next is made.


def build_micro_batch(config: Any) -> Subject:
    """One micro-batch of `build_that_fits` on its own."""
    config = copy.deepcopy(build_that_fits(config).config)
    config.batch_size //= config.optimizer.accumulate
    config.optimizer.accumulate = 1
    return build(config)

"""What a run compiles: the update step with its shardings. The loop runs it; the pod plan only
compiles it, for hardware that is not there. One function builds it for both.
"""

from collections.abc import Callable, Mapping
import dataclasses
import functools
from typing import Any

import jax
from jax.sharding import Mesh
import optax

from flexlam_jax.augmentation import make_augmentation
from flexlam_jax.training import sharding
from flexlam_jax.training.objective import Objective
from flexlam_jax.training.state import TrainState, create_state, zeros_like
from flexlam_jax.training.step import make_train_step


@dataclasses.dataclass(frozen=True)
class TrainProgram:
    """The step of a run on one mesh, nothing compiled and nothing on a device yet.

    Attributes:
      abstract: shapes, dtypes and shardings of the state.
      places: the NamedSharding of every leaf of the state.
      create: jitted, () -> a fresh state, born in its shards.
      step: jitted, (state, batch) -> (state, metrics); the input state is donated.
    """

    abstract: TrainState
    places: Any
    create: Callable[[], TrainState]
    step: Any


def train_program(objective: Objective, optimizer: optax.GradientTransformation,
                  schedule: optax.Schedule, config: Any, mesh: Mesh,
                  batch: Mapping[str, jax.ShapeDtypeStruct]) -> TrainProgram:
    """Args: `config` of a run (seed, optimizer, mesh, augmentation are read); `batch`, its global
    shapes.
    """
    create = functools.partial(create_state, objective, optimizer, seed=config.seed,
                               ema=config.optimizer.ema_decay > 0)
    abstract = jax.eval_shape(create, batch)
    places = sharding.tree_shardings(
        abstract, mesh, fsdp_min_size=config.mesh.get("fsdp_min_size", sharding.FSDP_MIN_SIZE))
    step = make_train_step(objective, optimizer, schedule, seed=config.seed,
                           accumulate=config.optimizer.accumulate,
                           ema_decay=config.optimizer.ema_decay,
                           augment=make_augmentation(config.get("augmentation")))
    return TrainProgram(
        abstract=sharding.with_shardings(abstract, places), places=places,
        create=jax.jit(lambda: create(zeros_like(batch)), out_shardings=places),
        step=jax.jit(step, in_shardings=(places, sharding.batch_sharding(mesh)),
                     out_shardings=(places, sharding.replicated(mesh)), donate_argnums=0))

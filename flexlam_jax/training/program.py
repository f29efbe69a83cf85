"""What a run compiles: the update step with its shardings. The loop runs it; the pod plan only
compiles it, for hardware that is not there. One function builds it for both.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import optax
from jax.sharding import Mesh

from flexlam_jax.objectives.objective import Objective
from flexlam_jax.parallel import sharding
from flexlam_jax.training.augmentation import make_augmentation
from flexlam_jax.training.state import TrainState, create_state, zeros_like
from flexlam_jax.training.step import make_train_step

# The TPU compiler may turn a product with gathered parameters into a ring of as many thin products
# as there are chips in the group, each of which reads and writes the whole result: on v5p that is
# five times the memory traffic (docs/pod_plans.md). The threshold, in MiB, keeps it from doing so;
# parameters are then gathered whole, a layer ahead.
TPU_OPTIONS = {"xla_jf_spmd_threshold_for_windowed_einsum_mib": "1000000"}


@dataclasses.dataclass(frozen=True)
class TrainProgram:
    """The step of a run on one mesh, nothing compiled and nothing on a device yet.

    Attributes:
      abstract: shapes, dtypes and shardings of the state.
      places: the NamedSharding of every leaf of the state.
      whole: bytes of state that FSDP should split but no axis divides, on every device.
      create: jitted, () -> a fresh state, born in its shards.
      step: jitted, (state, batch) -> (state, metrics); the input state is donated.
    """

    abstract: TrainState
    places: Any
    whole: int
    create: Callable[[], TrainState]
    step: Any

    def describe(self, mesh: Mesh) -> str:
        """One line for the log: the mesh, and what of the state each device holds."""
        held = sum(
            math.prod(place.shard_shape(leaf.shape)) * leaf.dtype.itemsize
            for leaf, place in zip(
                jax.tree.leaves(self.abstract), jax.tree.leaves(self.places), strict=True
            )
        )
        axes = " x ".join(f"{axis} {size}" for axis, size in mesh.shape.items())
        return (
            f"mesh {axes}; state {sharding.tree_bytes(self.abstract) / 2**20:.1f} MiB, "
            f"{held / 2**20:.1f} MiB per device, of which {self.whole / 2**20:.1f} MiB large "
            "arrays that the fsdp axis does not divide"
        )


def train_program(
    objective: Objective,
    optimizer: optax.GradientTransformation,
    schedule: optax.Schedule,
    config: Any,
    mesh: Mesh,
    batch: Mapping[str, Any],
) -> TrainProgram:
    """Args: `config` of a run (seed, optimizer, mesh, augmentation, frozen are read); `batch`, its
    global shapes.

    Raises:
      ConfigError: accumulation with a term that cannot be split; a group of the optimizer without
        parameters; frozen parameters that are not there.
      UserError: the mesh's axes do not divide the model; see `sharding.check_divides`.
    """
    create = functools.partial(
        create_state,
        objective,
        optimizer,
        seed=config.seed,
        ema=config.optimizer.ema_decay > 0,
        frozen=config.get("frozen", ()),
    )
    abstract = jax.eval_shape(create, batch)
    least = config.mesh.get("fsdp_min_size", sharding.FSDP_MIN_SIZE)
    rules = objective.rules
    sharding.check_divides(abstract, mesh, rules, least)
    places = sharding.tree_shardings(abstract, mesh, rules, least)
    step = make_train_step(
        objective,
        optimizer,
        schedule,
        seed=config.seed,
        accumulate=config.optimizer.accumulate,
        ema_decay=config.optimizer.ema_decay,
        augment=make_augmentation(config.get("augmentation")),
    )
    return TrainProgram(
        abstract=sharding.with_shardings(abstract, places),
        places=places,
        whole=sharding.tree_bytes(sharding.whole_leaves(abstract, mesh, rules, least)),
        create=jax.jit(lambda: create(zeros_like(batch)), out_shardings=places),
        step=jax.jit(
            step,
            in_shardings=(places, sharding.batch_sharding(mesh)),
            out_shardings=(places, sharding.replicated(mesh)),
            donate_argnums=0,
            compiler_options=_compiler_options(mesh),
        ),
    )


def _compiler_options(mesh: Mesh) -> dict[str, str] | None:
    """Other compilers refuse the options of TPUs. Abstract meshes have no devices, nor programs."""
    on_tpus = isinstance(mesh, Mesh) and mesh.devices.flat[0].platform == "tpu"
    return TPU_OPTIONS if on_tpus else None

"""Compiles the training step of a run for devices that are not there; nothing is executed."""

import dataclasses
import re
import time
from collections.abc import Sequence
from typing import Any

import jax

from flexlam_jax.errors import UserError
from flexlam_jax.objectives.objective import Objective
from flexlam_jax.parallel import sharding
from flexlam_jax.parallel.mesh import check_batch_size, make_mesh
from flexlam_jax.parallel.streams import rows_of
from flexlam_jax.training.optimizer import make_optimizer, make_schedule
from flexlam_jax.training.program import train_program

Shapes = Any  # Of a batch, rows of all devices: a pytree of jax.ShapeDtypeStructs.


@dataclasses.dataclass(frozen=True)
class Memory:
    """Bytes per device, as the compiler counts them.

    Attributes:
      argument: state and batch.
      temporary: all temporaries together; their buffers may take turns, so that `peak` is less.
      output, alias: outputs, and how much of them lies in donated arguments.
      peak: most that is alive at one time, arguments included: what must fit.
    """

    argument: int
    temporary: int
    output: int
    alias: int
    peak: int


class DoesNotFit(UserError):
    """The compiler gave up: `needed` bytes of `limit`, per device."""

    def __init__(self, needed: float, limit: float):
        self.needed, self.limit = needed, limit
        super().__init__(f"needs {needed / 2**30:.2f} GiB of {limit / 2**30:.2f} GiB per device")


@dataclasses.dataclass(frozen=True)
class CompiledStep:
    """A compiled update step: the optimised program as text, its memory, seconds to compile, and
    `whole`, the bytes of large arrays of state that FSDP could not split.
    """

    mesh: jax.sharding.Mesh
    whole: int
    memory: Memory
    hlo: str
    seconds: float


def compile_step(
    objective: Objective, batch: Shapes, config: Any, devices: Sequence[jax.Device]
) -> CompiledStep:
    """Compiles what `fit` would run: the same optimizer, shardings, accumulation and donation.

    Args:
      batch: global shapes of a batch.
      config: as `fit` takes it.
      devices: real, virtual, or described by topology.describe_devices.

    Raises:
      UserError: a mesh that does not multiply to the devices, or a batch it does not divide.
      DoesNotFit: the program is larger than the memory of a device.
    """
    mesh = make_mesh(config.mesh, devices)
    check_batch_size(rows_of(batch), config.optimizer.accumulate, mesh)
    schedule = make_schedule(config.optimizer, config.total_steps)
    optimizer = make_optimizer(config.optimizer, schedule)
    rows = sharding.batch_sharding(mesh)
    batch = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=rows), batch)
    start = time.perf_counter()
    with jax.set_mesh(mesh):
        program = train_program(objective, optimizer, schedule, config, mesh, batch)
        lowered = program.step.lower(program.abstract, batch)
        try:
            compiled = lowered.compile()
        except jax.errors.JaxRuntimeError as error:
            raise _out_of_memory(str(error)) or error from error
    return CompiledStep(
        mesh=mesh,
        whole=program.whole,
        memory=_memory(compiled.memory_analysis()),
        hlo=compiled.as_text(),
        seconds=time.perf_counter() - start,
    )


def _memory(sizes: Any) -> Memory:
    argument, temporary = sizes.argument_size_in_bytes, sizes.temp_size_in_bytes
    output, alias = sizes.output_size_in_bytes, sizes.alias_size_in_bytes
    peak = getattr(sizes, "peak_memory_in_bytes", 0) or argument + temporary + output - alias
    return Memory(argument, temporary, output, alias, peak)


def _out_of_memory(message: str) -> DoesNotFit | None:
    """Reads what is needed and what there is out of the compiler's RESOURCE_EXHAUSTED."""
    if "RESOURCE_EXHAUSTED" not in message:
        return None
    amount = r"([\d.]+)([KMGT])"
    for pattern in (
        rf"Used {amount} of {amount} hbm",
        rf"temporaries \({amount}\) exceeds available HBM \({amount}\)",
    ):
        found = re.search(pattern, message)
        if found:
            unit = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
            return DoesNotFit(float(found[1]) * unit[found[2]], float(found[3]) * unit[found[4]])
    return None

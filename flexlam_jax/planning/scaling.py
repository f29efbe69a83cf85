"""Weak scaling, counted in compiled programs: a step on more devices, with as many rows on each."""

import copy
import dataclasses
import math
from typing import Any

import jax

from flexlam_jax.parallel.mesh import make_mesh
from flexlam_jax.planning.compile import compile_step
from flexlam_jax.planning.hlo import by_kind, collectives
from flexlam_jax.planning.plan import Build
from flexlam_jax.training.optimizer import make_optimizer, make_schedule
from flexlam_jax.training.program import train_program

PARTS = ("params", "opt_state", "ema")


@dataclasses.dataclass(frozen=True)
class Scaled:
    """A step on `devices` devices of one axis.

    Attributes:
      collectives: {kind: {"count", "bytes", "types"}} per device and step.
      state: bytes per device of each of PARTS.
      argument, alias: bytes per device of all arguments, and of those that are donated.
    """

    axis: str
    devices: int
    collectives: dict[str, dict[str, Any]]
    state: dict[str, int]
    argument: int
    alias: int

    @property
    def count(self) -> int:
        return sum(entry["count"] for entry in self.collectives.values())

    @property
    def bytes(self) -> int:
        return sum(entry["bytes"] for entry in self.collectives.values())


def scaled(config: Any, axis: str, devices: int, build: Build) -> Scaled:
    """Compiles the step for `devices` of the devices that are here, all of them along `axis`.

    The batch of `config` is that of each device.
    """
    config = copy.deepcopy(config)
    config.mesh.update(dict(slice=1, data=1, fsdp=1, model=1) | {axis: devices})
    objective, one = build(config)
    batch = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct((devices * x.shape[0], *x.shape[1:]), x.dtype), one
    )
    here = jax.devices()[:devices]
    step = compile_step(objective, batch, config, here)
    schedule = make_schedule(config.optimizer, config.total_steps)
    abstract = train_program(
        objective,
        make_optimizer(config.optimizer, schedule),
        schedule,
        config,
        make_mesh(config.mesh, here),
        batch,
    ).abstract
    return Scaled(
        axis,
        devices,
        by_kind(collectives(step.hlo, devices)),
        {part: _bytes_per_device(getattr(abstract, part)) for part in PARTS},
        step.memory.argument,
        step.memory.alias,
    )


def table(rows: list[Scaled]) -> str:
    """Markdown."""
    head = (
        "axis",
        "devices",
        "collectives per step",
        "MB moved per device",
        *(f"{part} MB per device" for part in PARTS),
    )
    lines = [head, ("---",) * len(head)]
    for row in rows:
        lines.append(
            (
                row.axis,
                str(row.devices),
                str(row.count),
                f"{row.bytes / 1e6:.3f}",
                *(f"{row.state[part] / 1e6:.4f}" for part in PARTS),
            )
        )
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _bytes_per_device(tree: Any) -> int:
    return sum(
        math.prod(leaf.sharding.shard_shape(leaf.shape)) * leaf.dtype.itemsize
        for leaf in jax.tree.leaves(tree)
    )

"""The plan of one run on one topology: fits or not, what is sent, least step time."""

import copy
import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.sharding import Mesh

from flexlam_jax.models.flops import program_flops
from flexlam_jax.objectives.objective import Objective
from flexlam_jax.parallel.axes import AXES, BATCH_AXES
from flexlam_jax.parallel.mesh import check_batch_size, make_mesh
from flexlam_jax.parallel.streams import Rows, rows_of, total
from flexlam_jax.planning.compile import DoesNotFit, Memory, Shapes, compile_step
from flexlam_jax.planning.hlo import SUMS, by_kind, collectives
from flexlam_jax.planning.least import product_bytes, state_bytes
from flexlam_jax.planning.roofline import Roofline, positions, roofline
from flexlam_jax.planning.topology import Topology
from flexlam_jax.planning.traffic import memory_traffic
from flexlam_jax.training.optimizer import make_optimizer, make_schedule
from flexlam_jax.training.performance import update_flops
from flexlam_jax.training.program import train_program

Build = Callable[[Any], tuple[Objective, Shapes]]


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is known of a run before it exists. Bytes and counts are per device and step.

    `whole` are large arrays of state that the fsdp axis does not divide; every device holds them.
    `memory`, `collectives` and `roofline` are missing where the program does not fit; then `needed`
    says what it would take, and `limit` what there is.
    """

    topology: str
    chips: int
    mesh: dict[str, int]
    batch_size: Rows
    transitions: int
    accumulate: int
    remat: str
    parameters: int
    limit: float
    needed: float
    compiler: str
    seconds: float = 0.0
    whole: int = 0
    memory: Memory | None = None
    collectives: dict[str, dict[str, Any]] | None = None
    model_flops: float = 0.0
    executed_flops: float = 0.0
    roofline: Roofline | None = None

    @property
    def fits(self) -> bool:
        return self.needed <= self.limit

    @property
    def summed(self) -> dict[str, float]:
        """{element type: bytes that are summed over devices in it}; gradients are most of them."""
        types: dict[str, float] = {}
        for kind in SUMS:
            for dtype, size in (self.collectives or {}).get(kind, {}).get("types", {}).items():
                types[dtype] = types.get(dtype, 0) + size
        return types

    @property
    def rate(self) -> float:
        """Transitions per second if all overlaps; 0 for what does not fit."""
        return self.transitions / self.roofline.overlapped if self.fits and self.roofline else 0.0

    def row(self) -> dict[str, Any]:
        """As JSON values."""
        row = dataclasses.asdict(self) | {"fits": self.fits}
        if self.roofline:
            low, high = self.roofline.mfu
            row["roofline"] |= {
                "bound": self.roofline.bound,
                "mfu_serial": low,
                "mfu_overlapped": high,
                "seconds_serial": self.roofline.serial,
                "seconds_overlapped": self.roofline.overlapped,
            }
        return row


def plan(config: Any, topology: Topology, devices: Sequence[jax.Device], build: Build) -> Plan:
    """Compiles the step of `config` for `devices` (of `topology`, or as many virtual ones).

    Args:
      build: config -> (objective, global batch shapes); see experiments/tasks.

    Raises:
      UserError: mesh or batch size that do not fit the devices. A program that is too large is not
        an error; see Plan.fits.
    """
    config = _with_slices(config, topology)
    objective, batch = build(config)
    mesh = make_mesh(config.mesh, devices)
    rows = rows_of(batch)
    check_batch_size(rows, config.optimizer.accumulate, mesh)
    parameters, model, executed, least = _counts(objective, batch, config, mesh)
    known = dict(
        topology=topology.name,
        chips=topology.chips,
        mesh={axis: mesh.shape[axis] for axis in AXES},
        batch_size=rows,
        transitions=total(rows, objective.transitions_per_row),
        accumulate=config.optimizer.accumulate,
        remat=remat_of(config),
        parameters=parameters,
        limit=topology.chip.hbm_bytes,
        compiler=devices[0].platform,
    )
    try:
        step = compile_step(objective, batch, config, devices)
    except DoesNotFit as error:
        return Plan(**known | {"limit": error.limit}, needed=error.needed)
    found = collectives(step.hlo, len(devices))
    return Plan(
        **known,
        needed=step.memory.peak,
        seconds=step.seconds,
        whole=step.whole,
        memory=step.memory,
        collectives=by_kind(found),
        model_flops=model,
        executed_flops=executed,
        roofline=roofline(
            topology,
            model_flops=model,
            executed_flops=executed,
            traffic=memory_traffic(step.hlo),
            least_traffic=least,
            collectives=found,
            coordinates=positions(topology, list(step.mesh.devices.flat)),
        ),
    )


def _with_slices(config: Any, topology: Topology) -> Any:
    """The config with as many slices as the topology has: virtual devices do not report them."""
    if config.mesh.get("slice", -1) != -1:
        return config
    config = copy.deepcopy(config)
    config.mesh.slice = topology.slices
    return config


def remat_of(config: Any) -> str:
    """The remat policy of a config; "" where its model has none."""
    return config.get("model", {}).get("remat", "")


def _counts(
    objective: Objective, batch: Shapes, config: Any, mesh: Mesh
) -> tuple[int, float, float, float]:
    """(parameters, model FLOPs, matmul FLOPs of the step with recomputation, least bytes moved per
    device).

    Traced for one CPU device with its share of the rows: the kernels of accelerators are opaque to
    the count, and FLOPs of all devices are those of one times their number.
    """
    ways = math.prod(mesh.shape[axis] for axis in BATCH_AXES)
    share = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct((x.shape[0] // ways, *x.shape[1:]), x.dtype), batch
    )
    schedule = make_schedule(config.optimizer, config.total_steps)
    program = train_program(
        objective,
        make_optimizer(config.optimizer, schedule),
        schedule,
        config,
        make_mesh({}, jax.devices("cpu")[:1]),
        share,
    )
    state, split = program.abstract, mesh.shape["fsdp"] * mesh.shape["model"]
    parameters = sum(math.prod(x.shape) for x in jax.tree.leaves(state.params))
    least = (
        product_bytes(program.step, state, share) / mesh.shape["model"]
        + state_bytes(parameters, config.optimizer.ema_decay > 0) / split
    )
    model = update_flops(objective, state, batch, rows_of(batch))
    return parameters, model, program_flops(program.step, state, share) * ways, least

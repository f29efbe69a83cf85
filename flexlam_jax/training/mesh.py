"""The device mesh: three named axes, sizes from the config, and what a batch must divide by.

  data   replicas of the parameters, each with its own rows of the batch
  fsdp   rows of the batch too, but the big parameters are split over it
  model  tensor parallelism: heads and hidden units are split over it

One device is the mesh 1x1x1: there is no second code path.
"""

from collections.abc import Mapping, Sequence
import math

import jax
from jax.sharding import AxisType, Mesh

from flexlam_jax.errors import UserError

AXES = ("data", "fsdp", "model")
BATCH_AXES = ("data", "fsdp")


def make_mesh(sizes: Mapping[str, int], devices: Sequence[jax.Device] | None = None) -> Mesh:
    """Builds the mesh of config.mesh: sizes of "data", "fsdp", "model"; one -1 takes what is left.

    Axis types are Auto and passed explicitly, because `jax.make_mesh` alone gives Explicit axes,
    under which sharding constraints inside a model are assertions.

    Raises:
      UserError: if the sizes do not multiply to the number of devices.
    """
    devices = list(jax.devices() if devices is None else devices)
    shape = _resolve(sizes, len(devices))
    return jax.make_mesh(shape, AXES, axis_types=(AxisType.Auto,) * len(AXES), devices=devices)


def _resolve(sizes: Mapping[str, int], device_count: int) -> tuple[int, ...]:
    unknown = sorted(set(sizes) - {*AXES, "fsdp_min_size"})
    if unknown:
        raise UserError(f"config.mesh has unknown axes {unknown}; the axes are {list(AXES)}.")
    shape = [int(sizes.get(axis, 1)) for axis in AXES]
    asked = "x".join(str(size) for size in shape)
    if any(size < 1 and size != -1 for size in shape) or shape.count(-1) > 1:
        raise UserError(
            f"config.mesh is {asked} ({'x'.join(AXES)}); sizes are positive, and one may be -1.")
    fixed = math.prod(size for size in shape if size != -1)
    if -1 in shape and device_count % fixed == 0:
        shape[shape.index(-1)] = device_count // fixed
    if math.prod(shape) != device_count:
        raise UserError(
            f"config.mesh is {asked} ({'x'.join(AXES)}) but there are {device_count} devices; "
            f"the sizes must multiply to {device_count} (-1 takes what is left).")
    return tuple(shape)


def check_batch_size(batch_size: int, accumulate: int, mesh: Mesh) -> None:
    """Raises UserError unless every micro-batch splits evenly over the mesh's batch axes."""
    ways = math.prod(mesh.shape[axis] for axis in BATCH_AXES)
    if batch_size < 1 or accumulate < 1 or batch_size % (accumulate * ways):
        raise UserError(
            f"config.batch_size={batch_size} must be a multiple of {accumulate * ways} = "
            f"optimizer.accumulate {accumulate} x mesh data {mesh.shape['data']} x mesh fsdp "
            f"{mesh.shape['fsdp']}; change the batch size or the mesh.")

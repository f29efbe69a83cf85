"""The device mesh: four named axes, sizes from the config, and what a batch must divide by.

  slice  replicas of the parameters over the slow network: TPU slices, or groups of hosts
  data   replicas of the parameters, each with its own rows of the batch
  fsdp   rows of the batch too, but the big parameters are split over it
  model  tensor parallelism: heads and hidden units are split over it

One device is the mesh 1x1x1x1: there is no second code path. Only `slice` crosses the slow network,
and all that crosses it is the sum of gradients, once per update.
"""

import math
from collections.abc import Mapping, Sequence

import jax
from jax.experimental import mesh_utils
from jax.sharding import AxisType, Mesh

from flexlam_jax.errors import UserError
from flexlam_jax.parallel.axes import AXES, BATCH_AXES
from flexlam_jax.parallel.streams import Rows, is_streams


def make_mesh(sizes: Mapping[str, int], devices: Sequence[jax.Device] | None = None) -> Mesh:
    """Builds the mesh of config.mesh: sizes of the axes; one of the inner three may be -1.

    `slice` -1 (or left out) takes the number of slices that TPUs report, elsewhere 1. Where devices
    report nothing, devices in the order of their processes are cut into `slice` equal groups.

    Axis types are Auto: under Explicit ones, sharding constraints inside a model are assertions.

    Raises:
      UserError: if the sizes do not multiply to the number of devices, or `slice` is not the number
        of slices that there are.
    """
    devices = list(jax.devices() if devices is None else devices)
    reported = count_slices(devices)
    shape = mesh_shape(sizes, len(devices), reported)
    types = (AxisType.Auto,) * len(AXES)
    if reported == 1:
        # Not `jax.make_mesh`: it refuses GPUs of several hosts, each of which calls itself a slice,
        # and meshes that split an axis of a TPU's torus, as 4 x 64 on 8 x 16 x 2.
        grid = mesh_utils.create_device_mesh(shape, devices, allow_split_physical_axes=True)
        return Mesh(grid, AXES, axis_types=types)
    if shape[0] != reported:
        raise UserError(
            f"config.mesh.slice={shape[0]} but the devices are {reported} slices; "
            f"give {reported} or -1."
        )
    grid = mesh_utils.create_hybrid_device_mesh(
        (1, *shape[1:]), (reported, 1, 1, 1), devices, allow_split_physical_axes=True
    )
    return Mesh(grid, AXES, axis_types=types)


def count_slices(devices: Sequence[jax.Device]) -> int:
    """TPU slices among the devices; 1 elsewhere (GPUs count every host as one, CPUs nothing)."""
    if devices[0].platform != "tpu":
        return 1
    return len({getattr(device, "slice_index", 0) for device in devices})


def mesh_shape(sizes: Mapping[str, int], device_count: int, slices: int = 1) -> tuple[int, ...]:
    """Sizes of AXES for so many devices; `slices`: how many the devices report.

    Raises UserError as `make_mesh`.
    """
    unknown = sorted(set(sizes) - {*AXES, "fsdp_min_size"})
    if unknown:
        raise UserError(f"config.mesh has unknown axes {unknown}; the axes are {list(AXES)}.")
    shape = [int(sizes.get(axis, 1)) for axis in AXES[1:]]
    outer = int(sizes.get("slice", -1))
    shape.insert(0, slices if outer == -1 else outer)
    asked = ", ".join(f"{axis}={size}" for axis, size in zip(AXES, shape, strict=True))
    if any(size < 1 and size != -1 for size in shape) or shape.count(-1) > 1:
        raise UserError(f"config.mesh is {asked}; sizes are positive, and one may be -1.")
    fixed = math.prod(size for size in shape if size != -1)
    if -1 in shape and device_count % fixed == 0:
        shape[shape.index(-1)] = device_count // fixed
    if math.prod(shape) != device_count:
        raise UserError(
            f"config.mesh is {asked} but there are {device_count} devices; the sizes must multiply "
            f"to {device_count} (-1 takes what is left)."
        )
    return tuple(shape)


def check_batch_size(batch_size: Rows, accumulate: int, mesh: Mesh) -> None:
    """Raises UserError unless every micro-batch, of every stream, splits evenly over the mesh's
    batch axes."""
    ways = math.prod(mesh.shape[axis] for axis in BATCH_AXES)
    axes = " x ".join(f"mesh {axis} {mesh.shape[axis]}" for axis in BATCH_AXES)
    streams = batch_size if is_streams(batch_size) else {"": batch_size}
    if not streams:
        raise UserError("config.batch_size has no streams; give the rows of each, as {video: 8}.")
    for name, rows in streams.items():
        key = f"config.batch_size.{name}" if name else "config.batch_size"
        whole = isinstance(rows, int) and not isinstance(rows, bool)
        if not whole or rows < 1 or accumulate < 1 or rows % (accumulate * ways):
            raise UserError(
                f"{key}={rows} must be a multiple of {accumulate * ways} = "
                f"optimizer.accumulate {accumulate} x {axes}; change the batch size or the mesh."
            )

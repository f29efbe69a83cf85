"""Tries settings of a run on a topology: batch size x remat policy x mesh, and what would fit."""

from collections.abc import Callable, Iterator
import copy
import itertools
from typing import Any

from flexlam_jax.planning.plan import Plan
from flexlam_jax.planning.topology import Topology


def variants(config: Any, topology: Topology) -> Iterator[Any]:
    """Configs to try, the most promising first: full sharding, little recomputation.

    Batch sizes are the config's own, half, twice and four times it; remat policies all three; the
    mesh splits parameters over all chips of a slice, over 16 and over 4 (data parallel beyond), or
    over 4 of tensor parallelism inside of full FSDP.
    """
    chips = topology.chips // topology.slices
    meshes = [dict(data=1, fsdp=chips, model=1)]
    meshes += [dict(data=chips // n, fsdp=n, model=1) for n in (16, 4) if chips > n]
    meshes += [dict(data=1, fsdp=chips // 4, model=4)] if chips > 4 else []
    sizes = (config.batch_size, 2 * config.batch_size, 4 * config.batch_size,
             config.batch_size // 2)
    for mesh, remat, size in itertools.product(meshes, ("dots", "full", "none"), sizes):
        if size and size % (topology.chips // mesh["model"] * config.optimizer.accumulate) == 0:
            yield changed(config, batch_size=size, remat=remat, mesh=mesh)


def search(config: Any, topology: Topology, make: Callable[[Any], Plan], *, limit: int,
           told: Callable[[Plan], None] = lambda _: None) -> list[Plan]:
    """Plans of up to `limit` variants, fastest per transition first, those that do not fit last.

    A variant with a batch larger than one that did not fit, all else equal, is not compiled.
    """
    plans: list[Plan] = []
    for variant in variants(config, topology):
        if len(plans) == limit:
            break
        if any(not p.fits and p.remat == variant.model.remat and _same_mesh(p, variant)
               and p.batch_size <= variant.batch_size for p in plans):
            continue
        plans.append(make(variant))
        told(plans[-1])
    return sorted(plans, key=lambda p: (not p.fits, -p.rate))


def remedies(config: Any, topology: Topology) -> Iterator[tuple[str, Any]]:
    """(what to change, config) for a run that does not fit, the cheapest change first."""
    chips = topology.chips // topology.slices
    split = dict(data=1, fsdp=chips, model=1)
    if config.model.remat != "full":
        yield "--config.model.remat=full", changed(config, remat="full")
    flags = f"--config.model.remat=full --config.mesh.data=1 --config.mesh.fsdp={chips}"
    if config.mesh.fsdp != chips and config.batch_size % topology.chips == 0:
        yield flags, changed(config, remat="full", mesh=split)
    for parts in (2, 4, 8, 16, 32):
        if config.batch_size % (parts * topology.chips) == 0:
            yield (f"{flags} --config.optimizer.accumulate={parts}",
                   changed(config, remat="full", mesh=split, accumulate=parts))


def changed(config: Any, *, batch_size: int | None = None, remat: str | None = None,
            mesh: dict[str, int] | None = None, accumulate: int | None = None) -> Any:
    """A copy of the config with these settings."""
    config = copy.deepcopy(config)
    config.batch_size = batch_size or config.batch_size
    config.model.remat = remat or config.model.remat
    config.mesh.update(mesh or {})
    config.optimizer.accumulate = accumulate or config.optimizer.accumulate
    return config


def _same_mesh(plan: Plan, config: Any) -> bool:
    return all(config.mesh[axis] in (size, -1) for axis, size in plan.mesh.items()
               if axis in config.mesh)

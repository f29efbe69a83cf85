"""Tries settings of a run on a topology: batch size x remat policy x mesh, and what would fit."""

import copy
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import jax

from flexlam_jax.errors import UserError
from flexlam_jax.models.transformer import REMAT_NAMES
from flexlam_jax.parallel.axes import AXES
from flexlam_jax.parallel.streams import Rows, by_stream, is_streams
from flexlam_jax.planning.plan import Plan, remat_of
from flexlam_jax.planning.topology import Topology

_FACTORS = (1, 2, 4, 0.5)  # Of the batch size.


def search(
    config: Any,
    topology: Topology,
    make: Callable[[Any], Plan],
    *,
    limit: int,
    told: Callable[[str, Plan | Exception], None] = lambda *_: None,
) -> list[Plan]:
    """Plans of up to `limit` settings, most transitions per second first, misfits last.

    One setting at a time, the best kept: the config itself, other meshes, remat policies, batch
    sizes; then what is left of their product. Not compiled is what divides badly, and a batch
    larger than one that did not fit, all else equal. What fails to compile is told and skipped.
    """
    tried: dict[tuple, Plan | None] = {}
    meshes, policies = _meshes(config, topology), _policies(config)

    def best() -> Any:
        fitting = [(plan.rate, key) for key, plan in tried.items() if plan and plan.fits]
        return max(fitting)[1] if fitting else _key(config, topology)

    def attempt(key: tuple) -> None:
        mesh, remat, factor = key
        hopeless = any(
            plan and not plan.fits and (m, r) == (mesh, remat) and f <= factor
            for (m, r, f), plan in tried.items()
        )
        if len(tried) == limit or key in tried or hopeless or not _divides(config, topology, key):
            return
        size = _times(config.batch_size, factor)
        variant = changed(config, batch_size=size, remat=remat, mesh=dict(mesh))
        try:
            tried[key] = outcome = make(variant)
        except (UserError, jax.errors.JaxRuntimeError) as error:
            tried[key], outcome = None, error
        told(_settings(variant), outcome)

    attempt(best())
    for mesh in meshes:
        attempt((mesh, *best()[1:]))
    for remat in policies:
        attempt((best()[0], remat, best()[2]))
    for factor in _FACTORS:
        attempt((*best()[:2], factor))
    for key in itertools.product(meshes, policies, _FACTORS):
        attempt(key)
    return sorted((p for p in tried.values() if p), key=lambda p: (not p.fits, -p.rate))


def _settings(config: Any) -> str:
    mesh = " x ".join(f"{axis} {config.mesh[axis]}" for axis in AXES[1:])
    rows = by_stream(int, config.batch_size)
    return f"batch {rows}, remat {remat_of(config) or 'of the model'}, mesh {mesh}"


def _key(config: Any, topology: Topology) -> tuple:
    """(mesh, remat policy, factor of the batch size) of the config itself."""
    chips = topology.chips // topology.slices
    fixed = [int(config.mesh[axis]) for axis in AXES[1:]]
    left = chips
    for size in fixed:
        left //= size if size > 0 else 1
    mesh = tuple(zip(AXES[1:], (left if n == -1 else n for n in fixed), strict=True))
    return mesh, remat_of(config), 1


def _meshes(config: Any, topology: Topology) -> list[tuple]:
    """Parameters split over all chips of a slice, over none, over 16, over 4; tensor parallelism
    over 4 inside of FSDP.
    """
    chips = topology.chips // topology.slices
    sizes = [(1, chips, 1), (chips, 1, 1)]
    sizes += [(chips // n, n, 1) for n in (16, 4) if chips % n == 0 and chips > n]
    sizes += [(1, chips // 4, 4)] if chips % 4 == 0 else []
    return [tuple(zip(AXES[1:], size, strict=True)) for size in sizes]


def _policies(config: Any) -> tuple[str, ...]:
    """What the model of a config can recompute; the one of none for a model that has no choice."""
    return REMAT_NAMES if remat_of(config) else ("",)


def _divides(config: Any, topology: Topology, key: tuple) -> bool:
    mesh, _, factor = key
    ways = topology.chips // dict(mesh)["model"] * config.optimizer.accumulate
    return _multiple(by_stream(lambda rows: rows * factor, config.batch_size), ways)


def _times(rows: Rows, factor: float) -> Rows:
    return by_stream(lambda count: round(count * factor), rows)


def _multiple(rows: Rows, number: int) -> bool:
    """Whether the rows of every stream are a multiple of `number`."""
    return all(count % number == 0 for count in (rows.values() if is_streams(rows) else [rows]))


def flags(plan: Plan) -> str:
    """What to append to a command to get this plan's settings."""
    sizes = plan.batch_size if is_streams(plan.batch_size) else {"": plan.batch_size}
    settings = {
        **{f"batch_size.{stream}".rstrip("."): rows for stream, rows in sizes.items()},
        **({"model.remat": plan.remat} if plan.remat else {}),
        "optimizer.accumulate": plan.accumulate,
        **{f"mesh.{axis}": plan.mesh[axis] for axis in AXES[1:]},
    }
    return " ".join(f"--config.{key}={value}" for key, value in settings.items())


def remedies(config: Any, topology: Topology) -> Iterator[tuple[str, Any]]:
    """(what to change, config) for a run that does not fit, the cheapest change first."""
    chips = topology.chips // topology.slices
    split = dict(data=1, fsdp=chips, model=1)
    remat, most = remat_of(config), ""
    if remat:
        remat, most = "full", "--config.model.remat=full "
    if remat != remat_of(config):
        yield most.strip(), changed(config, remat=remat)
    given = f"{most}--config.mesh.data=1 --config.mesh.fsdp={chips}"
    other = _key(config, topology)[0] != tuple(split.items())
    if other and _multiple(config.batch_size, topology.chips):
        yield given, changed(config, remat=remat, mesh=split)
    for parts in (2, 4, 8, 16, 32):
        if _multiple(config.batch_size, parts * topology.chips):
            yield (
                f"{given} --config.optimizer.accumulate={parts}",
                changed(config, remat=remat, mesh=split, accumulate=parts),
            )


def changed(
    config: Any,
    *,
    batch_size: Rows | None = None,
    remat: str | None = None,
    mesh: dict[str, int] | None = None,
    accumulate: int | None = None,
) -> Any:
    """A copy of the config with these settings."""
    config = copy.deepcopy(config)
    config.batch_size = batch_size or config.batch_size
    if remat:
        config.model.remat = remat
    config.mesh.update(mesh or {})
    config.optimizer.accumulate = accumulate or config.optimizer.accumulate
    return config

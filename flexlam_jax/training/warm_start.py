"""Warm start: parameters of a new run that come from the checkpoints of others.

    config.init_from = {"lam": {"path": "runs/doom", "take": "", "to": "lam", "step": None}}
    config.frozen = ("lam",)

`take` is a path in the other run's parameters, `to` one in ours; "" is all of them. The averaged
parameters are taken where the run kept them, and what other collections have at the same paths goes
along (the codebook of VQ). Frozen parameters are neither trained nor saved: see frozen.py.
"""

import dataclasses
import itertools
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from flexlam_jax.checkpoints.params import checkpoint_folder, restore_params
from flexlam_jax.checkpoints.references import Reference, refer
from flexlam_jax.checkpoints.report import differences, screen
from flexlam_jax.checkpoints.subtrees import children, subtree, with_subtree, within
from flexlam_jax.config.ranges import COUNT_OR_NONE, TEXT, either, exactly
from flexlam_jax.config.settings import read, setting
from flexlam_jax.errors import CheckpointError, ConfigError
from flexlam_jax.models.heads import DETACHED_HEADS, HEADS
from flexlam_jax.parallel import distributed
from flexlam_jax.training.frozen import place
from flexlam_jax.training.state import TrainState


@dataclasses.dataclass(frozen=True)
class InitFromSettings:
    """An entry of config.init_from: a part of another run's parameters, and its place in ours."""

    path: str = setting(range=TEXT, help="work directory of the other run", required=True)
    take: str = setting("", range=TEXT, help='path in its parameters, "" for all')
    to: str = setting("", range=TEXT, help='path in those of this run, "" for all')
    step: int | None = setting(
        None,
        range=either(COUNT_OR_NONE, exactly(None)),
        help="step of the other run, None for the newest",
    )


def sources_of(config: Mapping[str, Any]) -> dict[str, InitFromSettings]:
    """The config's `init_from`, {name: entry}, checked beside `frozen`; nothing is read.

    Raises:
      ConfigError: unknown or missing keys, entries for the same parameters, or frozen parameters
        that none of them gives.
    """
    section = config.get("init_from") or {}
    sources = {name: read(f"init_from.{name}", section[name], InitFromSettings) for name in section}
    for (a, one), (b, other) in itertools.combinations(sources.items(), 2):
        if within(one.to, [other.to]) or within(other.to, [one.to]):
            raise ConfigError(
                f"config.init_from.{a}.to={one.to!r} and config.init_from.{b}.to={other.to!r} "
                "overlap; a parameter can come from one run only"
            )
    for path in config.get("frozen") or ():
        if not within(path, [source.to for source in sources.values()]):
            places = ", ".join(repr(source.to) for source in sources.values())
            raise ConfigError(
                f"config.frozen names {path!r}, which no entry of config.init_from gives (they give "
                f"{places or 'nothing'}): frozen parameters must come from a checkpoint"
            )
    return sources


@dataclasses.dataclass(frozen=True)
class Start:
    """What a first state takes from other runs.

    Attributes:
      parts: {(collection, path): tree of host arrays}.
      references: to the frozen ones among the parameters, for the checkpoints of this run.
    """

    parts: dict[tuple[str, str], Any]
    references: tuple[Reference, ...]


def read_start(config: Mapping[str, Any], abstract: TrainState, folder: Any) -> Start:
    """Reads and checks all that `config.init_from` names.

    Args:
      abstract: the state of this run.
      folder: of its checkpoints.

    Raises:
      ConfigError: as `sources_of`, or a path that is not there, with those that are.
      CheckpointError: no checkpoint, a damaged one, or parameters of other shapes.
    """
    parts: dict[tuple[str, str], Any] = {}
    references: list[Reference] = []
    for name, source in sources_of(config).items():
        taken, step, whole = _taken(name, source, abstract)
        parts |= {(collection, source.to): tree for collection, tree in taken.items()}
        for path in config.get("frozen") or ():
            if within(path, [source.to]):
                inner = path[len(source.to) :].strip("/")
                params = subtree(taken["params"], inner)
                take = "/".join(filter(None, (source.take, inner)))
                pieces = {"": params} if whole or inner else params
                for child, part in pieces.items():
                    there, here = ("/".join(filter(None, (top, child))) for top in (take, path))
                    references.append(refer(source.path, folder, step, there, here, part))
    return Start(jax.tree.map(np.asarray, parts), tuple(references))


def _taken(
    name: str, source: InitFromSettings, abstract: TrainState
) -> tuple[dict[str, Any], int, bool]:
    """({collection: tree}, step, whether that is all that lies there) of what an entry names, with
    the shapes of ours. Heads that we have no place for are left: no model needs them."""
    try:
        checkpoint_folder(source.path)  # Raises where there is none.
        variables, _, step = restore_params(source.path, step=source.step)
    except CheckpointError as error:
        raise CheckpointError(f"config.init_from.{name}: {error}") from error
    ours = abstract.variables
    for key, path, params in (("take", source.take, variables), ("to", source.to, ours)):
        if subtree(params["params"], path) is None:
            owner = f"step {step} in {source.path}" if key == "take" else "this run's model"
            raise ConfigError(
                f"config.init_from.{name}.{key}={path!r} matches nothing in the parameters of "
                f"{owner}: {children(params['params'], path)}"
            )
    expected = {collection: subtree(tree, source.to) for collection, tree in ours.items()}
    expected = {collection: tree for collection, tree in expected.items() if tree is not None}
    taken = {collection: subtree(variables.get(collection), source.take) for collection in expected}
    found, mine = taken["params"], expected["params"]
    more = found.keys() - mine.keys() if isinstance(found, Mapping) else set()
    heads = {HEADS, DETACHED_HEADS} & more
    if heads:
        taken["params"] = {key: part for key, part in found.items() if key not in heads}
    lines = differences(f"init_from.{name}", taken, expected)
    if lines:
        raise CheckpointError(
            screen(
                f"config.init_from.{name}: what lies at {source.take!r} in step {step} of "
                f"{source.path} does not fit {source.to!r} of this run's model:",
                lines,
                remedy="Give the model the settings of that run, or name another part of it.",
            )
        )
    return taken, step, not heads


def apply_start(start: Start, state: TrainState) -> TrainState:
    """The state with the parts of other runs, each array in the place of the one it replaces."""
    for (collection, path), tree in start.parts.items():
        if collection == "params":
            state = dataclasses.replace(
                state,
                params=_replaced(state.params, path, tree),
                ema=_replaced(state.ema, path, tree),
                frozen=_replaced(state.frozen, path, tree),
            )
        else:
            part = _replaced(state.extra[collection], path, tree)
            state = dataclasses.replace(state, extra={**state.extra, collection: part})
    return state


def _replaced(tree: Any, path: str, source: Any) -> Any:
    """Every leaf of `tree` at `path` is that of `source`, which may have more."""
    part = subtree(tree, path)
    if part is None:
        return tree
    return with_subtree(tree, path, _placed_like(part, source))


def _placed_like(part: Any, source: Any) -> Any:
    if isinstance(part, Mapping):
        return {name: _placed_like(child, source[name]) for name, child in part.items()}
    return place(source, part.sharding)


def start_of(config: Mapping[str, Any], abstract: TrainState, folder: Any) -> Start:
    """`read_start` on every process; the error of one is raised by all."""
    return distributed.together("warm start", lambda: read_start(config, abstract, folder))

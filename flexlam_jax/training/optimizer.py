"""AdamW with warm-up, a schedule, clipping, and decay of weight matrices only. All float32."""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import jax
import optax

from flexlam_jax.checkpoints.subtrees import merge, split
from flexlam_jax.config.ranges import TEXT, real
from flexlam_jax.config.settings import read, setting
from flexlam_jax.errors import ConfigError, UserError
from flexlam_jax.models.heads import DETACHED_HEADS
from flexlam_jax.parallel.sharding import path_name

DECAYED = "kernel"
SCHEDULES = ("cosine", "wsd", "constant")


def make_schedule(cfg: Mapping[str, Any], total_steps: int) -> optax.Schedule:
    """Learning rate as a function of the number of updates done.

    Linear warm-up from 0 over `warmup_steps`, then
      cosine    half a cosine down to 0 at `total_steps`;
      wsd       constant, and linear to 0 over the last `decay_fraction` of `total_steps`
                (warm-up, stable, decay: MiniCPM, arXiv 2404.06395);
      constant  no decay.

    Raises:
      UserError: unknown schedule, or warm-up and decay that do not fit into `total_steps`.
    """
    kind, peak, warmup = cfg["schedule"], cfg["learning_rate"], cfg["warmup_steps"]
    if kind not in SCHEDULES:
        raise UserError(f"config.optimizer.schedule={kind!r} is not one of {SCHEDULES}.")
    decay = {
        "cosine": total_steps - warmup,
        "constant": 0,
        "wsd": round(cfg["decay_fraction"] * total_steps),
    }[kind]
    if warmup < 0 or decay < 0 or warmup + decay > total_steps:
        raise UserError(
            f"config.optimizer: warmup_steps={warmup} and a decay of {decay} steps do not fit "
            f"into total_steps={total_steps}; shorten them or train longer."
        )
    tail = {
        "cosine": lambda: optax.cosine_decay_schedule(peak, max(decay, 1)),
        "wsd": lambda: optax.linear_schedule(peak, 0.0, max(decay, 1)),
        "constant": lambda: optax.constant_schedule(peak),
    }[kind]()
    return optax.join_schedules(
        [optax.linear_schedule(0.0, peak, max(warmup, 1)), optax.constant_schedule(peak), tail],
        [warmup, total_steps - decay],
    )


def decay_mask(params: Any) -> Any:
    """True for the weights of dense, convolution and attention layers, told by name.

    Not for biases, norm scales, tables, queries and nulls; their number of dimensions would not
    tell, because a scan over layers adds one to all.
    """

    def decays(path, _):
        return jax.tree_util.keystr(path[-1:], simple=True) == DECAYED

    return jax.tree_util.tree_map_with_path(decays, params)


@dataclasses.dataclass(frozen=True)
class GroupSettings:
    """A group of parameters that learns at another pace than the rest.

    Both numbers are factors on those of config.optimizer: 0 switches off, 1 changes nothing. The
    learning rate scales the decay too, as everywhere in AdamW.
    """

    pattern: str = setting(
        range=TEXT, help="regular expression searched in the parameter's path", required=True
    )
    learning_rate: float = setting(1.0, range=real(0), help="factor on optimizer.learning_rate")
    weight_decay: float = setting(1.0, range=real(0), help="factor on optimizer.weight_decay")


def groups_of(section: Mapping[str, Any] | None) -> dict[str, GroupSettings]:
    """The config's `optimizer.groups`, {name: group}, in the order of names.

    Raises:
      ConfigError: unknown or missing keys, values out of range, no regular expression.
    """
    groups = {
        name: read(f"optimizer.groups.{name}", (section or {})[name], GroupSettings)
        for name in sorted(section or {})
    }
    for name, group in groups.items():
        try:
            re.compile(group.pattern)
        except re.error as error:
            raise ConfigError(
                f"config.optimizer.groups.{name}.pattern={group.pattern!r} is no regular "
                f"expression: {error}"
            ) from error
    return groups


def assign(groups: Mapping[str, GroupSettings], params: Any) -> Any:
    """The tree of every parameter's group: the first whose pattern is found in its path.

    Raises:
      ConfigError: a pattern that no parameter's path has.
    """
    rest, met = GroupSettings(pattern=""), set()

    def one(path, _):
        name = path_name(path)
        for key, group in groups.items():
            if re.search(group.pattern, name):
                met.add(key)
                return group
        return rest

    tree = jax.tree_util.tree_map_with_path(one, params)
    paths = [path_name(path) for path, _ in jax.tree.leaves_with_path(params)]
    for key in sorted(groups.keys() - met):
        pattern = groups[key].pattern
        if not any(re.search(pattern, path) for path in paths):
            raise ConfigError(
                f"config.optimizer.groups.{key}.pattern={pattern!r} matches no trained parameter; "
                f"at the top there are {', '.join(sorted(params))}, as in {paths[0]}"
            )
        raise ConfigError(
            f"config.optimizer.groups.{key}.pattern={pattern!r} is left without parameters: groups "
            "before it, in the order of their names, match them all"
        )
    return tree


def scale_groups(groups: Mapping[str, GroupSettings], decay: float) -> optax.GradientTransformation:
    """Adds each group's weight decay to the updates and scales both. Stateless."""

    def init(params):
        assign(groups, params)  # Raises for patterns that match nothing.
        return optax.EmptyState()

    def update(updates, state, params):
        def one(update, group, param, decays):
            pull = group.weight_decay * decay * param if decays else 0
            return group.learning_rate * (update + pull)

        return jax.tree.map(one, updates, assign(groups, params), params, decay_mask(params)), state

    return optax.GradientTransformation(init, update)


def make_optimizer(
    cfg: Mapping[str, Any], schedule: optax.Schedule
) -> optax.GradientTransformation:
    """Clipping by global norm (0 = off), then AdamW (arXiv 1711.05101), by groups where there are.

    Raises:
      ConfigError: see `groups_of`; on init also a group without parameters.
    """
    groups = groups_of(cfg.get("groups"))
    if groups:
        adamw = optax.chain(
            optax.scale_by_adam(b1=cfg["b1"], b2=cfg["b2"]),
            scale_groups(groups, cfg["weight_decay"]),
            optax.scale_by_learning_rate(schedule),
        )
    else:
        adamw = optax.adamw(
            schedule, b1=cfg["b1"], b2=cfg["b2"], weight_decay=cfg["weight_decay"], mask=decay_mask
        )
    if not cfg["clip_norm"]:
        return adamw
    return optax.chain(clip_by_norm(cfg["clip_norm"]), adamw)


def clip_by_norm(most: float) -> optax.GradientTransformation:
    """Clipping by global norm; detached heads by theirs, so that the model never feels them."""
    clip = optax.clip_by_global_norm(most)

    def update(updates, state, params=None):
        parts = (clip.update(part, state)[0] for part in without_detached(updates))
        return merge(*parts), state

    return optax.GradientTransformation(clip.init, update)


def without_detached(tree: Any) -> tuple[Any, Any]:
    """(the rest, those of `Term.detached` or None) of parameters or gradients; `merge` undoes it."""
    rest, apart = split(tree, lambda path: DETACHED_HEADS in path.split("/"))
    return (tree, None) if apart is None else (rest, apart)

"""AdamW with warm-up, a schedule, clipping, and decay of weight matrices only. All float32."""

from collections.abc import Mapping
from typing import Any

import jax
import optax

from flexlam_jax.errors import UserError

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


def make_optimizer(
    cfg: Mapping[str, Any], schedule: optax.Schedule
) -> optax.GradientTransformation:
    """Clipping by global norm (0 = off), then AdamW (arXiv 1711.05101)."""
    adamw = optax.adamw(
        schedule, b1=cfg["b1"], b2=cfg["b2"], weight_decay=cfg["weight_decay"], mask=decay_mask
    )
    if not cfg["clip_norm"]:
        return adamw
    return optax.chain(optax.clip_by_global_norm(cfg["clip_norm"]), adamw)

"""Many small Adam fits at once: the one routine behind probes and translators.

A fit is defined by its initialisation, its loss and which parameters decay. All fits of one call
run as one vmapped program: they may differ in seed, in the rows that they read and in their
settings (learning rate, decay, steps). Row counts and settings are traced values, so that every
call of equal shapes shares its compilation.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

Schedule = Callable[[jax.Array, jax.Array], jax.Array]


def cosine(step: jax.Array, steps: jax.Array) -> jax.Array:
    """Factor of the learning rate, from 1 to 0."""
    return 0.5 * (1 + jnp.cos(jnp.pi * step / steps))


def kernels(path: str) -> bool:
    """Decays the kernels of layers and nothing else."""
    return path.rpartition("/")[2] == "kernel"


def alike(path: str) -> float:
    """All parameters learn at one rate."""
    return 1.0


@dataclasses.dataclass(frozen=True)
class SmallFit:
    """What is fitted. Equal ones share their compiled program, so functions are made once.

    Attributes:
      init: (key, data, rows_M, count) -> (params, fixed); `fixed` is what the loss reads beside the
        parameters and what stays as it is, statistics for example.
      loss: (params, fixed, batch) -> scalar, a mean over the batch.
      draw: (data, rows_B, key) -> batch; `rows_B` are drawn with replacement from the first `count`
        of the fit's rows.
      batch_size: B.
      decays: path of a parameter ("in/kernel") -> whether it decays.
      schedule: (step, steps) -> factor of the learning rate.
      rates: path of a parameter -> factor of its learning rate.
    """

    init: Callable[[jax.Array, Any, jax.Array, jax.Array], tuple[Any, Any]]
    loss: Callable[[Any, Any, Any], jax.Array]
    draw: Callable[[Any, jax.Array, jax.Array], Any]
    batch_size: int = 128
    decays: Callable[[str], bool] = kernels
    schedule: Schedule = cosine
    rates: Callable[[str], float] = alike


def fit(
    problem: SmallFit,
    data: Any,
    rows_LM: jax.Array,
    count: Any,
    seeds_L: jax.Array,
    *,
    steps: Any,
    learning_rate: Any,
    weight_decay: Any = 0.0,
) -> tuple[Any, Any]:
    """Fits L models with Adam and decoupled weight decay (AdamW).

    Args:
      data: pytree that every fit reads.
      rows_LM: (L, M) int32, the rows of each fit.
      count: how many of its rows a fit reads.
      seeds_L: (L,) ints, of initialisation and batches.
      steps, learning_rate, weight_decay, count: one for all, or (L,) of them.

    Returns:
      (params, fixed), every leaf with a leading axis L.
    """
    settings = {
        "count": jnp.asarray(count, jnp.int32),
        "steps": jnp.asarray(steps, jnp.int32),
        "learning_rate": jnp.asarray(learning_rate, jnp.float32),
        "weight_decay": jnp.asarray(weight_decay, jnp.float32),
    }
    apart = tuple(sorted(name for name, value in settings.items() if value.ndim))
    keys_L = jax.vmap(jax.random.key)(jnp.asarray(seeds_L))
    return _program(problem, apart)(data, jnp.asarray(rows_LM, jnp.int32), keys_L, settings)


@functools.cache
def _program(problem: SmallFit, apart: tuple[str, ...]) -> Callable[..., tuple[Any, Any]]:
    """The compiled fits; `apart` names the settings that differ between them."""
    names = ("count", "steps", "learning_rate", "weight_decay")
    axes = {name: 0 if name in apart else None for name in names}
    return jax.jit(
        jax.vmap(functools.partial(_fit_one, problem), in_axes=(None, 0, 0, axes)),
    )


def _fit_one(problem: SmallFit, data, rows_M, key, settings) -> tuple[Any, Any]:
    count, steps = settings["count"], settings["steps"]
    adam = optax.scale_by_adam()
    params, fixed = problem.init(key, data, rows_M, count)

    def batch(index):
        row_key, draw_key = jax.random.split(jax.random.fold_in(key, index))
        rows = rows_M[jax.random.randint(row_key, (problem.batch_size,), 0, count)]
        return problem.draw(data, rows, draw_key)

    def step(index, carry):
        params, state = carry
        gradient = jax.grad(problem.loss)(params, fixed, batch(index))
        update, state = adam.update(gradient, state, params)
        rate = settings["learning_rate"] * problem.schedule(index, steps)

        def move(path, parameter, change):
            name = jax.tree_util.keystr(path, simple=True, separator="/")
            decay = settings["weight_decay"] * parameter if problem.decays(name) else 0
            return parameter - problem.rates(name) * rate * (change + decay)

        return jax.tree_util.tree_map_with_path(move, params, update), state

    params, _ = jax.lax.fori_loop(0, steps, step, (params, adam.init(params)))
    return params, fixed

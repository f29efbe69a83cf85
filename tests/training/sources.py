"""Runs of the toy objective that others take parameters from, and configs that do."""

import functools

import jax
import ml_collections
import optax

from flexlam_jax.training.checkpoint import Checkpoints
from flexlam_jax.training.state import create_state
from tests.training import toy

KINDS = dict(noise=0.3, count_updates=True)


def state_of(seed=0, hidden=16, frozen=()):
    """A fresh state, with an average that differs from the parameters, on the device."""
    create = functools.partial(
        create_state, toy.objective(hidden, **KINDS), optax.sgd(0.1), seed=seed, ema=True
    )
    state = jax.jit(lambda batch: create(batch, frozen=frozen))(next(toy.Rows()))
    return state.replace(ema=jax.tree.map(lambda x: x + 1, state.ema))


def save_source(folder, seed=7, hidden=16):
    """A work directory with a checkpoint at step 0; returns its averaged parameters."""
    with Checkpoints(folder / "checkpoints") as checkpoints:
        state = state_of(seed, hidden)
        extra = {"counter": {"n": state.extra["counter"]["n"] + 5}}
        checkpoints.save(state.replace(extra=extra), {"next_index": 0}, {"kind": "toy"})
    return state.ema


def config_from(path, *, frozen=(), take="", to="", **overrides):
    """The toy's config with one entry of init_from."""
    config = toy.config(**overrides)
    config.init_from = ml_collections.ConfigDict(
        {"other": {"path": str(path), "take": take, "to": to}}
    )
    config.frozen = tuple(frozen)
    return config

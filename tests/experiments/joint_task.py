"""A task of another family than this package's, for tests: two streams of different rows.

A linear map from a frame to the next, fitted to the clips of both streams, and another to the
actions of the labelled ones. A config names it by its path: `kind="tests.experiments.joint_task"`.
"""

import functools

import jax
import jax.numpy as jnp

from data_pipelines.loading.joint import joint_batches
from experiments.data_hashes import data_hashes
from experiments.tasks.task import Task
from flexlam_jax.objectives.objective import Mean
from flexlam_jax.objectives.terms import Term, objective_of
from tests.experiments import tiny

STREAMS = ("labelled", "video")
SIZE = 16


def get_config(path=""):
    config = tiny.get_config()
    config.kind = "tests.experiments.joint_task"
    del config.model, config.loss
    del config.batch_size
    config.batch_size = {"labelled": 4, "video": 8}
    config.data = dict(path=path, split="train", prefetch=2, threads=1)
    config.total_steps, config.checkpoint.every, config.optimizer.ema_decay = 6, 4, 0.0
    return config


def build(config):
    frames = {
        name: {"frames": jax.ShapeDtypeStruct((rows, 2, SIZE, SIZE, 3), jnp.uint8)}
        for name, rows in config.batch_size.items()
    }
    rows = config.batch_size["labelled"]
    frames["labelled"]["action"] = jax.ShapeDtypeStruct((rows, 1), jnp.int32)
    streams = {name: dict(config.data) for name in config.batch_size}
    streams["labelled"]["fields"] = ("action",)
    hashes = functools.partial(data_hashes, config.data, [config.data.split])
    return Task(
        objective=_objective(),
        batch=frames,
        data=lambda rows: joint_batches(
            streams, seed=config.seed, batch_size=dict(config.batch_size), rows=rows
        ),
        evaluators=lambda rows: (_norm,),
        data_hashes=hashes,
    )


def _norm(state):
    return {"validation/norm": float(jnp.linalg.norm(state.params["next"]))}


def _objective():
    def init(key, batch):
        return {"params": {"next": jnp.zeros((SIZE * SIZE * 3, 8)), "bias": jnp.zeros(8)}}

    def apply(params, extra, batch, key):
        frames = {
            name: part["frames"].reshape(len(part["frames"]), 2, -1).astype(jnp.float32) / 255
            for name, part in batch.items()
        }
        codes = {name: x[:, 0] @ params["next"] + params["bias"] for name, x in frames.items()}
        return (frames, codes), extra

    def video(params, outputs, batch, key):
        frames, codes = outputs
        error = {name: frames[name][:, 1, :8] - codes[name] for name in frames}
        means = [Mean.of(x**2) for x in error.values()]
        return jax.tree.map(lambda *x: sum(x), *means)

    def action(params, outputs, batch, key):
        target = batch["labelled"]["action"][:, 0] == jnp.arange(8)[:, None]
        return Mean.of((outputs[1]["labelled"] - target.T) ** 2)

    return objective_of(init, apply, [Term("video", video), Term("action", action)])

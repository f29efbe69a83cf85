"""Predicts the next frame from this one alone: a whole model family, its preset and its loading.

    python -m experiments.train --config=docs/examples/toy_family.py --workdir=runs/toy \
        --config.data.path=data/synthetic
"""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp

from data_pipelines.loading.loader import training_batches
from data_pipelines.loading.options import LoaderOptions
from experiments.configs.common import section_config, shorten
from experiments.configs.keys import TaskSettings
from experiments.data_hashes import data_hashes
from experiments.tasks.task import Task
from flexlam_jax.checkpoints.params import restore_params
from flexlam_jax.config.ranges import COUNT, TEXT
from flexlam_jax.config.settings import section, setting
from flexlam_jax.frames import to_float
from flexlam_jax.loading.load import register
from flexlam_jax.objectives.objective import Mean
from flexlam_jax.objectives.terms import Term, objective_of

KIND = "docs.examples.toy_family"
register(KIND, KIND)  # flexlam_jax.load reads its checkpoints with `from_checkpoint`.


@dataclasses.dataclass(frozen=True)
class ToyConfig(TaskSettings):
    kind: str = setting(KIND, range=TEXT, help="of the model")
    data: LoaderOptions = section(LoaderOptions)
    hidden: int = setting(16, range=COUNT, help="channels of the hidden layer")


SETTINGS = ToyConfig  # Flags, --help and checks of its keys follow.


class Predictor(nn.Module):
    hidden: int

    @nn.compact
    def __call__(self, o_t):  # (..., H, W, C) -> the same, both in [0, 1].
        x = nn.relu(nn.Conv(self.hidden, (3, 3))(o_t))
        return o_t + nn.Conv(o_t.shape[-1], (3, 3), kernel_init=nn.initializers.zeros)(x)


def get_config():
    config = section_config(ToyConfig)
    config.data.image_size = 64
    shorten(config, steps=20, batch_size=16)
    return config


def build(config):
    model, size = Predictor(config.hidden), config.data.image_size
    init = lambda key, batch: model.init(key, to_float(batch["frames"][:1]))

    def apply(params, extra, batch, key):
        return model.apply({"params": params}, to_float(batch["frames"][:, :-1])), extra

    def error(params, prediction, batch, key):
        return Mean.of(jnp.square(prediction - to_float(batch["frames"][:, 1:])))

    return Task(
        objective=objective_of(init, apply, [Term("pixels", error)]),
        batch={"frames": jax.ShapeDtypeStruct((config.batch_size, 2, size, size, 3), jnp.uint8)},
        data=lambda rows: training_batches(
            config.data, seed=config.seed, batch_size=config.batch_size, rows=rows
        ),
        data_hashes=lambda: data_hashes(config.data, [config.data.split]),
    )


def from_checkpoint(path, step):
    variables, config, _ = restore_params(path, step=step)
    return lambda o_t: Predictor(config["hidden"]).apply(variables, to_float(o_t))

"""The smallest dynamics, and untrained models that they read frames with, for 16-px data."""

import jax
import jax.numpy as jnp
import numpy as np

from experiments.configs import common
from experiments.configs.keys import DynamicsConfig
from flexlam_jax.models.lam import frame_shape
from flexlam_jax.models.tokenizer import build_tokenizer
from flexlam_jax.training.checkpoint import Checkpoints
from flexlam_jax.training.state import TrainState
from tests.models.tiny_tokenizers import LIGHT
from tests.untrained import save_run

TOKENIZER = {**LIGHT, "quantizer": {"kind": "vq", "codes": 8, "width": 2}}


def get_config(path=""):
    config = common.section_config(DynamicsConfig)
    config.data.path, config.data.clip_length = path, 3
    config.data.threads, config.data.prefetch = 1, 2
    config.model.update(window=2, width=16, layers=1, heads=2, mlp_hidden=32)
    config.tokens.update(count=4, codebook_size=8)
    config.actions.update(slots=3, slot_width=2)
    common.shorten(config, steps=4, batch_size=8)
    config.peak_tflops = 0.1
    return config


def with_models(config, folder):
    """The config with a tokenizer and a latent action model, which are written to a folder."""
    config.tokenizer.checkpoint = save_tokenizer(folder / "tokenizer")
    config.lam.checkpoint = str(save_run(folder / "lam"))
    return config


def save_tokenizer(folder, section=TOKENIZER, seed=0):
    frames = np.zeros((1, 1, *frame_shape(section)), np.uint8)
    variables = dict(jax.jit(build_tokenizer(section).init)(jax.random.key(seed), frames))
    params = variables.pop("params")
    state = TrainState(jnp.int32(2), params, variables, {"mu": params}, None)
    config = {"seed": seed, "kind": "tokenizer", "model": section}
    with Checkpoints(folder / "checkpoints") as checkpoints:
        checkpoints.save(state, {"next_index": 2}, config)
    return str(folder)

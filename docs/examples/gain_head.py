"""Fits the head behind keep="auto" to a LAM that was trained without it, and leaves the LAM as it is.

    python -m experiments.pretrain_lam --config=docs/examples/gain_head.py:runs/doom \
        --workdir=runs/doom_auto

The variant is the LAM's work directory. Its data, batch and learning rate are taken over; the rest of
its parameters is frozen, so that codes and fingerprint stay what they are, and a step needs no
backward pass through the model. The new checkpoint refers to the old one (docs/warm_start.md).
"""

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from experiments.configs import common
from experiments.configs.keys import LamConfig
from flexlam_jax.checkpoints.params import saved_config
from flexlam_jax.errors import ConfigError
from flexlam_jax.models.lam import build_lam, frame_shape


def get_config(variant=""):
    if not variant:
        raise ConfigError(
            "give the work directory of a LAM after a colon, as in gain_head.py:runs/doom"
        )
    saved = saved_config(variant)
    config = common.section_config(LamConfig)
    config.update({**saved, "model": ConfigDict(saved["model"])})
    variables = _variables(saved["model"])
    if set(variables) != {"params"}:
        raise ConfigError(
            f"{variant}: a codebook of kind vq would move while the head is fitted; train the LAM "
            "with --config.loss.gain=True instead"
        )
    config.loss.gain = True
    config.init_from = {
        name: {"path": variant, "take": name, "to": name, "step": None}
        for name in variables["params"]
    }
    config.frozen = tuple(variables["params"])
    config.optimizer.groups = {}
    config.total_steps = 600
    config.optimizer.warmup_steps = 50
    return config


def _variables(model):
    frames = jax.ShapeDtypeStruct((1, 2, *frame_shape(model)), jnp.uint8)
    return jax.eval_shape(build_lam(model).init, jax.random.key(0), frames)

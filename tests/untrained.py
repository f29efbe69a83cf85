"""Checkpoints of a tiny model with random weights, written as the training loop writes them."""

import jax
import jax.numpy as jnp
import numpy as np

from flexlam_jax.models.lam import build_lam, frame_shape
from flexlam_jax.training.checkpoint import Checkpoints
from flexlam_jax.training.state import TrainState

SIZE = 16
MODEL = {
    "image_size": SIZE,
    "channels": 3,
    "slots": 3,
    "encoder": {
        "kind": "vit",
        "patch": 8,
        "width": 16,
        "heads": 2,
        "mlp_hidden": 32,
        "frame_blocks": 1,
        "pair_blocks": 1,
    },
    "quantizer": {"kind": "fsq", "levels": [3, 3]},
    "decoder": {"kind": "vit", "patch": 8, "width": 16, "heads": 2, "mlp_hidden": 32, "blocks": 1},
    "keep": {"kind": "powers_of_two"},
}


def variables_of(model_config, seed):
    """Freshly initialised variables."""
    frames = np.zeros((1, 2, *frame_shape(model_config)), np.uint8)
    return dict(jax.jit(build_lam(model_config).init)(jax.random.key(seed), frames))


def save_run(folder, model_config=MODEL, steps=(2,), **config):
    """Makes a work directory with a checkpoint per step; weights depend on the step."""
    with Checkpoints(folder / "checkpoints") as checkpoints:
        for step in steps:
            variables = variables_of(model_config, step)
            params = variables.pop("params")
            state = TrainState(
                step=jnp.int32(step),
                params=params,
                extra=variables,
                opt_state={"mu": params},
                ema=None,
            )
            checkpoints.save(
                state, {"next_index": step}, {"seed": 0, "model": model_config, **config}
            )
    return folder

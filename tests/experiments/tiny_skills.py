"""A checkpoint of the smallest skills, with random weights, beside random latent actions."""

import jax
import jax.numpy as jnp

from data_pipelines.conversion.build import prepare
from data_pipelines.registry import recipe_options
from flexlam_jax.models.hilam import build_hilam
from flexlam_jax.training.checkpoint import Checkpoints
from flexlam_jax.training.state import TrainState
from tests.experiments import tiny_hilam


def make(place):
    """place/data (16 px, synthetic), place/latents, place/skills trained on both, in name only."""
    options = recipe_options("synthetic", "--size=16", "--episodes=16")
    prepare("synthetic", place / "data", options)
    config = tiny_hilam.get_config(str(place / "data"))
    tiny_hilam.with_latents(config, place / "latents")
    save_skills(place / "skills", config)
    return config


def save_skills(folder, config, seed=0):
    """Makes a work directory with one checkpoint."""
    config = config.to_dict()
    config["lam"] = {"checkpoint": "", "step": 3, "fingerprint": "f" * 64}
    config["latents"] = {"mean": (3.0,) * 4, "scale": (0.5,) * 4}
    model = build_hilam(config["model"], config["codes"], config["latents"])
    args = jnp.zeros((1, 2, 4)), jnp.ones((1, 2), bool)
    params = jax.jit(model.init)(jax.random.key(seed), *args)["params"]
    state = TrainState(
        step=jnp.int32(2), params=params, extra={}, opt_state={"mu": params}, ema=None
    )
    with Checkpoints(folder / "checkpoints") as checkpoints:
        checkpoints.save(state, {"next_index": 2}, config)

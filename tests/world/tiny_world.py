"""Tiny worlds of tokens in memory, with random weights."""

import jax
import numpy as np

from flexlam_jax.config.settings import read
from flexlam_jax.loading.lam import LoadedLam
from flexlam_jax.loading.tokenizer import LoadedTokenizer
from flexlam_jax.models.dynamics_settings import ActionSettings, build_dynamics, clip_shapes
from flexlam_jax.models.lam import build_lam
from flexlam_jax.models.tokenizer import build_tokenizer
from flexlam_jax.world.token_world import TokenWorld
from tests.models.tiny_lam import randomised
from tests.models.tiny_tokenizers import LIGHT
from tests.untrained import MODEL, SIZE, variables_of

DYNAMICS = {"window": 3, "width": 8, "layers": 2, "heads": 2, "mlp_hidden": 16}
LATENT = {"slots": 3, "slot_width": 2, "keep": MODEL["keep"], "names": ()}
TRUE = {"slots": 1, "slot_width": 4, "keep": {"kind": "uniform"}, "names": ("L", "R", "F", "A")}


def tiny_tokenizer(section):
    model = build_tokenizer(section)
    frames = np.zeros((1, 1, SIZE, SIZE, 3), np.uint8)
    variables = randomised(dict(jax.jit(model.init)(jax.random.key(3), frames)), scale=0.5)
    return LoadedTokenizer(model, variables, {"model": section}, 2)


def tiny_world(tokenizer=LIGHT, **model):
    """`model` changes the settings of the dynamics; a latent action model only where it obeys one."""
    tokenizer = tiny_tokenizer(tokenizer)
    latent = model.get("action", "latent") == "latent"
    lam = LoadedLam(build_lam(MODEL), variables_of(MODEL, 2), {"model": MODEL}, 2)
    source = {"checkpoint": "runs/lam", "step": 2, "fingerprint": lam.fingerprint()}
    config = {
        "data": {"gap": 1},
        "model": {**DYNAMICS, **model},
        "tokens": {"count": tokenizer.tokens, "codebook_size": tokenizer.codebook_size},
        "actions": LATENT if latent else TRUE,
        "lam": source if latent else {"checkpoint": ""},
        "sampling": {"steps": 2, "temperature": 1.0},
    }
    dynamics = build_dynamics(config["model"], config["tokens"], config["actions"])
    shapes = clip_shapes(dynamics, read("actions", config["actions"], ActionSettings), 2)
    given = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes)
    variables = randomised(dict(jax.jit(dynamics.init)(jax.random.key(0), *given)), scale=0.5)
    return TokenWorld(dynamics, variables, config, 7, tokenizer, lam if latent else None)

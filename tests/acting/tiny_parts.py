"""Untrained parts of a latent policy that belong together."""

import functools

import jax
import jax.numpy as jnp

from flexlam_jax.loading.lam import LoadedLam
from flexlam_jax.loading.token_policy import LoadedTokenPolicy
from flexlam_jax.loading.translator import LoadedTranslator, TranslatorConfig
from flexlam_jax.models.lam import build_lam
from flexlam_jax.models.token_policy import build_token_policy
from flexlam_jax.models.translator import Translator
from tests.models.tiny_lam import randomised
from tests.untrained import MODEL, SIZE, variables_of

POLICY = {
    "image_size": SIZE,
    "context": 2,
    "trunk": {"kind": "frame_stack", "stack": 2, "patch": 4, "channels": 8, "width": 16},
    "width": 16,
    "heads": 2,
    "mlp_hidden": 32,
    "components": 2,
}
K, D = 3, 2
CONTINUOUS = {**MODEL, "quantizer": {"kind": "none", "width": D}}


def make_lam(config=MODEL):
    return LoadedLam(build_lam(config), lam_variables(), {"model": config}, 1)


@functools.cache
def lam_variables():
    """Of MODEL, and of CONTINUOUS: their quantisers have no parameters and read the same width."""
    return variables_of(MODEL, 0)


def make_policy(lam, gap=1, **model):
    codes = {"slots": K, "codebook_size": lam.codebook_size or 0, "slot_width": D, "gap": gap}
    config = {
        "model": {**POLICY, **model},
        "codes": codes,
        "lam": {"step": 1, "fingerprint": lam.fingerprint()},
    }
    policy = LoadedTokenPolicy(build_token_policy(config["model"], codes), {}, config, 1)
    policy.variables = randomised(initial(policy.model, policy.reads()))
    return policy


@functools.cache
def initial(network, reads):
    """Initialised once for all policies of one architecture."""
    arguments = (jnp.zeros((1, *shape), dtype) for shape, dtype in reads)
    return jax.jit(network.init)(jax.random.key(0), *arguments)


def make_translator(lam, discrete=True, names=("left", "right", "fire"), **changes):
    network = Translator(3, 8)
    config = TranslatorConfig(
        discrete=discrete,
        outputs=3,
        hidden=8,
        slots=K,
        slot_width=D,
        action_names=names,
        budgets=(1, 2, 3),
        lam={"checkpoint": "run", "step": 1, "fingerprint": lam.fingerprint()} | changes,
        data={},
    )
    variables = jax.jit(network.init)(jax.random.key(1), jnp.zeros((1, K * D)))
    return LoadedTranslator(network, randomised(dict(variables), scale=1.0), config)

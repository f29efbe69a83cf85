"""Small model configs and inputs for the tests of models and objectives."""

import jax
import numpy as np

VIT = {"kind": "vit", "patch": 8, "width": 32, "heads": 2, "mlp_hidden": 64}


def tiny_config(**changes):
    """A 16-px ViT LAM with three slots of nine codes."""
    config = {
        "image_size": 16,
        "slots": 3,
        "encoder": {**VIT, "frame_blocks": 1, "pair_blocks": 2},
        "quantizer": {"kind": "fsq", "levels": (3, 3)},
        "decoder": {**VIT, "blocks": 2},
    }
    return {**config, **changes}


MOTION = {
    "image_size": 32,
    "encoder": {"kind": "motion", "hidden": (32,), "radius": (1, 2)},
    "decoder": {"kind": "motion", "cells": 4, "radius": (1, 2), "channels": 8, "hidden": 16},
}
FLOW = {
    "kind": "flow",
    "patch": 4,
    "width": 32,
    "heads": 2,
    "mlp_hidden": 64,
    "layers": 2,
    "spread": 0.5,
    "steps": 2,
}
FAMILIES = {
    "vit-self": {},
    "vit-motion-cross": {
        "encoder": {**VIT, "frame_blocks": 0, "pair_blocks": 2, "motion_tokens": True},
        "decoder": {**VIT, "blocks": 1, "conditioning": "cross"},
    },
    "vit-add": {
        "encoder": {**VIT, "frame_blocks": 1, "pair_blocks": 1, "qk_norm": False},
        "decoder": {**VIT, "blocks": 1, "conditioning": "add", "qk_norm": False},
    },
    "motion": {
        **MOTION,
        "encoder": {**MOTION["encoder"], "change": 8},
        "decoder": {**MOTION["decoder"], "detail": True},
    },
    "flow": {"decoder": {**FLOW, "shown": "tokens", "guidance": 1.5}},
}


def random_frames(shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def randomised(variables, seed=0, scale=0.3):
    """Adds noise to every parameter, so that zero-initialised parts cannot hide a wrong path.

    By NumPy: jax would compile a generator for every shape, which costs more than the model."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(
        lambda x: (x + scale * rng.standard_normal(x.shape)).astype(x.dtype), variables
    )

"""Models shared by the tests of this folder: building and compiling them is most of the time."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flexlam_jax.models.lam import build_lam
from tests.models.tiny_lam import FAMILIES, random_frames, randomised, tiny_config


class Family:
    """A tiny LAM, K = 3, with random parameters, jitted; frames float (2, 4, H, W, 3)."""

    def __init__(self, name):
        config = tiny_config(**FAMILIES[name])
        self.model = build_lam(config)
        size = config["image_size"]
        self.frames = (random_frames((2, 4, size, size, 3)) / 255.0).astype(np.float32)
        self.variables = randomised(jax.jit(self.model.init)(jax.random.key(0), self.frames))
        apply = self.model.apply
        self._apply = jax.jit(apply)
        self._latents = jax.jit(lambda v, f: apply(v, f, method=lambda m, f: m.encoder(f)))
        self.encode = jax.jit(lambda f: apply(self.variables, f, method="encode"))

    def __call__(self, frames, keep):
        """LamOutput for keep broadcast to (2, 3)."""
        return self._apply(self.variables, frames, np.broadcast_to(np.asarray(keep), (2, 3)))

    def latents(self, frames):
        """What the encoder hands to the quantiser, (B, T-1, K, D)."""
        return self._latents(self.variables, frames)

    def decode(self, o_t, slots, keep):
        """Prediction (B, H, W, C) from (B, K, D) slots cut at keep (B,)."""
        filled = self.model.apply(self.variables, slots, jnp.asarray(keep), method="null_fill")
        return self.model.apply(self.variables, o_t, filled, method="decode")


@pytest.fixture(scope="session", params=FAMILIES)
def family(request):
    return Family(request.param)

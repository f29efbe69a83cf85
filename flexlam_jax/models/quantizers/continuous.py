"""Quantisers that do not quantise: the identity and the Gaussian of a beta-VAE."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from flexlam_jax.config.ranges import COUNT, real
from flexlam_jax.config.settings import setting
from flexlam_jax.models.quantizers.base import Quantized


class _Continuous(nn.Module):
    width: int = setting(8, range=COUNT, help="width of a slot")

    loss_names = ()
    codebook_size = None
    bits_per_slot = None

    def ids_to_values(self, ids):
        raise ValueError(
            f"{type(self).__name__} slots are continuous and have no ids; use kind 'fsq' or 'vq'"
        )


class Identity(_Continuous):
    """Continuous slots of `width`, untouched."""

    @property
    def input_width(self) -> int:
        return self.width

    def __call__(self, z: jax.Array, train: bool = False) -> Quantized:
        return Quantized(z, None, {}, {})


class Gaussian(_Continuous):
    """Diagonal Gaussian slots: a sample in training (rng 'sample'), the mean otherwise.

    Loss 'kl': beta * KL(N(mean, exp(log_variance)) || N(0, 1)) in nats per slot (width summed).
    The default beta is that of AdaWorld's LAM (2e-4 beside a pixel MSE).
    """

    beta: float = setting(2e-4, range=real(0), help="weight of the KL term")
    loss_names = ("kl",)

    @property
    def input_width(self) -> int:
        return 2 * self.width

    def __call__(self, z: jax.Array, train: bool = False) -> Quantized:
        mean, log_variance = jnp.split(z.astype(jnp.float32), 2, axis=-1)
        kl = 0.5 * jnp.sum(jnp.square(mean) + jnp.exp(log_variance) - 1.0 - log_variance, axis=-1)
        values = mean
        if train:
            noise = jax.random.normal(self.make_rng("sample"), mean.shape)
            values = mean + jnp.exp(0.5 * log_variance) * noise
        stats = {"kl_bits_per_slot": jnp.mean(kl) / jnp.log(2.0)}
        return Quantized(values, None, {"kl": self.beta * kl}, stats)

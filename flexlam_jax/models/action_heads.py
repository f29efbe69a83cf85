"""Heads of chunk policies: from the hidden state of an action token to the next C targets.

Targets are normalised to [-1, 1]. A head is a Linen module with the fields `chunk` C, `outputs` A
and `dtype`, which no config sets, and

  losses(hidden (..., M), target (..., C, A), mask (..., C), key) -> (..., C) float32
  act(hidden (..., M), keys (...)) -> (..., C, A) float32 in [-1, 1]

What a mask excludes is not learned, and `losses` gives anything there. `act` is a function of each
row's hidden state and key alone; a head that draws nothing ignores the keys.

Dimension keys: ... batch axes, M width, C steps of a chunk, A numbers of a step, J components.
"""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from flexlam_jax.config.ranges import COUNT
from flexlam_jax.config.settings import setting
from flexlam_jax.models.dense import Dense

# Standard deviation of what the deterministic head predicts; BAKU's (arXiv 2406.07539).
STD = 0.1
_LEAST_LOG_SCALE, _MOST_LOG_SCALE = -5.0, 2.0
_SMALL = nn.initializers.normal(1e-2)


class Perceptron(nn.Module):
    """Two hidden layers, (..., M) -> (..., outputs) float32; BAKU's head."""

    hidden: int
    outputs: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for name in ("hidden_1", "hidden_2"):
            x = nn.gelu(Dense(self.hidden, dtype=self.dtype, name=name)(x))
        out = Dense(self.outputs, dtype=jnp.float32, kernel_init=_SMALL, name="out")
        return out(x.astype(jnp.float32))


class Deterministic(nn.Module):
    """The mean of a Gaussian of fixed width, through tanh: squared error over 2 STD^2."""

    chunk: int
    outputs: int
    hidden: int = setting(256, range=COUNT, help="hidden units of the head")
    dtype: Any = jnp.float32

    def setup(self) -> None:
        self.mean = Perceptron(self.hidden, self.chunk * self.outputs, self.dtype)

    def losses(
        self, hidden: jax.Array, target: jax.Array, mask: jax.Array, key: jax.Array
    ) -> jax.Array:
        """(..., C): -log N(target; mean, STD) without its constant, averaged over the A numbers."""
        return jnp.mean(jnp.square(target - self._mean(hidden)), axis=-1) / (2 * STD**2)

    def act(self, hidden: jax.Array, keys: jax.Array) -> jax.Array:
        """The mean."""
        return self._mean(hidden)

    def _mean(self, hidden):
        return jnp.tanh(_in_steps(self.mean(hidden), self.chunk))


class Gmm(nn.Module):
    """A mixture of diagonal Gaussians for every step, their means through tanh."""

    chunk: int
    outputs: int
    hidden: int = setting(256, range=COUNT, help="hidden units of the head")
    components: int = setting(5, range=COUNT, help="Gaussians of a step")
    dtype: Any = jnp.float32

    def setup(self) -> None:
        size = self.chunk * self.components * (1 + 2 * self.outputs)
        self.parameters_of = Perceptron(self.hidden, size, self.dtype)
        # The components begin at different places, or they would stay one.
        self.places = self.param(
            "places", nn.initializers.normal(0.5), (self.components, self.outputs), jnp.float32
        )

    def losses(
        self, hidden: jax.Array, target: jax.Array, mask: jax.Array, key: jax.Array
    ) -> jax.Array:
        """(..., C): nats of a density, divided by A."""
        weights, means, log_scales = self._split(hidden)
        z = (target[..., None, :] - means) * jnp.exp(-log_scales)
        log_normal = -0.5 * jnp.square(z) - log_scales - 0.5 * math.log(2 * math.pi)
        log_p = jax.nn.log_softmax(weights) + log_normal.sum(-1)
        return -jax.nn.logsumexp(log_p, axis=-1) / self.outputs

    def act(self, hidden: jax.Array, keys: jax.Array) -> jax.Array:
        """The mean of the likeliest component."""
        weights, means, _ = self._split(hidden)
        likeliest = weights.argmax(-1)[..., None, None]
        return jnp.take_along_axis(means, likeliest, axis=-2)[..., 0, :]

    def _split(self, hidden):
        """Weights (..., C, J), means and log scales (..., C, J, A)."""
        J, A = self.components, self.outputs
        steps = _in_steps(self.parameters_of(hidden), self.chunk)
        weights, rest = jnp.split(steps, [J], axis=-1)
        means, log_scales = jnp.split(rest.reshape(*rest.shape[:-1], J, 2 * A), 2, axis=-1)
        log_scales = jnp.clip(log_scales - 1.0, _LEAST_LOG_SCALE, _MOST_LOG_SCALE)
        return weights, jnp.tanh(means + self.places), log_scales


class Flow(nn.Module):
    """Flow matching along straight lines from noise to the target (arXiv 2210.02747).

    x_s = (1 - s) noise + s target; learned is the velocity target - noise.
    """

    chunk: int
    outputs: int
    hidden: int = setting(256, range=COUNT, help="hidden units of the head")
    steps: int = setting(10, range=COUNT, help="Euler steps of a decision")
    dtype: Any = jnp.float32

    def setup(self) -> None:
        self.velocity = Perceptron(self.hidden, self.chunk * self.outputs, self.dtype)

    def losses(
        self, hidden: jax.Array, target: jax.Array, mask: jax.Array, key: jax.Array
    ) -> jax.Array:
        """(..., C): squared error of the velocity at a drawn time, averaged over the A numbers."""
        of_time, of_noise = jax.random.split(key)
        time = jax.random.uniform(of_time, hidden.shape[:-1])
        noise = jax.random.normal(of_noise, target.shape)
        # Steps that have no target are noise at all times: a decision knows none that are empty.
        target = jnp.where(mask[..., None], target, noise)
        at = time[..., None, None]
        velocity = self._velocity(hidden, (1 - at) * noise + at * target, time)
        return jnp.mean(jnp.square(velocity - (target - noise)), axis=-1)

    def act(self, hidden: jax.Array, keys: jax.Array) -> jax.Array:
        """Where the noise of each row's key flows to."""
        shape = (self.chunk, self.outputs)
        noise = jax.vmap(lambda key: jax.random.normal(key, shape))(keys.reshape(-1))
        x = noise.reshape(*keys.shape, *shape)
        for step in range(self.steps):
            time = jnp.full(keys.shape, step / self.steps)
            x = x + self._velocity(hidden, x, time) / self.steps
        return jnp.clip(x, -1.0, 1.0)

    def _velocity(self, hidden, x, time):
        flat = x.reshape(*x.shape[:-2], -1)
        turns = 2 * math.pi * time[..., None] * 2.0 ** jnp.arange(-2, 4)
        read = [hidden.astype(jnp.float32), flat, jnp.sin(turns), jnp.cos(turns)]
        return _in_steps(self.velocity(jnp.concatenate(read, axis=-1)), self.chunk)


def _in_steps(x: jax.Array, chunk: int) -> jax.Array:
    """(..., C n) -> (..., C, n)."""
    return x.reshape(*x.shape[:-1], chunk, -1)


HEADS = {"deterministic": Deterministic, "gmm": Gmm, "flow": Flow}

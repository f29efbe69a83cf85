"""What a policy predicts of a latent slot: a distribution with its parameters and its draws.

Discrete slots have a softmax over the codes of the quantiser, continuous ones a mixture of diagonal
Gaussians. Both stand behind one interface, in which the n slots given are `first`, `first` + 1, ...

  embed(codes, first) -> (..., n, M)             what the sequence model reads of known slots
  parameters(hidden (..., n, M), first) -> (..., n, F)
  log_prob(parameters, codes) -> (..., n)        nats; a density for continuous slots
  sample(keys (...), parameters (..., F)) -> codes of one slot each
  codes_are                                      shape and type of the codes of all K slots

Codes are ids, int32 (..., n), or values, float32 (..., n, D). Every slot has parameters of its own.

Dimension keys: ... batch axes, K slots, n of them, V codes, D slot width, M width of the model, F
parameters of a distribution, J components.
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

# Standard deviations of a mixture stay within e^-7..e^7: a component that collapses onto one code
# would have an unbounded density.
_MOST_LOG_SCALE = 7.0
_SMALL = nn.initializers.normal(0.02)


class Categorical(nn.Module):
    """Slots of `codes` codes each."""

    slots: int
    codes: int
    width: int

    def setup(self) -> None:
        self.embedding = self.param("embedding", _SMALL, (self.slots, self.codes, self.width))
        self.kernel = self.param("kernel", _SMALL, (self.slots, self.width, self.codes))
        self.bias = self.param("bias", nn.initializers.zeros, (self.slots, self.codes))

    @property
    def codes_are(self) -> jax.ShapeDtypeStruct:
        """(K,) int32."""
        return jax.ShapeDtypeStruct((self.slots,), jnp.int32)

    def embed(self, codes: jax.Array, first: int = 0) -> jax.Array:
        """ids (..., n) -> (..., n, M)."""
        return self.embedding[first + jnp.arange(codes.shape[-1]), codes]

    def parameters(self, hidden: jax.Array, first: int = 0) -> jax.Array:
        """hidden (..., n, M) -> logits (..., n, V) float32."""
        return _per_slot(hidden, self.kernel, self.bias, first)

    def log_prob(self, parameters: jax.Array, codes: jax.Array) -> jax.Array:
        """Logits (..., n, V), ids (..., n) -> (..., n)."""
        log_p = jax.nn.log_softmax(parameters)
        return jnp.take_along_axis(log_p, codes[..., None], axis=-1)[..., 0]

    def sample(self, keys: jax.Array, parameters: jax.Array) -> jax.Array:
        """Keys (...), logits (..., V) -> ids (...) int32."""
        draw = jnp.vectorize(jax.random.categorical, signature="(),(v)->()")
        return draw(keys, parameters).astype(jnp.int32)


class Mixture(nn.Module):
    """Slots of D = `slot_width` real values: a mixture of `components` diagonal Gaussians each."""

    slots: int
    slot_width: int
    components: int
    width: int

    def setup(self) -> None:
        K, M, D, F = self.slots, self.width, self.slot_width, self._size
        lecun = nn.initializers.variance_scaling(1.0, "fan_in", "normal", batch_axis=0)
        self.embedding = self.param("embedding", lecun, (K, D, M))
        self.kernel = self.param("kernel", _SMALL, (K, M, F))
        # The components of a slot begin at different places, or they would stay one.
        self.bias = self.param("bias", self._first_bias, (K, F))

    @property
    def codes_are(self) -> jax.ShapeDtypeStruct:
        """(K, D) float32."""
        return jax.ShapeDtypeStruct((self.slots, self.slot_width), jnp.float32)

    @property
    def _size(self):
        return self.components * (1 + 2 * self.slot_width)

    def _first_bias(self, key, shape):
        means = jax.random.normal(key, (self.slots, self.components * self.slot_width))
        rest = jnp.zeros((self.slots, self.components))
        return jnp.concatenate([rest, means, jnp.zeros_like(means)], axis=-1).reshape(shape)

    def embed(self, codes: jax.Array, first: int = 0) -> jax.Array:
        """values (..., n, D) -> (..., n, M)."""
        kernel = self.embedding[first : first + codes.shape[-2]]
        return jnp.einsum("...nd,ndm->...nm", codes, kernel)

    def parameters(self, hidden: jax.Array, first: int = 0) -> jax.Array:
        """hidden (..., n, M) -> (..., n, F) float32: J weights, J D means, J D log scales."""
        return _per_slot(hidden, self.kernel, self.bias, first)

    def log_prob(self, parameters: jax.Array, codes: jax.Array) -> jax.Array:
        """Parameters (..., n, F), values (..., n, D) -> (..., n)."""
        weights, means, log_scales = self._split(parameters)
        z = (codes[..., None, :] - means) * jnp.exp(-log_scales)
        log_normal = -0.5 * jnp.square(z) - log_scales - 0.5 * math.log(2 * math.pi)
        return jax.nn.logsumexp(jax.nn.log_softmax(weights) + log_normal.sum(-1), axis=-1)

    def sample(self, keys: jax.Array, parameters: jax.Array) -> jax.Array:
        """Keys (...), parameters (..., F) -> values (..., D)."""
        weights, means, log_scales = self._split(parameters)

        def draw(key, weights, means, log_scales):
            which, noise = jax.random.split(key)
            j = jax.random.categorical(which, weights)
            return means[j] + jnp.exp(log_scales[j]) * jax.random.normal(noise, means[j].shape)

        return jnp.vectorize(draw, signature="(),(j),(j,d),(j,d)->(d)")(
            keys, weights, means, log_scales
        )

    def _split(self, parameters):
        J, D = self.components, self.slot_width
        parts = jnp.split(parameters, [J, J + J * D], axis=-1)
        means, log_scales = (x.reshape(*x.shape[:-1], J, D) for x in parts[1:])
        return parts[0], means, jnp.clip(log_scales, -_MOST_LOG_SCALE, _MOST_LOG_SCALE)


def _per_slot(hidden, kernel, bias, first):
    """A map of its own for each slot, in float32."""
    of = slice(first, first + hidden.shape[-2])
    return jnp.einsum("...nm,nmf->...nf", hidden.astype(jnp.float32), kernel[of]) + bias[of]

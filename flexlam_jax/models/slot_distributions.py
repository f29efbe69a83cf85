"""What a policy predicts of a latent slot: a distribution with its parameters and its draws.

Discrete slots have a softmax over the codes of the quantiser, or, of many codes that are made of
digits (finite scalar quantisation), a mixture of independent digits; continuous ones a mixture of
diagonal Gaussians. All stand behind one interface, in which the n slots given are `first`, `first`
+ 1, ...

  embed(codes, first) -> (..., n, M)             what the sequence model reads of known slots
  parameters(hidden (..., n, M), first) -> (..., n, F)
  log_prob(parameters, codes) -> (..., n)        nats; a density for continuous slots
  sample(keys (...), parameters (..., F)) -> codes of one slot each
  codes_are                                      shape and type of the codes of all K slots

and discrete ones also

  codes                                          V
  likeliest(parameters (..., n, F)) -> ids (..., n)

Codes are ids, int32 (..., n), or values, float32 (..., n, D). Every slot has parameters of its own.

Dimension keys: ... batch axes, K slots, n of them, V codes, D slot width and digits of a code, L
values of all digits, M width of the model, F parameters of a distribution, J components.
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

# Standard deviations of a mixture stay within e^-7..e^7: a component that collapses onto one code
# would have an unbounded density.
_MOST_LOG_SCALE = 7.0
_SMALL = nn.initializers.normal(0.02)
# From so many codes on a policy predicts the digits that codes are made of: each code by itself is
# too rare to be learned.
MANY_CODES = 64


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

    def likeliest(self, parameters: jax.Array) -> jax.Array:
        """Logits (..., n, V) -> ids (..., n)."""
        return parameters.argmax(-1)

    def sample(self, keys: jax.Array, parameters: jax.Array) -> jax.Array:
        """Keys (...), logits (..., V) -> ids (...) int32."""
        draw = jnp.vectorize(jax.random.categorical, signature="(),(v)->()")
        return draw(keys, parameters).astype(jnp.int32)


class Digits(nn.Module):
    """Slots whose codes are numbers of D digits, as those of `quantizers.fsq.FSQ`.

    A mixture of `components`, in each of which the digits are independent: a digit is learned from
    all codes that share it, and the components keep what the digits have to do with each other.

    levels: values of each digit, the least significant first.
    """

    slots: int
    levels: tuple[int, ...]
    components: int
    width: int

    def setup(self) -> None:
        K, M, L = self.slots, self.width, sum(self.levels)
        lecun = nn.initializers.variance_scaling(1.0, "fan_in", "normal", batch_axis=0)
        self.embedding = self.param("embedding", lecun, (K, L, M))
        self.kernel = self.param("kernel", _SMALL, (K, M, self.components * (1 + L)))
        # The components of a slot begin at different places, or they would stay one.
        self.bias = self.param("bias", nn.initializers.normal(1.0), (K, self.components * (1 + L)))

    @property
    def codes(self) -> int:
        """V."""
        return math.prod(self.levels)

    @property
    def codes_are(self) -> jax.ShapeDtypeStruct:
        """(K,) int32."""
        return jax.ShapeDtypeStruct((self.slots,), jnp.int32)

    def embed(self, codes: jax.Array, first: int = 0) -> jax.Array:
        """ids (..., n) -> (..., n, M)."""
        kernel = self.embedding[first : first + codes.shape[-1]]
        return jnp.einsum("...nl,nlm->...nm", self._one_hot(codes), kernel)

    def parameters(self, hidden: jax.Array, first: int = 0) -> jax.Array:
        """hidden (..., n, M) -> (..., n, F) float32: J weights, J L logits of the digits' values."""
        return _per_slot(hidden, self.kernel, self.bias, first)

    def log_prob(self, parameters: jax.Array, codes: jax.Array) -> jax.Array:
        """Parameters (..., n, F), ids (..., n) -> (..., n)."""
        weights, digits = self._log_shares(parameters)
        of_codes = jnp.einsum("...jl,...l->...j", digits, self._one_hot(codes))
        return jax.nn.logsumexp(weights + of_codes, axis=-1)

    def likeliest(self, parameters: jax.Array) -> jax.Array:
        """Of the likeliest codes of the components the one that the whole mixture prefers."""
        _, digits = self._log_shares(parameters)
        candidates = self._number([part.argmax(-1) for part in self._by_digit(digits)])  # (..., J)
        log_p = self.log_prob(
            jnp.broadcast_to(parameters[..., None, :], (*candidates.shape, parameters.shape[-1])),
            candidates,
        )
        best = log_p.argmax(-1)[..., None]
        return jnp.take_along_axis(candidates, best, axis=-1)[..., 0].astype(jnp.int32)

    def sample(self, keys: jax.Array, parameters: jax.Array) -> jax.Array:
        """Keys (...), parameters (..., F) -> ids (...) int32."""
        weights, digits = self._log_shares(parameters)

        def draw(key, weights, digits):
            which, *rest = jax.random.split(key, 1 + len(self.levels))
            of_component = digits[jax.random.categorical(which, weights)]
            parts = self._by_digit(of_component)
            drawn = [jax.random.categorical(k, part) for k, part in zip(rest, parts, strict=True)]
            return self._number(drawn)

        drawn = jnp.vectorize(draw, signature="(),(j),(j,l)->()")(keys, weights, digits)
        return drawn.astype(jnp.int32)

    def _log_shares(self, parameters):
        """Log weights (..., J), and log-probabilities (..., J, L) of every value of every digit."""
        J = self.components
        weights, digits = parameters[..., :J], parameters[..., J:]
        digits = digits.reshape(*digits.shape[:-1], J, -1)
        digits = [jax.nn.log_softmax(part) for part in self._by_digit(digits)]
        return jax.nn.log_softmax(weights), jnp.concatenate(digits, axis=-1)

    def _by_digit(self, x):
        return jnp.split(x, np.cumsum(self.levels)[:-1], axis=-1)

    def _one_hot(self, codes):
        """(...) -> (..., L): of each digit the value that it has."""
        digits = [
            jax.nn.one_hot(codes // place % count, count)
            for place, count in zip(self._places, self.levels, strict=True)
        ]
        return jnp.concatenate(digits, axis=-1)

    def _number(self, digits):
        return sum(digit * place for digit, place in zip(digits, self._places, strict=True))

    @property
    def _places(self):
        """What a digit counts for."""
        return [math.prod(self.levels[:i]) for i in range(len(self.levels))]


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

"""Vector quantisation with a moving-average codebook and dead-code revival in every step.

The codebook is no parameter: it lives in the collection "codebook" and moves by averages
(van den Oord et al., arXiv 1711.00937, appendix A.1):
  N_k <- g N_k + (1-g) n_k
  m_k <- g m_k + (1-g) sum of the latents assigned to k
  e_k = m_k / N_k
with N Laplace-smoothed in the division. A code whose share of N falls below `revive_below` of the
uniform share is placed on a random latent of the current batch (rng "revive") and gets the average
count, so that it has time to win latents before it is judged again.

Dimension keys: S latents of the batch (all leading axes flattened), V codes, D width.
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from flexlam_jax.config.ranges import COUNT, SHARE_BELOW_1, one_of, real, whole
from flexlam_jax.config.settings import setting
from flexlam_jax.errors import ConfigError
from flexlam_jax.models.quantizers.base import Quantized

# A TPU multiplies float32 in bfloat16 unless told otherwise: 0.7 % of the ids would be others than
# a CPU finds (512 random codes of width 8).
_EXACT = jax.lax.Precision.HIGHEST


def assign(z_SD: jax.Array, codes_VD: jax.Array) -> jax.Array:
    """Index (S,) int32 of the nearest code by Euclidean distance, in float32."""
    # |z|^2 is the same for every code and left out.
    inner_SV = jnp.matmul(z_SD, codes_VD.T, precision=_EXACT)
    distance_SV = jnp.sum(jnp.square(codes_VD), -1) - 2.0 * inner_SV
    return jnp.argmin(distance_SV, axis=-1).astype(jnp.int32)


def update_averages(
    counts_V: jax.Array, sums_VD: jax.Array, z_SD: jax.Array, ids_S: jax.Array, decay: float
) -> tuple[jax.Array, jax.Array]:
    """One EMA step; returns (counts (V,), sums (V, D))."""
    hits_SV = jax.nn.one_hot(ids_S, counts_V.shape[0], dtype=jnp.float32)
    counts_V = decay * counts_V + (1.0 - decay) * hits_SV.sum(0)
    new_VD = jnp.matmul(hits_SV.T, z_SD, precision=_EXACT)
    return counts_V, decay * sums_VD + (1.0 - decay) * new_VD


def revive(
    rng: jax.Array, counts_V: jax.Array, sums_VD: jax.Array, z_SD: jax.Array, threshold: float
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Replaces codes with counts below threshold * mean; returns (counts, sums, dead (V,))."""
    mean = counts_V.mean()
    dead_V = counts_V < threshold * mean
    rows_V = jax.random.randint(rng, counts_V.shape, 0, z_SD.shape[0])
    counts = jnp.where(dead_V, mean, counts_V)
    return counts, jnp.where(dead_V[:, None], mean * z_SD[rows_V], sums_VD), dead_V


def codes_from(counts_V: jax.Array, sums_VD: jax.Array, epsilon: float = 1e-5) -> jax.Array:
    """e_k = m_k / N_k with Laplace-smoothed N."""
    total = counts_V.sum()
    smoothed_V = (counts_V + epsilon) / (total + counts_V.shape[0] * epsilon) * total
    return sums_VD / smoothed_V[:, None]


def unit(x: jax.Array) -> jax.Array:
    """x divided by its length along the last axis (safe at zero)."""
    return x * jax.lax.rsqrt(jnp.sum(jnp.square(x), -1, keepdims=True) + 1e-12)


class VQ(nn.Module):
    """Fields: codes V, width D, metric 'euclid' or 'cosine' (latents and codes on the unit sphere),
    commitment weight, EMA decay, revive_below (share of the uniform usage; 0 switches revival off).

    Loss 'commitment': commitment * mean over D of (z - sg(e))^2, per slot. Output z + sg(e - z).
    """

    codes: int = setting(range=whole(2), help="codes of the codebook", required=True)
    width: int = setting(8, range=COUNT, help="width of a slot")
    metric: str = setting(
        "euclid", range=one_of(("euclid", "cosine")), help="distance of latents and codes"
    )
    commitment: float = setting(0.25, range=real(0), help="weight of the commitment loss")
    decay: float = setting(0.99, range=SHARE_BELOW_1, help="of the codes' moving averages")
    revive_below: float = setting(
        0.03, range=SHARE_BELOW_1, help="share of the uniform usage below which a code is revived"
    )
    loss_names = ("commitment",)

    def __post_init__(self):
        super().__post_init__()
        if self.metric not in ("euclid", "cosine"):
            raise ConfigError(
                f"model.quantizer.metric={self.metric!r} is unknown; choose 'euclid' or 'cosine'"
            )

    def setup(self) -> None:
        shape = (self.codes, self.width)

        def first_codes():
            codes = jax.random.normal(self.make_rng("params"), shape)
            return self._metric(codes)

        self.embedding = self.variable("codebook", "embedding", first_codes)
        self.counts = self.variable("codebook", "counts", jnp.ones, (self.codes,), jnp.float32)
        self.sums = self.variable("codebook", "sums", lambda: jnp.copy(self.embedding.value))

    @property
    def input_width(self) -> int:
        return self.width

    @property
    def codebook_size(self) -> int:
        return self.codes

    @property
    def bits_per_slot(self) -> float:
        return math.log2(self.codes)

    def _metric(self, x):
        return unit(x) if self.metric == "cosine" else x

    def __call__(self, z: jax.Array, train: bool = False) -> Quantized:
        z = self._metric(z.astype(jnp.float32))
        z_SD = jax.lax.stop_gradient(z.reshape(-1, self.width))
        ids_S = assign(z_SD, self.embedding.value)
        nearest = self.embedding.value[ids_S].reshape(z.shape)
        commitment = self.commitment * jnp.mean(jnp.square(z - nearest), axis=-1)
        stats = {}
        if train and not self.is_initializing() and self.is_mutable_collection("codebook"):
            stats["codes_revived"] = self._update(z_SD, ids_S)
        values = z + jax.lax.stop_gradient(nearest - z)
        return Quantized(values, ids_S.reshape(z.shape[:-1]), {"commitment": commitment}, stats)

    def _update(self, z_SD, ids_S):
        counts, sums = update_averages(self.counts.value, self.sums.value, z_SD, ids_S, self.decay)
        counts, sums, dead = revive(self.make_rng("revive"), counts, sums, z_SD, self.revive_below)
        self.counts.value, self.sums.value = counts, sums
        self.embedding.value = self._metric(codes_from(counts, sums))
        return dead.sum().astype(jnp.float32)

    def ids_to_values(self, ids: jax.Array) -> jax.Array:
        """ids (...) int in 0..codes-1 -> (..., D)."""
        return self.embedding.value[ids]

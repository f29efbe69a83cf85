"""What a longer prefix would gain, told without decoding: for budgets chosen per transition.

Dimension keys: B batch (any leading axes), K slots, D slot width, N budgets (lengths of prefixes
that training drew, ascending), H W C image, G pooled side.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from flexlam_jax.frames import to_float
from flexlam_jax.models.heads import DETACHED_HEADS

PATH = f"{DETACHED_HEADS}/gain"  # In the parameters of a run.
LEAST_MSE = 1e-6  # 60 dB: errors below are taken as equal, so that still pictures do not decide.
SIDE = 8  # of the pooled pictures
DB_PER_NAT = 10 / float(np.log(10))


class GainHead(nn.Module):
    """Predicts log(MSE) of the reconstruction from every prefix of a code.

    Reads the slots and pooled pictures of o_t, o_{t+1} and their difference: what the encoder has
    seen, and no decoder. The prediction never rises with the prefix; without it (K + 1 free
    outputs) the differences, a few per cent of an error that varies tenfold, would be noise.

    Attributes:
      hidden: width of the hidden layers.
    """

    hidden: int = 64

    @nn.compact
    def __call__(self, slots_BKD: jax.Array, o_t: jax.Array, o_next: jax.Array) -> jax.Array:
        """Slots before null-fill and frames (B, H, W, C), uint8 or in [0, 1] -> (B, K + 1) float32.

        Entry k: the natural logarithm of the mean squared error when k slots are kept.
        """
        *B, K, D = slots_BKD.shape
        o_t, o_next = to_float(o_t), to_float(o_next)
        change = o_next - o_t
        copied = _log(jnp.mean(jnp.square(change), (-3, -2, -1)))
        x = jnp.concatenate(
            [
                slots_BKD.astype(jnp.float32).reshape(*B, K * D),
                (_pooled(o_t) - 0.5).reshape(*B, -1),
                4 * _pooled(change).reshape(*B, -1),
                _scaled(_log(_pooled(jnp.square(change)).mean(-1))).reshape(*B, -1),
                _scaled(copied)[..., None],
            ],
            -1,
        )
        level = nn.Dense(1, name="level")(self._hidden("level_in", x))[..., 0]
        # Of slot j alone; about 0.1 dB each before training.
        bias = nn.initializers.constant(-4.0)
        gains = nn.Dense(K, name="gains", bias_init=bias)(self._hidden("gains_in", x))
        behind = jnp.cumsum(jax.nn.softplus(gains)[..., ::-1], -1)[..., ::-1]
        behind = jnp.concatenate([behind, jnp.zeros((*B, 1))], -1)  # What the slots from k on gain.
        return (copied + level)[..., None] + behind

    def _hidden(self, name: str, x: jax.Array) -> jax.Array:
        return nn.relu(nn.Dense(self.hidden, name=name)(x))


def _log(mse: jax.Array) -> jax.Array:
    return jnp.log(jnp.maximum(mse, LEAST_MSE))


def _scaled(logarithm: jax.Array) -> jax.Array:
    return (logarithm + 6) / 3  # Errors of pictures are from e^-12 to 1.


def _pooled(images: jax.Array) -> jax.Array:
    """(B, H, W, C) -> (B, G, G, C), by area, whatever the size."""
    *B, _, _, C = images.shape
    return jax.image.resize(images, (*B, SIDE, SIDE, C), "linear", antialias=True)


def shortfall(log_mse_BN: jax.Array | np.ndarray) -> jax.Array | np.ndarray:
    """dB of PSNR that each budget lacks to the longest, (B, N), from natural logarithms of MSEs."""
    return DB_PER_NAT * (log_mse_BN - log_mse_BN[..., -1:])


def least_budget(
    shortfall_BN: jax.Array | np.ndarray, budgets: Sequence[int], tolerance: float | jax.Array
) -> jax.Array | np.ndarray:
    """The smallest budget that lacks at most `tolerance` dB, int32 (B,).

    Args:
      shortfall_BN: as `shortfall` gives it; the longest budget lacks 0.
      tolerance: dB, from 0.
    """
    xp = np if isinstance(shortfall_BN, np.ndarray) else jnp
    return xp.asarray(budgets, xp.int32)[xp.argmax(shortfall_BN <= tolerance, -1)]

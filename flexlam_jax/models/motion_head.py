"""Predicts local motion from a prefix of a code, and nothing else: a second target beside pixels.

Dimension keys: ... batch axes, K slots, D slot width, R Q rows and columns of windows, S shifts.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from flexlam_jax.errors import ConfigError
from flexlam_jax.models.bottleneck import null_fill
from flexlam_jax.models.dense import Dense
from flexlam_jax.models.motion import motion_features


class MotionHead(nn.Module):
    """Slots and how many are kept -> distribution over shifts of every window of the picture.

    Attributes:
      windows, radius, factor: of the target; see motion.motion_features.
      hidden: width of the two hidden layers.
    """

    windows: tuple[int, int] = (4, 8)
    radius: tuple[int, int] = (2, 8)
    factor: int = 2
    hidden: int = 128
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, slots: jax.Array, keep: jax.Array) -> jax.Array:
        """slots (..., K, D) before null-fill, keep (...) -> log-probabilities (..., R, Q, S)."""
        null = self.param("null", nn.initializers.truncated_normal(0.02), slots.shape[-1:])
        x = null_fill(slots, keep, null).reshape(*slots.shape[:-2], -1)
        for i in range(2):
            x = nn.gelu(Dense(self.hidden, dtype=self.dtype, name=f"hidden_{i}")(x))
        logits = Dense((*self.windows, self.shifts), dtype=jnp.float32, name="shifts")(x)
        return jax.nn.log_softmax(logits)

    @property
    def shifts(self) -> int:
        """S."""
        return (2 * self.radius[0] + 1) * (2 * self.radius[1] + 1)

    def target(self, o_t: jax.Array, o_next: jax.Array) -> jax.Array:
        """What is predicted: float frames (..., H, W, C) -> distributions (..., R, Q, S)."""
        features = motion_features(o_t, o_next, self.windows, self.radius, self.factor)
        return features / jnp.sqrt(features.shape[-1])

    def check(self, sides: tuple[int, int]) -> None:
        """Raises ConfigError for frames of (H, W) that the windows do not divide."""
        units = [self.factor * windows for windows in self.windows]
        if any(side % unit for side, unit in zip(sides, units, strict=True)):
            raise ConfigError(
                f"loss.motion does not fit {sides[0]}x{sides[1]} frames: the sides must be "
                f"multiples of {units[0]} and {units[1]}; leave it 0"
            )

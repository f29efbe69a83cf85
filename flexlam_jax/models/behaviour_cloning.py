"""Behaviour cloning: the action that was taken, from the frames up to it.

Dimension keys: B batch, T times, H W C image, A actions, or dimensions of one.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from flexlam_jax.config.ranges import COUNT, SWITCH, TEXT, Range, one_of
from flexlam_jax.config.sections import build_kind
from flexlam_jax.config.settings import choice, read, setting
from flexlam_jax.errors import ConfigError
from flexlam_jax.models.dense import Dense
from flexlam_jax.models.frame_stack import TRUNKS
from flexlam_jax.models.lam import DTYPES, FrameSettings

_NAMES = Range(
    "texts in brackets, () for those of the data",
    lambda value: isinstance(value, (list, tuple)) and all(map(TEXT.holds, value)),
)


@dataclasses.dataclass(frozen=True)
class BehaviourCloningSettings(FrameSettings):
    """The `model` section of a config; what `build_behaviour_cloning` reads."""

    trunk: Any = choice(TRUNKS, default="frame_stack", help="reads the last frames")
    hidden: int = setting(256, range=COUNT, help="hidden width of the head")
    action_names: tuple[str, ...] = setting(
        (), range=_NAMES, help="names of the actions, or of the dimensions of one"
    )
    discrete: bool = setting(
        True, range=SWITCH, help="one action of several, or a vector; read with the names"
    )
    dtype: str = setting("float32", range=one_of(tuple(DTYPES)), help="of matrix products")


class BehaviourCloning(nn.Module):
    """Frames (B, T, H, W, C), uint8 or float in [0, 1] -> (B, T, A) float32.

    Logits of discrete actions, or the continuous action itself, after the frames up to each time.
    Built by `build_behaviour_cloning`.
    """

    trunk: nn.Module
    outputs: int
    hidden: int = 256
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, frames: jax.Array, last: int = 0) -> jax.Array:
        """`last` gives the last n times alone, (B, n, A), at the price of n; 0 gives all."""
        x = self.trunk(frames, last)
        x = nn.gelu(Dense(self.hidden, dtype=self.dtype, name="hidden")(x))
        out = nn.Dense(self.outputs, kernel_init=nn.initializers.normal(1e-2), name="out")
        return out(x.astype(jnp.float32))


def build_behaviour_cloning(config: Mapping[str, Any]) -> BehaviourCloning:
    """Builds the model from the `model` section of a config.

    Its keys are the fields of BehaviourCloningSettings.

    Raises:
      ConfigError: an unknown key or kind, a value out of range, or no names of actions.
    """
    settings = read("model", config, BehaviourCloningSettings)
    if not settings.action_names:
        raise ConfigError(
            "config.model.action_names is empty; name the actions, or give the data that do"
        )
    dtype = DTYPES[settings.dtype]
    return BehaviourCloning(
        trunk=build_kind("model.trunk", settings.trunk, TRUNKS, dtype=dtype),
        outputs=len(settings.action_names),
        hidden=settings.hidden,
        dtype=dtype,
    )

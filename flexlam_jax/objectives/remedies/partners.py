"""Cross-exogenous reconstruction: the code of one world decodes the next frame of another.

    z_i = E(o_i, o'_i),   L_own = |D(o_i, z_i) - o'_i|^2,   L_cross = |D(o_j, z_i) - o'_j|^2,   i != j

Worlds 1 and 2 show the same agent and actions; what nobody controls is drawn apart (or the camera
differs). Noise of world 1 says nothing of world 2, so that L_cross pays for what they share alone:
in the linear case it is reduced-rank regression of one innovation on the other, whose codes hold
nothing exogenous at any width and noise (whitened, CCA). Sources: arXiv 2605.20223; with two views
MVP-LAM, arXiv 2602.03668.

Rows of both worlds lie side by side, 2 i and 2 i + 1, so that a device keeps whole pairs.

Dimension keys: B rows, T frames of a clip, H W C image.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from flexlam_jax.errors import ConfigError

PAIR = "frames_pair"  # Where a batch holds the partners.


def side_by_side(batch: Mapping[str, Any]) -> dict[str, Any]:
    """A batch of B rows with partners -> 2 B rows without; what is not a frame serves both.

    Raises:
      ConfigError: no partners, or of another size.
    """
    if PAIR not in batch:
        raise ConfigError(
            "config.loss.cross needs paired rows: set config.data.pair_with to 'exogenous' or "
            "'camera', for data that hold every recording twice"
        )
    frames, other = batch["frames"], batch[PAIR]
    if frames.shape != other.shape:
        raise ConfigError(
            f"config.loss.cross: frames are {frames.shape[2:]} and those of their partners "
            f"{other.shape[2:]}; set config.data.resize=True"
        )
    both = {name: _interleave(x, x) for name, x in batch.items() if name not in ("frames", PAIR)}
    return {**both, "frames": _interleave(frames, other)}


def _interleave(first: jax.Array, second: jax.Array) -> jax.Array:
    return jnp.stack([first, second], axis=1).reshape(-1, *first.shape[1:])


def partners(x: jax.Array) -> jax.Array:
    """Every row's partner, (2 B, ...) -> (2 B, ...)."""
    return x.reshape(-1, 2, *x.shape[1:])[:, ::-1].reshape(x.shape)

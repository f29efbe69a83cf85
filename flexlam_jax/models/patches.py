"""Between images and token sequences.

Dimension keys: H W C image, P patch side, N patches, M model width.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from flexlam_jax.errors import ConfigError


def grid_of(image_size: int | tuple[int, int], patch: int) -> tuple[int, int]:
    """Rows and columns of patches; raises ConfigError when the patch does not divide the image."""
    height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
    if height % patch or width % patch:
        raise ConfigError(f"patch {patch} does not divide the image size {height}x{width}")
    return height // patch, width // patch


def patchify(images: jax.Array, patch: int) -> jax.Array:
    """(..., H, W, C) -> (..., N, P*P*C), patches in row-major order."""
    *batch, H, W, C = images.shape
    rows, cols = grid_of((H, W), patch)
    x = images.reshape(*batch, rows, patch, cols, patch, C)
    x = jnp.moveaxis(x, -4, -3)
    return x.reshape(*batch, rows * cols, patch * patch * C)


def unpatchify(tokens: jax.Array, grid: tuple[int, int], patch: int) -> jax.Array:
    """(..., N, P*P*C) -> (..., H, W, C); the inverse of `patchify`."""
    *batch, N, width = tokens.shape
    rows, cols = grid
    if rows * cols != N:
        raise ValueError(f"{N} patches do not fill a grid of {rows}x{cols}")
    C = width // (patch * patch)
    x = tokens.reshape(*batch, rows, cols, patch, patch, C)
    x = jnp.moveaxis(x, -3, -4)
    return x.reshape(*batch, rows * patch, cols * patch, C)


def sincos_positions(grid: tuple[int, int], width: int) -> np.ndarray:
    """Fixed sine-cosine table (N, M) float32; first half rows, second half columns."""
    if width % 4:
        raise ConfigError(f"sine-cosine positions need a width divisible by 4, not {width}")
    frequencies = 10_000.0 ** (-np.arange(width // 4) / (width // 4))
    rows, cols = np.meshgrid(*(np.arange(n) for n in grid), indexing="ij")
    angles = [axis.reshape(-1, 1) * frequencies for axis in (rows, cols)]
    table = [wave(angle) for angle in angles for wave in (np.sin, np.cos)]
    return np.concatenate(table, axis=-1).astype(np.float32)


POSITIONS = ("learned", "sincos")


class Positions(nn.Module):
    """Adds position embeddings to (..., N, M) tokens: 'learned', or the fixed 'sincos' table."""

    grid: tuple[int, int]
    kind: str = "learned"

    @nn.compact
    def __call__(self, tokens: jax.Array) -> jax.Array:
        N, M = tokens.shape[-2:]
        if self.kind == "learned":
            init = nn.initializers.truncated_normal(0.02)
            table = self.param("embedding", init, (N, M), jnp.float32)
        elif self.kind == "sincos":
            table = jnp.asarray(sincos_positions(self.grid, M))
        else:
            raise ConfigError(f"positions={self.kind!r} is unknown; choose one of {POSITIONS}")
        return tokens + table.astype(tokens.dtype)

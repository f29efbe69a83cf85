"""The light decoder: moves the pixels of o_t as the code says, then corrects them.

Each cell of a coarse grid gets a distribution over horizontal and one over vertical shifts, from
the code and the cell's content; the moved picture is the mean over shifts. Code bits thus go to
motion first. Moving is one batched matrix product per axis: gathers halve the training rate on
XLA:CPU, and strided convolutions are slow there, which is why resolution changes by space-to-depth.

Dimension keys: B batch, H W C image, G cells per side, S shifts, P largest shift, L padded length.
"""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from flexlam_jax.config.ranges import COUNT, SWITCH, several, whole
from flexlam_jax.config.settings import setting
from flexlam_jax.errors import ConfigError
from flexlam_jax.models.dense import Dense
from flexlam_jax.models.patches import patchify, unpatchify

_STRIDE = 2  # shifts are in units of this many pixels


def space_to_depth(x: jax.Array, factor: int) -> jax.Array:
    """(B, H, W, C) -> (B, H/f, W/f, f*f*C)."""
    B, H, W, _ = x.shape
    return patchify(x, factor).reshape(B, H // factor, W // factor, -1)


def depth_to_space(x: jax.Array, factor: int) -> jax.Array:
    """(B, H, W, f*f*C) -> (B, f*H, f*W, C)."""
    B, H, W, width = x.shape
    return unpatchify(x.reshape(B, H * W, width), (H, W), factor)


def shift_columns(x_BHWC: jax.Array, weights_BGWS: jax.Array) -> jax.Array:
    """Replaces each pixel by a weighted mean of its horizontal neighbours.

    Args:
      x_BHWC: picture; the border is replicated.
      weights_BGWS: for each of G row bands and each column the weights of the pixels at distance
        -P..P, S = 2P + 1.

    Returns:
      (B, H, W, C).
    """
    B, H, W, C = x_BHWC.shape
    G, S = weights_BGWS.shape[1], weights_BGWS.shape[-1]
    P = S // 2
    L = W + 2 * P
    # Row w of the (W, L) mixing matrix holds its S weights from column w on. Padding each row by
    # one number more than the matrix is wide and reading it with the matrix's width shifts every
    # row by one: no scatter needed.
    mix = jnp.pad(weights_BGWS, ((0, 0), (0, 0), (0, 0), (0, L + 1 - S)))
    mix = mix.reshape(B, G, W * (L + 1))[..., : W * L].reshape(B, G, W, L)
    x = jnp.pad(x_BHWC, ((0, 0), (0, 0), (P, P), (0, 0)), mode="edge")
    x = x.reshape(B, G, H // G, L, C).transpose(0, 1, 3, 2, 4).reshape(B, G, L, (H // G) * C)
    # Copied pixels must not be rounded to bfloat16, as a TPU would without asking.
    x = jnp.matmul(mix, x, precision=jax.lax.Precision.HIGHEST).reshape(B, G, W, H // G, C)
    return x.transpose(0, 1, 3, 2, 4).reshape(B, H, W, C)


def shift_rows(x_BHWC: jax.Array, weights_BGHS: jax.Array) -> jax.Array:
    """shift_columns along the other axis: G column bands, weights for each row."""
    return shift_columns(x_BHWC.swapaxes(1, 2), weights_BGHS).swapaxes(1, 2)


def _stay(key, shape, dtype=jnp.float32):
    """Bias of shift logits that starts at "mostly do not move"."""
    del key
    return jnp.zeros(shape, dtype).at[shape[0] // 2].set(3.0)


class ShiftField(nn.Module):
    """Distributions over shifts per cell: along x (B, G, G, 2 rx + 1), along y likewise."""

    cells: int
    radius: tuple[int, int]
    hidden: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, o_t: jax.Array, code: jax.Array) -> tuple[jax.Array, jax.Array]:
        def dense(width, name, **settings):
            return Dense(width, dtype=self.dtype, name=name, **settings)

        G, hidden = self.cells, self.hidden
        content = nn.gelu(dense(hidden // 2, "content")(space_to_depth(o_t, o_t.shape[1] // G)))
        content = nn.Conv(hidden // 2, (3, 3), dtype=self.dtype, name="neighbours")(content)
        cell = dense(hidden, "from_content")(nn.gelu(content))
        cell += dense(hidden, "from_code")(code)[:, None, None]
        cell = nn.gelu(cell * (1 + dense(hidden, "scale")(code)[:, None, None]))
        fields = []
        for axis, radius in zip("xy", self.radius[::-1], strict=True):
            S = 2 * radius + 1
            logits = nn.Dense(S, bias_init=_stay, dtype=jnp.float32, name=f"shift_{axis}")(cell)
            # The code alone also sets the shift of every cell: camera motion needs no look at the
            # content.
            logits += Dense((G, G, S), dtype=jnp.float32, name=f"code_shift_{axis}")(code)
            fields.append(jax.nn.softmax(logits))
        return fields[0], fields[1]


class FilmConv(nn.Module):
    """Residual 3x3 convolution on normalised features, scaled and shifted by the code (B, M)."""

    channels: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, code: jax.Array) -> jax.Array:
        film = Dense(2 * self.channels, dtype=self.dtype, name="film")(code)
        scale, shift = jnp.split(film[:, None, None], 2, axis=-1)
        z = nn.LayerNorm(dtype=jnp.float32, name="norm")(x) * (1 + scale) + shift
        return x + nn.Conv(self.channels, (3, 3), dtype=self.dtype, name="conv")(nn.gelu(z))


class MotionDecoder(nn.Module):
    """o_t (B, H, W, C) float and null-filled slots (B, K, D) -> change (B, H, W, C) float32.

    Fields: cells G per side and radius (dy, dx) of the shift field, in steps of two pixels;
    channels and blocks of the correction; hidden widths. H = W must be a multiple of 2 G and of 4.
    """

    cells: int = setting(8, range=COUNT, help="cells per side of the shift field")
    radius: tuple[int, int] = setting(
        (2, 8), range=several(whole(0, 64), 2), help="(dy, dx) of its shifts, in steps of 2 pixels"
    )
    channels: int = setting(32, range=COUNT, help="channels of the correction")
    blocks: int = setting(1, range=whole(0, 10_000), help="how many blocks")
    # Halved for the content.
    hidden: int = setting(96, range=whole(2), help="hidden width of the shift field")
    code_hidden: int = setting(128, range=COUNT, help="hidden width of the code's MLP")
    detail: bool = setting(
        False, range=SWITCH, help="slots also say, place by place, what the correction begins with"
    )
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, o_t: jax.Array, slots: jax.Array) -> jax.Array:
        B, H, W, C = o_t.shape
        unit = math.lcm(2 * self.cells, 4)
        if H != W or H % unit:
            raise ConfigError(
                f"model.decoder.cells={self.cells} does not fit {H}x{W} frames: both sides must be"
                f" the same multiple of {unit}"
            )
        code = told = slots.reshape(B, -1)
        for i in range(2):
            code = nn.gelu(Dense(self.code_hidden, dtype=self.dtype, name=f"code_{i}")(code))
        moved = self._move(o_t, code)

        x = jnp.concatenate([space_to_depth(o_t, 4), space_to_depth(moved, 4)], axis=-1)
        x = Dense(self.channels, dtype=self.dtype, name="correct_in")(x)
        if self.detail:
            # Of the slots themselves: many of them say more than the narrow MLP lets through.
            x = x + Dense(x.shape[1:], dtype=self.dtype, name="detail")(told)
        for i in range(self.blocks):
            x = FilmConv(self.channels, self.dtype, name=f"correct_{i}")(x, code)
        correction = Dense(
            16 * C, dtype=jnp.float32, kernel_init=nn.initializers.zeros, name="correct_out"
        )(nn.gelu(x))
        return moved - o_t + depth_to_space(correction, 4)

    def _move(self, o_t, code):
        field = ShiftField(
            self.cells, tuple(self.radius), self.hidden, self.dtype, name="shift_field"
        )
        shifts_x, shifts_y = field(o_t, code)
        half = space_to_depth(o_t, _STRIDE)
        # One weight vector per cell serves all of the cell's columns (rows).
        wide = jnp.repeat(shifts_x, half.shape[2] // self.cells, axis=2)
        tall = jnp.repeat(shifts_y.swapaxes(1, 2), half.shape[1] // self.cells, axis=2)
        return depth_to_space(shift_rows(shift_columns(half, wide), tall), _STRIDE)

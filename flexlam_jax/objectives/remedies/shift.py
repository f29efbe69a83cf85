"""Independent shifts: the encoder sees the clip moved by one offset, the decoder by another (IGOR;
analysed in arXiv 2506.15691, Prop. 4.3).

    z = E(s_1 o_t, s_1 o_{t+1}),   o^ = D(s_2 o_t, z),   L = |o^ - s_2 o_{t+1}|^2,   s_1, s_2 apart

A code that says where things are in the picture is of no use at the decoder's offset, so that z
keeps what changed and loses what was seen: in the linear case A = I and C + D = 0. Noise that moves
as the agent does is not removed: both are changes.

Dimension keys: B rows, T frames of a clip, H W C image.
"""

import jax
import jax.numpy as jnp


def draw_shifts(key: jax.Array, rows: int, pixels: int) -> jax.Array:
    """Offsets (rows, columns) of each row, uniform in -pixels..pixels, int32 (B, 2)."""
    return jax.random.randint(key, (rows, 2), -pixels, pixels + 1, jnp.int32)


def shift_frames(frames: jax.Array, offsets: jax.Array) -> jax.Array:
    """Frames of any type (B, T, H, W, C) moved by whole pixels, edges repeated (as DrQ does).

    Pixel (y, x) of the result is (y + offset, x + offset) of the input, or the nearest one.
    """

    def one(clip: jax.Array, offset: jax.Array) -> jax.Array:
        rows, columns = (
            jnp.clip(jnp.arange(clip.shape[axis]) + offset[axis - 1], 0, clip.shape[axis] - 1)
            for axis in (1, 2)
        )
        return clip[:, rows][:, :, columns]

    return jax.vmap(one)(frames, offsets)

"""Space-time transformer blocks over whole clips, or over one new frame of each row at a time.

A block attends within each frame, then, position by position, to the frames before, and has one MLP
after both (Genie, arXiv 2402.15391, section 2).

In time a frame sees itself and the `window - 1` frames before it, at distances (rotary.py), not at
places. So keys and values of the last `window - 1` frames are all that a block ever reads again:
going on from them gives what reading the whole clip gives, at any length.

Dimension keys: B rows, T frames, N positions of a frame, M width, S = window - 1 frames kept,
H heads, E head width; layers first in what a stack keeps.
"""

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp

from flexlam_jax.errors import ConfigError
from flexlam_jax.models.causal_transformer import CausalAttention, KeysValues
from flexlam_jax.models.transformer import MLP, Attention, BlockSettings, RMSNorm, scanned


@flax.struct.dataclass
class FrameCache:
    """What a stack has kept of each row: keys and values (layers, B, N, S, H, E), of frame number f
    in place f modulo S, and count int32 (B,), how many frames were written.

    Immutable: one that is kept is a place to go back to. Rows may have counts of their own.
    """

    keys: jax.Array
    values: jax.Array
    count: jax.Array

    def write(self, frame: KeysValues) -> "FrameCache":
        """The cache after a frame, of which `SpaceTimeStack.step` gave keys and values."""
        rows, kept = self.keys.shape[1], self.keys.shape[3]
        if not kept:  # Frames do not see each other.
            return FrameCache(self.keys, self.values, self.count + 1)

        def written(held: jax.Array, new: jax.Array) -> jax.Array:
            place = jnp.arange(rows), slice(None), self.count % kept
            return held.at[:, *place].set(jnp.moveaxis(new[..., 0, :, :], 1, 0))

        keys, values = (
            written(held, new) for held, new in zip((self.keys, self.values), frame, strict=True)
        )
        return FrameCache(keys, values, self.count + 1)


class SpaceTimeBlock(nn.Module):
    """Pre-norm block: attention in space, attention in time, MLP.

    With `space_causal` a position sees those up to itself in its frame, in their order: then the
    last one of a frame alone sees the whole frame.
    """

    settings: BlockSettings
    space_causal: bool = False

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        past: KeysValues | None = None,
        mask: jax.Array | None = None,
        positions: jax.Array | None = None,
    ) -> tuple[jax.Array, KeysValues]:
        """x (B, T, N, M) -> (the same, keys and values (B, N, S + T, H, E)); see `_Blocks`."""
        dtype = self.settings.dtype
        z = RMSNorm(dtype, name="space_norm")(x)
        x = x + Attention(self.settings, name="space_attention")(z, causal=self.space_causal)
        z = RMSNorm(dtype, name="time_norm")(x).swapaxes(1, 2)
        z, read = CausalAttention(self.settings, name="time_attention")(z, past, mask, positions)
        x = x + z.swapaxes(1, 2)
        z = RMSNorm(dtype, name="mlp_norm")(x)
        return x + MLP(self.settings.mlp_hidden, dtype, name="mlp")(z), read


class _Blocks(nn.Module):
    """`layers` blocks with stacked parameters (leading axis = layer), scanned."""

    layers: int
    settings: BlockSettings
    space_causal: bool

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        past: KeysValues | None,
        mask: jax.Array | None,
        positions: jax.Array,
        keep: bool,
    ) -> tuple[jax.Array, KeysValues | None]:
        """Reads T frames.

        Args:
          x: (B, T, N, M).
          past: keys and values (layers, B, N, S, H, E) of frames before; None for none.
          mask: bool (T, S + T), or (B, 1, 1, T, S + T) where rows differ; None = causal.
          positions: (T,) or (B, 1, T), numbers of the frames.
          keep: whether keys and values are wanted.

        Returns:
          (x, keys and values of the T frames (layers, B, N, T, H, E), or None).
        """
        T = x.shape[1]

        def body(block, x, past):
            x, read = block(x, past, mask, positions)
            return x, tuple(part[..., -T:, :, :] for part in read) if keep else None

        block = SpaceTimeBlock(self.settings, self.space_causal, name="layers")
        return scanned(body, self.layers, self.settings)(block, x, past)


def check_heads(width: int, heads: int, section: str = "") -> None:
    """Raises ConfigError for a width that does not split into heads of even width.

    Args:
      section: of the config, with a dot behind it.
    """
    if width % (2 * heads):
        raise ConfigError(
            f"{section}width={width} does not split into {section}heads={heads} heads of an even "
            "width, which positions in time need"
        )


class SpaceTimeStack(nn.Module):
    """`layers` space-time blocks and a norm at the end; where a position stands is for x to say.

    Fields:
      width: M.  layers: how many blocks.
      window: frames that a frame sees in each block, itself included; 1 keeps frames apart.
      space_causal: see SpaceTimeBlock.

    Raises ConfigError as `check_heads`.
    """

    width: int
    layers: int
    window: int
    block: BlockSettings
    space_causal: bool = False

    def setup(self) -> None:
        check_heads(self.width, self.block.heads)
        self.blocks = _Blocks(self.layers, self.block, self.space_causal)
        self.norm = RMSNorm(self.block.dtype)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Frames of whole clips: x (B, T, N, M) -> the same."""
        return self._read(x, keep=False)[0]

    def start(self, rows: int, positions: int) -> FrameCache:
        """The cache of `rows` rows before the first frame, which has `positions` positions."""
        heads = self.block.heads
        shape = (self.layers, rows, positions, self.window - 1, heads, self.width // heads)
        # Two arrays, so that callers may donate the cache.
        return FrameCache(
            jnp.zeros(shape, self.block.dtype),
            jnp.zeros(shape, self.block.dtype),
            jnp.zeros(rows, jnp.int32),
        )

    def read(self, x: jax.Array) -> tuple[jax.Array, FrameCache]:
        """The first frames at once: x (B, T, N, M) -> (the same, the cache after them)."""
        B, T = x.shape[:2]
        y, read = self._read(x, keep=True)
        S = self.window - 1

        def last(held: jax.Array) -> jax.Array:
            held = held[..., max(T - S, 0) :, :, :]  # S = 0 leaves nothing.
            if T > S:
                return jnp.roll(held, (T - S) % S, axis=-3) if S else held
            return jnp.pad(held, [(0, 0)] * 3 + [(0, S - T)] + [(0, 0)] * 2)

        keys, values = read
        return y, FrameCache(last(keys), last(values), jnp.full(B, T, jnp.int32))

    def step(self, x: jax.Array, cache: FrameCache) -> tuple[jax.Array, KeysValues]:
        """One new frame of every row, after those in the cache, which is read only.

        A frame may so be run several times, as its tokens become known, before
        `cache.write(frame)` makes it past.

        Args:
          x: (B, 1, N, M).

        Returns:
          (the same, the frame's keys and values (layers, B, N, 1, H, E)).
        """
        kept = cache.keys.shape[3]
        known = jnp.arange(kept) < cache.count[:, None]
        mask = jnp.pad(known, ((0, 0), (0, 1)), constant_values=True)[:, None, None, None]
        y, frame = self.blocks(
            x, (cache.keys, cache.values), mask, cache.count[:, None, None], keep=True
        )
        return self.norm(y), frame

    def _read(self, x, keep):
        T = x.shape[1]
        frame = jnp.arange(T)
        mask = None  # Causality alone leaves fused kernels their way of it.
        if self.window < T:
            back = frame[:, None] - frame
            mask = (back >= 0) & (back < self.window)
        y, read = self.blocks(x, None, mask, frame, keep=keep)
        return self.norm(y), read

"""Causal blocks over a sequence, or over one new position of each row at a time.

Both give the same numbers. Step by step every row has a place of its own, so that rows which get a
new position at different times share a batch.

Dimension keys: B rows, T positions, S positions that a state has room for, M width, H heads, E head
width; layers first in a state.
"""

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp

from flexlam_jax.models.causal_transformer import CausalTransformer
from flexlam_jax.models.transformer import BlockSettings, RMSNorm


@flax.struct.dataclass
class StackState:
    """What a stack has read of each row: keys and values (layers, B, S, H, E), count int32 (B,)."""

    keys: jax.Array
    values: jax.Array
    count: jax.Array


class Stack(nn.Module):
    """`layers` causal blocks with rotary positions and a norm at the end; 0 layers change nothing.

    Padding stands at the end of a sequence, where no block looks back from.
    """

    width: int
    layers: int
    block: BlockSettings

    def setup(self) -> None:
        if self.layers:
            self.blocks = CausalTransformer(self.layers, self.block)
            self.norm = RMSNorm(self.block.dtype)

    def __call__(self, x: jax.Array, valid: jax.Array) -> tuple[jax.Array, tuple[()]]:
        """x (B, T, M) -> (the same, nothing to tell of stages)."""
        if not self.layers:
            return x, ()
        positions = jnp.broadcast_to(jnp.arange(x.shape[1]), x.shape[:2])
        return self.norm(self.blocks(x, positions=positions)[0]), ()

    def start(self, rows: int, length: int) -> StackState:
        """The state before the first position, with room for `length` of them."""
        heads = self.block.heads
        shape = (self.layers, rows, length if self.layers else 0, heads, self.width // heads)
        # Two arrays, so that callers may donate the state.
        return StackState(
            jnp.zeros(shape, self.block.dtype),
            jnp.zeros(shape, self.block.dtype),
            jnp.zeros(rows, jnp.int32),
        )

    def restart(self, state: StackState, ended: jax.Array) -> StackState:
        """The state with the rows `ended`, bool (B,), as before their first position."""
        return StackState(state.keys, state.values, jnp.where(ended, 0, state.count))

    def step(
        self, x: jax.Array, go: jax.Array, state: StackState
    ) -> tuple[jax.Array, StackState, tuple[()]]:
        """One position: x (B, M), read where `go` bool (B,) -> (output, state, nothing).

        Rows that do not go keep their state; their output means nothing.
        """
        if not self.layers:
            return x, StackState(state.keys, state.values, state.count + go), ()
        rows, S = state.keys.shape[1:3]
        mask = jnp.pad(jnp.arange(S) < state.count[:, None], ((0, 0), (0, 1)), constant_values=True)
        y, read = self.blocks(
            x[:, None],
            (state.keys, state.values),
            mask[:, None, None],
            positions=state.count[:, None],
        )
        place = jnp.where(go, state.count, S)  # Nothing is written there.
        keys, values = (
            held.at[:, jnp.arange(rows), place].set(new[:, :, -1], mode="drop")
            for held, new in zip((state.keys, state.values), read, strict=True)
        )
        return self.norm(y)[:, 0], StackState(keys, values, state.count + go), ()

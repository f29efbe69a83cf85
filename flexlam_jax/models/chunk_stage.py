"""A stage of dynamic chunking: encoder, router, what lies inside over the chunks, decoder.

What lies inside is a stack of blocks or another stage, so that any number of stages nest. A stage
reads a sequence at once, or position by position with an explicit state, at any number of rows; both
give the same numbers. See chunking.py for what is computed.

Dimension keys: B rows, T positions of this stage, M the most chunks of a row, W width.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp

from flexlam_jax.models import chunking
from flexlam_jax.models.dense import Dense


@dataclasses.dataclass(frozen=True)
class Cutting:
    """How a stage cuts.

    Attributes:
      paper: query and key are paired and ties decided as in the paper, not the official code.
      temperature: of the router, see `chunking.boundary_probability`.
      offset: whether the router learns one, from 0; see there too.
      neighbours: whether a stage inside another one compares the step at which a chunk begins with
        the step before it, as the outermost encoder reads them, and not with the first step of the
        chunk before.
      merge: boundaries at less than so many positions are one, see `chunking.merge_runs`.
      capacity: the most chunks, as a share of the positions; boundaries beyond them are dropped.
    """

    paper: bool = False
    temperature: float = 1.0
    offset: bool = False
    neighbours: bool = False
    merge: int = 1
    capacity: float = 1.0

    def most(self, positions: int) -> int:
        """M of so many positions; at least two, as one has nothing to be cut."""
        return min(positions, max(2, math.ceil(self.capacity * positions)))


@flax.struct.dataclass
class StageOutput:
    """What a stage decided.

    Attributes:
      probability: float32 (B, T).
      boundary: bool (B, T), what the router says.
      cut: bool (B, T), what is left of that: runs merged, no more than M.
      valid: bool (B, T).
      encoded: (B, T, W), the encoder's vectors.
      chunks: those at the cuts, the sequence that went inside: `chunking.Chunks`.
    """

    probability: jax.Array
    boundary: jax.Array
    cut: jax.Array
    valid: jax.Array
    encoded: jax.Array
    chunks: chunking.Chunks


class Steps(NamedTuple):
    """Where a chunk begins: what the outermost encoder says of the step before, and of that step;
    (..., V), V its width."""

    before: jax.Array
    here: jax.Array


@flax.struct.dataclass
class StageStep:
    """What a stage decided of one position: cut bool (B,), and skill (B, W), the vector at the
    last cut."""

    cut: jax.Array
    skill: jax.Array


@flax.struct.dataclass
class StageState:
    """What a stage has read of each row.

    Attributes:
      encoder, inner, decoder: their states.
      previous: (B, W), the encoder's vector one position before.
      skill: (B, W), that at the last cut.
      average: float32 (B, W), of the chunks so far.
      count, chunks: int32 (B,), positions and chunks so far.
      since: int32 (B,), positions since the router's last boundary.
      room: positions that it has room for.
      most: M of so many.
    """

    encoder: Any
    inner: Any
    decoder: Any
    previous: jax.Array
    skill: jax.Array
    average: jax.Array
    count: jax.Array
    chunks: jax.Array
    since: jax.Array
    room: int = flax.struct.field(pytree_node=False)
    most: int = flax.struct.field(pytree_node=False)


def _identity(key: jax.Array, shape: tuple[int, int], dtype: Any) -> jax.Array:
    return jnp.eye(*shape, dtype=dtype)


class Router(nn.Module):
    """Queries and keys that begin as the vectors themselves; float32."""

    width: int
    cutting: Cutting

    def setup(self) -> None:
        self.query, self.key = (
            Dense(self.width, use_bias=False, kernel_init=_identity) for _ in range(2)
        )
        learned = self.cutting.offset
        self.offset = self.param("offset", nn.initializers.zeros, ()) if learned else None

    def __call__(self, x: jax.Array) -> jax.Array:
        """x (B, T, W) -> float32 (B, T)."""
        return chunking.boundary_probability(
            self.query(x),
            self.key(x),
            pairing="paper" if self.cutting.paper else "code",
            temperature=self.cutting.temperature,
            offset=self.offset,
        )

    def between(self, previous: jax.Array, x: jax.Array) -> jax.Array:
        """Of positions with the one before each: (..., V), (..., V) -> float32 (...). V is W, or the
        width of an outer stage."""
        asks, asked = (x, previous) if self.cutting.paper else (previous, x)
        return chunking.dissimilarity(
            self.query(asks), self.key(asked), self.cutting.temperature, self.offset
        )


class ChunkStage(nn.Module):
    """One stage; see the head of this file.

    The residual past the chunks is float32 and begins at zero; without one, all that gets to the
    decoder has been through the chunks. Where what lies inside is wider, a
    learned vector is appended to the chunks and its place cut off again.

    Attributes:
      encoder, decoder: `Stack`s of width W.
      inner: a `Stack` or `ChunkStage` of width W or more.
      cutting: how it cuts.
      bypass: whether there is a residual past the chunks.
    """

    encoder: Any
    inner: Any
    decoder: Any
    width: int
    cutting: Cutting = Cutting()
    bypass: bool = True

    def setup(self) -> None:
        self.router = Router(self.width, self.cutting)
        if self.bypass:
            self.residual = Dense(self.width, kernel_init=nn.initializers.zeros)
        wider = self.inner.width - self.width
        self.pad = self.param("pad", nn.initializers.zeros, (wider,)) if wider else None

    def __call__(
        self, x: jax.Array, valid: jax.Array, steps: Steps | None = None
    ) -> tuple[jax.Array, tuple[StageOutput, ...]]:
        """A sequence at once.

        Args:
          x: (B, T, W), T at least 2.
          valid: bool (B, T), padding at the end of a row.
          steps: of a stage inside another, (B, T, V) each; None is the outermost stage.

        Returns:
          ((B, T, W), what this stage and those inside decided, the outer first).
        """
        h, _ = self.encoder(x, valid)
        if steps is not None and self.cutting.neighbours:
            probability = self.router.between(*steps).at[:, 0].set(1.0)
        else:
            probability = self.router(h)
        boundary = chunking.boundaries(probability, valid, ties=self.cutting.paper)
        most = self.cutting.most(x.shape[1])
        cut = chunking.first_boundaries(chunking.merge_runs(boundary, self.cutting.merge), most)
        chunks = chunking.select(h, cut, most)
        steps = steps or Steps(jnp.roll(h, 1, axis=1), h)
        at = chunks.position[..., None]
        there = Steps(*(jnp.take_along_axis(vectors, at, axis=1) for vectors in steps))
        inside, deeper = self._inside(self.inner, self._widened(chunks.values), chunks.valid, there)
        weight = jnp.take_along_axis(probability, chunks.position, axis=1)
        average = chunking.dechunk(inside[..., : self.width], weight, chunks.valid)
        y = self._joined(chunking.spread(average, cut), h, probability, cut)
        told = StageOutput(probability, boundary, cut, valid, h, chunks)
        return self.decoder(y.astype(x.dtype), valid)[0], (told, *deeper)

    def start(self, rows: int, length: int) -> StageState:
        """The state before the first position, with room for `length` of them."""
        most, dtype = self.cutting.most(length), self.encoder.block.dtype
        # No two of them are one array, so that callers may donate the state.
        return StageState(
            encoder=self.encoder.start(rows, length),
            inner=self.inner.start(rows, most),
            decoder=self.decoder.start(rows, length),
            previous=jnp.zeros((rows, self.width), dtype),
            skill=jnp.zeros((rows, self.width), dtype),
            average=jnp.zeros((rows, self.width), jnp.float32),
            count=jnp.zeros(rows, jnp.int32),
            chunks=jnp.zeros(rows, jnp.int32),
            since=jnp.full(rows, self.cutting.merge, jnp.int32),
            room=length,
            most=most,
        )

    def restart(self, state: StageState, ended: jax.Array) -> StageState:
        """The state with the rows `ended`, bool (B,), as before their first position."""
        return StageState(
            encoder=self.encoder.restart(state.encoder, ended),
            inner=self.inner.restart(state.inner, ended),
            decoder=self.decoder.restart(state.decoder, ended),
            # The first position is a cut whatever these hold.
            previous=state.previous,
            skill=state.skill,
            average=jnp.where(ended[:, None], 0, state.average),
            count=jnp.where(ended, 0, state.count),
            chunks=jnp.where(ended, 0, state.chunks),
            since=jnp.where(ended, self.cutting.merge, state.since),
            room=state.room,
            most=state.most,
        )

    def step(
        self, x: jax.Array, go: jax.Array, state: StageState, steps: Steps | None = None
    ) -> tuple[jax.Array, StageState, tuple[StageStep, ...]]:
        """One position of each row.

        Args:
          x: (B, W).
          go: bool (B,), the rows that have a new position; the others keep their state, and their
            output means nothing.
          state: from `start`, or from the step before.
          steps: as in `__call__`, (B, V) each.

        Returns:
          ((B, W), state, what this stage and those inside decided, the outer first).
        """
        h, encoder, _ = self.encoder.step(x, go, state.encoder)
        own = Steps(state.previous, h)
        compared = steps if steps is not None and self.cutting.neighbours else own
        between = self.router.between(*compared)
        probability = jnp.where(state.count == 0, 1.0, between)
        boundary = chunking.boundaries(probability, go, ties=self.cutting.paper)
        cut = boundary & (state.since >= self.cutting.merge) & (state.chunks < state.most)
        inside, inner, deeper = self._inside(
            self.inner.step, self._widened(h), cut, state.inner, steps or own
        )
        weight = chunking.ema_weight(probability, cut)[:, None]
        average = weight * inside[:, : self.width] + (1 - weight) * state.average
        y = self._joined(average, h, probability, cut)
        out, decoder, _ = self.decoder.step(y.astype(x.dtype), go, state.decoder)
        skill = jnp.where(cut[:, None], h, state.skill)
        state = StageState(
            encoder,
            inner,
            decoder,
            previous=jnp.where(go[:, None], h, state.previous),
            skill=skill,
            average=average,
            count=state.count + go,
            chunks=state.chunks + cut,
            since=jnp.where(boundary, 1, state.since + go),
            room=state.room,
            most=state.most,
        )
        return out, state, (StageStep(cut, skill), *deeper)

    def _inside(self, call: Callable[..., Any], *args: Any) -> Any:
        """Calls what lies inside; a stack has no use for the last argument, steps."""
        return call(*(args if isinstance(self.inner, ChunkStage) else args[:-1]))

    def _widened(self, x: jax.Array) -> jax.Array:
        if self.pad is None:
            return x
        pad = jnp.broadcast_to(self.pad.astype(x.dtype), (*x.shape[:-1], len(self.pad)))
        return jnp.concatenate([x, pad], axis=-1)

    def _joined(
        self, average: jax.Array, h: jax.Array, probability: jax.Array, cut: jax.Array
    ) -> jax.Array:
        """What comes from the chunks, trusted as the cut is, and what goes past them; float32."""
        trusted = chunking.confidence(probability, cut)[..., None] * average
        return trusted + self.residual(h.astype(jnp.float32)) if self.bypass else trusted

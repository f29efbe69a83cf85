"""The dynamics of a world: the tokens of the next frame, from the tokens so far and an action.

The action that leads to a frame is the null-filled prefix of a latent action, so that one model obeys
every budget; or a true action, as one slot; or none. A frame's tokens are hidden and set in a few
steps (MaskGIT, maskgit.py), or set one by one in raster order.

What is to be predicted reads the frames before it in one of two contexts:

  masked   one pass over the clip, in which frames that are themselves hidden in part are each other's
           past, as in Genie (arXiv 2402.15391, section 2); in play the past is known
  shown    frames are read as they are, and those to be predicted beside them look back at that: what
           play does, for twice the work in training. Raster order has no other

With `drafts` every frame but the first also has the tokens of what the latent action model's own
decoder makes of the frame before: a blurred guess that obeys, on which the dynamics improve.

Dimension keys: B rows, T frames, N tokens of a frame, P positions of a frame (N, or N + 1 with an
action's token), V codes, K slots, D slot width, M width.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from flexlam_jax.models.causal_transformer import KeysValues
from flexlam_jax.models.dense import Dense
from flexlam_jax.models.maskgit import sample_frame, sample_raster
from flexlam_jax.models.spacetime import FrameCache, SpaceTimeStack
from flexlam_jax.models.transformer import BlockSettings

KINDS = ("maskgit", "causal")
CONTEXTS = ("masked", "shown")
ACTIONS = ("latent", "true", "none")
ENTERS = ("add", "token")


class LookingBack(SpaceTimeStack):
    """A stack in which frames can also be read beside a clip that is their past."""

    def past(self, x: jax.Array) -> KeysValues:
        """Frames 0 .. T-1, x (B, T, P, M) -> their keys and values (layers, B, P, T, H, E)."""
        return self._read(x, keep=True)[1]

    def after(self, x: jax.Array, past: KeysValues) -> jax.Array:
        """Frames 1 .. T, each after the true ones before it and apart from the others of x.

        Args:
          x: (B, T, P, M).
          past: of frames 0 .. T-1.

        Returns:
          Like x.
        """
        T = x.shape[1]
        frame = jnp.arange(T)
        back = frame[:, None] + 1 - frame
        mask = jnp.concatenate([(back > 0) & (back < self.window), jnp.eye(T, dtype=bool)], axis=1)
        y, _ = self.blocks(x, past, mask, frame + 1, keep=False)
        return self.norm(y)


class Dynamics(nn.Module):
    """Built by `build_dynamics`; see the head of this file.

    Attributes:
      tokens, codes: N and V.
      drafts: whether frames come with the tokens of a draft.
      kind, context, action, enters: one of KINDS, CONTEXTS, ACTIONS, ENTERS. An action is added to
        every token of the frame that it leads to, or stands before them as a token of its own; so
        does a learned vector for the first frame of a clip, which none leads to.
      width, layers, window, block: of the stack; a frame sees itself and window - 1 before it.
    """

    tokens: int
    codes: int
    drafts: bool
    kind: str
    context: str
    action: str
    enters: str
    width: int
    layers: int
    window: int
    block: BlockSettings

    def setup(self) -> None:
        small = nn.initializers.normal(0.02)
        # The last row stands for a hidden token, and before the first one in raster order.
        self.table = self.param("table", small, (self.codes + 1, self.width))
        self.place = self.param("place", small, (self.tokens, self.width))
        if self.action != "none":
            self.first = self.param("first", small, (self.width,))
            # As small as the tokens: where it is added, a larger one drowns them.
            self.project = Dense(self.width, dtype=self.block.dtype, kernel_init=small)
        if self.drafts:  # Its last row stands for the first frame of a clip, which has no draft.
            self.drafted = self.param("drafted", small, (self.codes + 1, self.width))
        self.stack = LookingBack(self.width, self.layers, self.window, self.block)
        self.head = Dense(self.codes, kernel_init=small)  # Logits of half precision would be ties.

    def __call__(
        self,
        ids: jax.Array,
        hidden: jax.Array,
        actions: jax.Array | None = None,
        drafts: jax.Array | None = None,
    ) -> jax.Array:
        """Logits float32 (B, T-1, N, V) of every frame but the first, given the frames before it and
        its own tokens that are not hidden; in raster order, those before each.

        Args:
          ids: int32 (B, T, N).
          hidden: bool (B, T, N), not read in raster order.
          actions: float (B, T-1, K, D), null-filled; None without.
          drafts: int32 (B, T-1, N), of the same frames; None without.
        """
        lead, drafts = self._lead(actions, ids.shape[0]), self._drafts(drafts, ids.shape[0])
        if self.context == "masked":
            x = self._positions(jnp.where(hidden, self.codes, ids), lead, drafts)
            return self._logits(self.stack(x)[:, 1:])
        before = self._positions(*_each(lambda of: of[:, :-1], ids, lead, drafts))
        past = self.stack.past(before)
        unfinished = self._unfinished(ids[:, 1:], hidden[:, 1:])
        x = self._positions(unfinished, *_each(lambda of: of[:, 1:], lead, drafts))
        return self._logits(self._predicting("after", x, past))

    def start(
        self,
        ids: jax.Array,
        actions: jax.Array | None = None,
        drafts: jax.Array | None = None,
    ) -> FrameCache:
        """What is kept of the first frames: ids (B, T, N), actions (B, T-1, K, D) between them and
        drafts (B, T-1, N)."""
        rows = ids.shape[0]
        x = self._positions(ids, self._lead(actions, rows), self._drafts(drafts, rows))
        return self.stack.read(x)[1]

    def frame(
        self,
        ids: jax.Array,
        hidden: jax.Array,
        action: jax.Array | None,
        cache: FrameCache,
        draft: jax.Array | None = None,
    ) -> jax.Array:
        """Logits float32 (B, N, V) of the next frame, whose tokens are partly known.

        Args:
          ids, hidden: (B, N), as in `__call__`.
          action: that leads to it, float (B, K, D).
          cache: of the frames before, one at least; read only.
          draft: of the frame, (B, N).
        """
        ids = self._unfinished(ids, hidden)
        x = self._positions(*_each(lambda of: of[:, None], ids, self._led(action), draft))
        return self._logits(self._predicting("step", x, cache)[0])[:, 0]

    def write(
        self,
        ids: jax.Array,
        action: jax.Array | None,
        cache: FrameCache,
        draft: jax.Array | None = None,
    ) -> FrameCache:
        """The cache after the frame of these ids (B, N), to which the action led."""
        x = self._positions(*_each(lambda of: of[:, None], ids, self._led(action), draft))
        return cache.write(self.stack.step(x, cache)[1])

    def leads(self, actions: jax.Array) -> jax.Array:
        """What leads to each frame of a clip, as `seen` reads it: actions (B, T-1, K, D) between its
        frames -> (B, T, M)."""
        return self._lead(actions, actions.shape[0])

    def seen(
        self,
        ids: jax.Array,
        lead: jax.Array,
        cache: FrameCache,
        draft: jax.Array | None = None,
    ) -> tuple[jax.Array, KeysValues]:
        """`frame` and what `write` writes in one pass, of MaskGIT: (logits, keys and values).

        Args:
          ids: (B, N), V for a token that is hidden.
          lead: to it, (B, 1, M), of `leads`.
          draft: of it, (B, N).
        """
        ids, draft = _each(lambda of: of[:, None], ids, draft)
        y, read = self.stack.step(self._positions(ids, lead, draft), cache)
        return self._logits(y)[:, 0], read

    def _lead(self, actions: jax.Array | None, rows: int) -> jax.Array | None:
        """What leads to each frame of a clip, (B, T, M)."""
        if self.action == "none":
            return None
        first = jnp.broadcast_to(self.first, (rows, 1, self.width)).astype(self.block.dtype)
        return jnp.concatenate([first, self._embedded(actions)], axis=1)

    def _led(self, action: jax.Array | None) -> jax.Array | None:
        """What leads to one frame that is not the first, (B, M)."""
        return None if self.action == "none" else self._embedded(action)

    def _embedded(self, actions: jax.Array) -> jax.Array:
        """Actions (..., K, D), of which there may be none -> (..., M)."""
        *leading, K, D = actions.shape
        return self.project(actions.reshape(*leading, K * D))

    def _drafts(self, drafts: jax.Array | None, rows: int) -> jax.Array | None:
        """Drafts of every frame of a clip, (B, T, N): V for the first, which has none."""
        if not self.drafts:
            return None
        first = jnp.full((rows, 1, self.tokens), self.codes, drafts.dtype)
        return jnp.concatenate([first, drafts], axis=1)

    def _unfinished(self, ids: jax.Array, hidden: jax.Array) -> jax.Array:
        """Tokens (..., N) of a frame as it is read while it is predicted."""
        if self.kind == "maskgit":
            return jnp.where(hidden, self.codes, ids)
        return jnp.concatenate([jnp.full_like(ids[..., :1], self.codes), ids[..., :-1]], axis=-1)

    def _positions(
        self, ids: jax.Array, lead: jax.Array | None, drafts: jax.Array | None
    ) -> jax.Array:
        """ids and drafts (B, T, N), lead (B, T, M) -> (B, T, P, M)."""
        x = self.table[ids] + self.place
        if self.drafts:
            x = x + self.drafted[drafts]
        x = x.astype(self.block.dtype)
        if lead is None:
            return x
        lead = lead[:, :, None]
        return x + lead if self.enters == "add" else jnp.concatenate([lead, x], axis=2)

    def _predicting(self, method: str, *arguments: Any) -> Any:
        """A method of the stack for frames that are predicted.

        In raster order a token sees those before it alone; the past, which is whole, is read by the
        same parameters without that.
        """
        if self.kind == "maskgit":
            return getattr(self.stack, method)(*arguments)
        stack = self.stack.clone(parent=None, name=None, space_causal=True)
        return stack.apply(self.stack.variables, *arguments, method=method)

    def _logits(self, y: jax.Array) -> jax.Array:
        return self.head(y[:, :, -self.tokens :])


def _each(change: Callable[[jax.Array], jax.Array], *arrays: jax.Array | None) -> Any:
    """The arrays, changed, those that are None left so."""
    return tuple(None if array is None else change(array) for array in arrays)


def draw_frame(
    model: Dynamics,
    variables: Any,
    action: jax.Array | None,
    cache: FrameCache,
    keys: jax.Array,
    draft: jax.Array | None = None,
    *,
    steps: int,
    temperature: jax.Array | float,
) -> jax.Array:
    """Draws the next frame of each row, ids int32 (B, N); the arguments are those of
    `maskgit.sample_frame` and `Dynamics.frame`. In raster order there are N steps, whatever `steps`
    says, each a pass over the whole frame."""

    def logits_of(ids: jax.Array, hidden: jax.Array) -> jax.Array:
        return model.apply(variables, ids, hidden, action, cache, draft, method="frame")

    if model.kind == "causal":
        return sample_raster(logits_of, keys, model.tokens, temperature)
    return sample_frame(logits_of, keys, model.tokens, steps, temperature)

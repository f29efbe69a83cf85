"""A frozen latent action model inside the loss of another: it encodes frames, and it decodes.

See frozen_model.py for where its parameters lie.

Dimension keys: B rows, N frames of a row, each a frame apart, T steps, H W C image, K slots, D slot
width, k slots that are kept, n steps that are decoded.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import flax.struct
import jax
import jax.numpy as jnp

from flexlam_jax.frames import to_float
from flexlam_jax.models.flops import program_flops
from flexlam_jax.models.lam import LatentActionModel
from flexlam_jax.objectives.frozen_model import FrozenModel

MODEL = "lam"


@flax.struct.dataclass
class NextFrames:
    """Predicted frames and the true ones, float32 (B, n, H, W, C), and where there are such, bool
    (B, n)."""

    prediction: jax.Array
    target: jax.Array
    held: jax.Array


@dataclasses.dataclass(frozen=True)
class FrozenLam(FrozenModel):
    """The model, from build_lam, without its parameters.

    Attributes: those of FrozenModel, and

      gap: frames of a transition.
    """

    name: ClassVar[str] = MODEL

    model: LatentActionModel
    gap: int

    def encode(self, variables: Mapping[str, Any], frames: jax.Array, steps: int) -> jax.Array:
        """Latent actions of the first steps: frames t and t + gap, for t = 0, 1, ...

        Frames `gap` apart are one clip, so that every frame is read once, as far as the encoder reads
        frames one by one.

        Args:
          frames: uint8 (B, N, H, W, C), N = steps + gap.

        Returns:
          slots float32 (B, T, K, D), T = steps.
        """
        B, N = frames.shape[:2]
        length = -(-N // self.gap)
        beyond = length * self.gap - N
        frames = jnp.pad(frames, ((0, 0), (0, beyond), *[(0, 0)] * 3))
        clips = frames.reshape(B, length, self.gap, *self.frame_shape)
        clips = jnp.swapaxes(clips, 1, 2).reshape(B * self.gap, length, *self.frame_shape)
        slots, _ = self.model.apply(variables, clips, method="encode")
        slots = slots.reshape(B, self.gap, length - 1, *slots.shape[2:])
        slots = jnp.swapaxes(slots, 1, 2).reshape(B, -1, *slots.shape[3:])
        return jax.lax.stop_gradient(slots[:, :steps])

    def decode(self, variables: Mapping[str, Any], o_t: jax.Array, latents: jax.Array) -> jax.Array:
        """The frames that latent actions make of o_t, float32 (..., H, W, C).

        Args:
          latents: (..., k D), the kept slots, which are null-filled here.
        """
        kept = latents.reshape(*latents.shape[:-1], -1, self.model.quantizer.width)
        k, K = kept.shape[-2], self.model.slots
        slots = jnp.pad(kept, (*[(0, 0)] * (kept.ndim - 2), (0, K - k), (0, 0)))
        slots = self.null_fill(variables, slots, jnp.int32(k))
        return self.model.apply(variables, o_t, slots, method="decode")

    def null_fill(
        self, variables: Mapping[str, Any], slots: jax.Array, keep: jax.Array
    ) -> jax.Array:
        """Slots (B, T, K, D) with those from `keep`, int (), (B,) or (B, T), on set to the null
        latent."""
        return self.model.apply(variables, slots, keep, method="null_fill")

    def flops(self, steps: int, decoded: int, numbers: int) -> float:
        """FLOPs of one row: of encoding that many steps, which has no gradient, and of decoding so many
        latent actions of k D numbers, whose gradient is theirs and not the parameters'."""
        plain, variables = self.on_paper()

        def frames(count: int) -> jax.ShapeDtypeStruct:
            return jax.ShapeDtypeStruct((count, *self.frame_shape), jnp.uint8)

        total = 0.0
        if steps:
            row = jax.ShapeDtypeStruct((1, *frames(steps + self.gap).shape), jnp.uint8)
            total += program_flops(lambda v, x: plain.encode(v, x, steps), variables, row)
        if decoded:
            latents = jax.ShapeDtypeStruct((decoded, numbers), jnp.float32)
            total += 2 * program_flops(plain.decode, variables, frames(decoded), latents)
        return total

    def next_frames(
        self,
        variables: Mapping[str, Any],
        expected: jax.Array,
        valid: jax.Array,
        frames: jax.Array,
        count: int,
        key: jax.Array,
    ) -> NextFrames:
        """Decodes what is expected next at some steps of each row, drawn without repetition.

        Args:
          expected: (B, T, k D), at t the latent action that is expected at t + 1.
          valid: bool (B, T), which latent actions there are.
          frames: uint8 (B, N, H, W, C), N = T + gap.
          count: n; rows with fewer pairs of steps decode those.
          key: of the draw.
        """
        pairs = valid[:, 1:] & valid[:, :-1]
        step, held = drawn_steps(key, pairs, min(count, pairs.shape[1]))
        latents = jnp.take_along_axis(expected, step[..., None], axis=1)

        def at(time: jax.Array) -> jax.Array:
            return jax.vmap(lambda row, place: row[place])(frames, time)

        prediction = self.decode(variables, at(step + 1), latents)
        return NextFrames(prediction, to_float(at(step + 1 + self.gap)), held)


def drawn_steps(key: jax.Array, valid: jax.Array, count: int) -> tuple[jax.Array, jax.Array]:
    """`count` different valid steps of each row, all equally likely: int32 (B, n), bool (B, n) which
    of them are; rows with fewer valid ones have the rest false."""
    drawn = jnp.where(valid, jax.random.uniform(key, valid.shape), -1.0)
    value, step = jax.lax.top_k(drawn, count)
    return step, value >= 0

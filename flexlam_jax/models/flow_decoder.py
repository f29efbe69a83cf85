"""The decoder of real video: draws o_{t+1} by a rectified flow, told by o_t and the null-filled slots.

The flow (rectified_flow.py) runs in latents of flow_latents.py; its velocity is the MMDiT of mmdit.py,
so that a published image model is what it can start from. Slots are tokens of the context stream, and
o_t enters
  'channels'  beside the noise, patch by patch, as an instruction model of images has it
              (arXiv 2211.09800),
  'tokens'    as further tokens of the context stream.

Without `noise` it is a regression: time is always 1, the noise is zero, and one step gives the mean
of what may come, by the same parameters.

Dimension keys: B rows, H W C picture, h w Z latents, K slots, D slot width, N patches, J context
width.
"""

import dataclasses
import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from flexlam_jax.config.ranges import COUNT, COUNT_OR_NONE, SEED, SWITCH, one_of, real
from flexlam_jax.config.settings import choice, setting
from flexlam_jax.errors import ConfigError
from flexlam_jax.models import rectified_flow as flow
from flexlam_jax.models.dense import Dense
from flexlam_jax.models.flow_latents import LATENTS
from flexlam_jax.models.mmdit import MMDiT
from flexlam_jax.models.patches import Positions, grid_of, patchify
from flexlam_jax.models.transformer import BlockSettings

SHOWN = ("channels", "tokens")
TIMES = 1000  # What the MMDiT calls time 1.
# Metrics of training: what is predicted, and what to do where that is not finite.
PREDICTED = "predicted_rms"
NOT_FINITE = (
    "the autoencoder's latents are not finite: give it more room by "
    "config.model.decoder.latents.dtype='float32'"
)
STREAM = "flow"  # The random stream of times and noise in training.
_small = nn.initializers.truncated_normal(0.02)


@dataclasses.dataclass(frozen=True)
class SamplingSettings:
    """What sampling alone reads: it may change behind training."""

    steps: int = setting(8, range=COUNT, help="of the sampler")
    sampler: str = setting("euler", range=one_of(tuple(flow.SAMPLERS)), help="one step of it")
    guidance: float = setting(
        1.0, range=real(0), help="how much further than the slots say; 1 for none"
    )
    seed: int = setting(0, range=SEED, help="of the noise that samples begin with")


class FlowDecoder(nn.Module):
    """See the head of this file. A decoder that is trained by `learn` and asked by calling it.

    Fields:
      image_size, image_channels: of the pictures.
      slots: K.
      block: of the MMDiT's blocks.
      sampling: how it is asked.
      residual: the flow predicts how the latents of o_{t+1} differ from those of o_t.
      others: see their help.
    """

    image_size: Any
    slots: int
    block: BlockSettings
    sampling: SamplingSettings
    image_channels: int = 3
    residual: bool = True
    latents: Any = choice(LATENTS, default="pixels", help="what the flow predicts of a picture")
    width: int = setting(256, range=COUNT, help="width of the tokens")
    layers: int = setting(4, range=COUNT, help="how many blocks")
    dual_layers: int = setting(
        0, range=COUNT_OR_NONE, help="how many, from the first on, have a second image attention"
    )
    patch: int = setting(8, range=COUNT, help="latents along a side of a patch")
    position_table: int = setting(192, range=COUNT, help="patches along a side of the table")
    position_base: int = setting(64, range=COUNT, help="how far apart its ends are")
    shown: str = setting("channels", range=one_of(SHOWN), help="how o_t enters")
    spread: float = setting(
        1.0, range=real(0, above=True), help="standard deviation of what is predicted, in latents"
    )
    noise: bool = setting(True, range=SWITCH, help="False: a regression, in one step")
    time_mean: float = setting(0.0, range=real(-10, 10), help="of the logit of training's times")
    time_std: float = setting(1.0, range=real(0, above=True), help="of the same")
    shift: float = setting(
        1.0, range=real(0, above=True), help="of times towards noise, for large pictures"
    )

    def setup(self) -> None:
        self.check()
        self.velocity = MMDiT(
            self.block,
            width=self.width,
            layers=self.layers,
            dual_layers=self.dual_layers,
            patch=self.patch,
            channels=self.latent_channels,
            out_channels=self.latent_channels,
            context_width=self.width,
            pooled_width=self.width,
            position_table=self.position_table,
            position_base=self.position_base,
        )
        self.slot_order = self.param("slot_order", _small, (self.slots, self.width), jnp.float32)
        self.slot_embed = Dense(self.width, dtype=self.block.dtype)
        if self.shown == "tokens":
            self.frame_embed = Dense(self.width, dtype=self.block.dtype)
            self.frame_positions = Positions(self.grid)

    @property
    def latent_channels(self) -> int:
        """Z."""
        return self.latents.width(self.image_channels)

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches. Raises ConfigError for sides that do not divide."""
        rows, columns = grid_of(self.image_size, self.latents.factor * self.patch)
        return rows, columns

    @nn.nowrap
    def check(self) -> None:
        """Raises ConfigError for sizes that do not go together, or guidance of a regression."""
        if self.width % self.block.heads or self.width % 4:
            raise ConfigError(
                f"model.decoder.width={self.width} must be a multiple of 4 and of "
                f"model.decoder.heads={self.block.heads}"
            )
        given = getattr(self.latents, "image_channels", self.image_channels)
        if given != self.image_channels:
            raise ConfigError(
                f"model.channels={self.image_channels}, but the autoencoder has pictures of "
                f"model.decoder.latents.image_channels={given}"
            )
        if max(self.grid) > self.position_table:
            raise ConfigError(
                f"model.decoder.position_table={self.position_table} holds no grid of "
                f"{self.grid[0]}x{self.grid[1]} patches"
            )
        steps, guidance = self.sampling.steps, self.sampling.guidance
        if not self.noise and (steps, guidance) != (1, 1):
            raise ConfigError(
                f"model.decoder.steps={steps}, guidance={guidance} with "
                "model.decoder.noise=False: a regression has one step and no guidance; set both to 1"
            )

    def learn(
        self, o_t: jax.Array, slots: jax.Array, o_next: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """The squared error of the velocity at a random time, its mean over a sample.

        Args:
          o_t, o_next: (B, H, W, C) in [0, 1].
          slots: null-filled, (B, K, D), or (B P, K, D): P codes in a row for each pair of frames, whose
            latents are computed once.

        Returns:
          (B,) or (B P,) float32, and the root mean square of what is predicted, (): about 1 where
          `spread` fits the data. Reads the random stream STREAM.
        """
        shown = self.latents.to_latents(o_t)
        data = self.latents.to_latents(o_next)
        data = ((data - shown) if self.residual else data) / self.spread
        if self.is_initializing():
            self.latents.to_pictures(data)
        rows = len(slots)
        shown, data = (jnp.repeat(x, rows // len(x), axis=0) for x in (shown, data))
        if self.noise:
            times_key, noise_key = jax.random.split(self.make_rng(STREAM))
            times = flow.sample_times(
                times_key, rows, mean=self.time_mean, std=self.time_std, shift=self.shift
            )
            noise = jax.random.normal(noise_key, data.shape)
        else:
            times, noise = jnp.ones(rows), jnp.zeros_like(data)
        told = self._told(shown, slots)
        found = self._velocity(flow.interpolate(data, noise, times), times, told)
        error = jnp.mean(jnp.square(found - flow.target(data, noise)), axis=(1, 2, 3))
        return error, jnp.sqrt(jnp.mean(jnp.square(data)))

    def __call__(self, o_t: jax.Array, slots: jax.Array, null: jax.Array) -> jax.Array:
        """A sample of o_{t+1}: the same for the same arguments, whatever else is in the batch.

        Args:
          o_t: (B, H, W, C) in [0, 1].
          slots: null-filled, (B, K, D).
          null: (D,), what guidance takes for a code that says nothing.

        Returns:
          (B, H, W, C) float32, not clipped.
        """
        shown = self.latents.to_latents(o_t)
        # The noise of one picture, for all rows: a sample does not depend on its place in a batch.
        noise = jnp.zeros(shown.shape[1:])
        if self.noise:
            noise = jax.random.normal(jax.random.key(self.sampling.seed), shown.shape[1:])
        told = self._told(shown, slots)
        network, variables = self.velocity.unbind()  # A scan of JAX takes no bound module.

        def velocity(x, times, told):
            return network.apply(variables, x, TIMES * times, *told)

        follow: flow.Velocity = functools.partial(velocity, told=told)
        if self.sampling.guidance != 1:
            untold = self._told(shown, jnp.broadcast_to(null, slots.shape))
            follow = flow.guided(velocity, told, untold, self.sampling.guidance)
        times = flow.time_steps(self.sampling.steps, self.shift)
        start = jnp.broadcast_to(noise, shown.shape)
        data = self.spread * flow.sample(follow, start, times, flow.SAMPLERS[self.sampling.sampler])
        return self.latents.to_pictures(shown + data if self.residual else data)

    def _velocity(self, x, times, told):
        return self.velocity(x, TIMES * times, *told)

    def _told(self, shown, slots) -> tuple[jax.Array, jax.Array, jax.Array | None]:
        """(context (B, S, J), pooled (B, J), latents beside the noise or None) of the MMDiT."""
        tokens = self.slot_embed(slots)
        # The position tells null slots apart.
        tokens = tokens + self.slot_order.astype(tokens.dtype)
        pooled = jnp.mean(tokens, axis=1)
        if self.shown == "channels":
            return tokens, pooled, shown
        frame = self.frame_positions(self.frame_embed(patchify(shown, self.patch)))
        return jnp.concatenate([tokens, frame], axis=1), pooled, None

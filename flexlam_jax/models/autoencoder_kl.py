"""AutoencoderKL, the image autoencoder of latent diffusion (arXiv 2112.10752), as Stable Diffusion 3
has it: 16 channels, 8 pixels to a latent, no convolutions around the bottleneck.

Dimension keys: B rows, H W image, h w latents, C channels of a layer, Z latent channels.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from flexlam_jax.config.ranges import COUNT, real, several
from flexlam_jax.config.settings import setting
from flexlam_jax.errors import ConfigError
from flexlam_jax.models.attention import attend
from flexlam_jax.models.dense import Dense

EPSILON = 1e-6
# What the encoder may say of its own uncertainty.
_LOG_VARIANCES = (-30.0, 20.0)


def _conv(channels: int, dtype: Any, name: str, size: int = 3, **options: Any) -> nn.Conv:
    options = {"padding": size // 2, **options}
    return nn.Conv(channels, (size, size), dtype=dtype, name=name, **options)


class Norm(nn.Module):
    """GroupNorm over the whole picture, in float32."""

    groups: int
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        norm = nn.GroupNorm(
            self.groups, epsilon=EPSILON, dtype=jnp.float32, use_fast_variance=False, name="group"
        )
        return norm(x).astype(self.dtype)


class ResidualBlock(nn.Module):
    """Two convolutions and a short cut, (B, H, W, C) -> (B, H, W, channels)."""

    channels: int
    groups: int
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        z = nn.silu(Norm(self.groups, self.dtype, name="norm_1")(x))
        z = _conv(self.channels, self.dtype, "conv_1")(z)
        z = nn.silu(Norm(self.groups, self.dtype, name="norm_2")(z))
        z = _conv(self.channels, self.dtype, "conv_2")(z)
        if x.shape[-1] != self.channels:
            x = _conv(self.channels, self.dtype, "short_cut", 1)(x)
        return x + z


class PixelAttention(nn.Module):
    """Every place attends to every place with one head: (B, H, W, C) -> the same."""

    groups: int
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        B, H, W, C = x.shape
        z = Norm(self.groups, self.dtype, name="norm")(x).reshape(B, H * W, C)
        q, k, v = jnp.unstack(Dense((1, 3, C), dtype=self.dtype, name="qkv")(z), axis=-2)
        # A head as wide as the layer (512) is more than fused kernels take.
        z = attend(q, k, v, implementation="xla").reshape(B, H * W, C)
        return x + Dense(C, dtype=self.dtype, name="out")(z).reshape(x.shape)


class _Half(nn.Module):
    """What both halves are told; see AutoencoderKL."""

    channels: tuple[int, ...]
    blocks: int
    groups: int
    out: int
    dtype: Any

    def middle(self, x: jax.Array) -> jax.Array:
        C, block = self.channels[-1], (self.groups, self.dtype)
        x = ResidualBlock(C, *block, name="mid_0")(x)
        x = PixelAttention(*block, name="mid_pixels")(x)
        return ResidualBlock(C, *block, name="mid_1")(x)

    def end(self, x: jax.Array) -> jax.Array:
        x = nn.silu(Norm(self.groups, self.dtype, name="out_norm")(x))
        return _conv(self.out, self.dtype, "out_conv")(x).astype(jnp.float32)


class Encoder(_Half):
    """(B, H, W, image channels) -> (B, h, w, out). Stages are numbered from the image on."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = _conv(self.channels[0], self.dtype, "in_conv")(x)
        for stage, C in enumerate(self.channels):
            for number in range(self.blocks):
                name = f"down_{stage}_{number}"
                x = ResidualBlock(C, self.groups, self.dtype, name=name)(x)
            if stage + 1 < len(self.channels):
                # Padded behind only, as the published ones were trained.
                down = _conv(C, self.dtype, f"down_{stage}", strides=2, padding=((0, 1), (0, 1)))
                x = down(x)
        return self.end(self.middle(x))


class Decoder(_Half):
    """(B, h, w, Z) -> (B, H, W, out). Stages are numbered from the latents on."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = self.middle(_conv(self.channels[-1], self.dtype, "in_conv")(x))
        for stage, C in enumerate(reversed(self.channels)):
            for number in range(self.blocks + 1):
                name = f"up_{stage}_{number}"
                x = ResidualBlock(C, self.groups, self.dtype, name=name)(x)
            if stage + 1 < len(self.channels):
                x = jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)
                x = _conv(C, self.dtype, f"up_{stage}")(x)
        return self.end(x)


class AutoencoderKL(nn.Module):
    """Pictures in [-1, 1] to latents and back.

    `dtype` float32 is what the published ones ask for (force_upcast in their config): in half
    precision the last stages of a decoder may overflow.
    """

    channels: tuple[int, ...] = setting(
        (128, 256, 512, 512), range=several(COUNT), help="of the stages, from the image on"
    )
    blocks: int = setting(2, range=COUNT, help="residual blocks of an encoder's stage")
    groups: int = setting(32, range=COUNT, help="of channels that are normalised together")
    image_channels: int = setting(3, range=COUNT, help="of the pictures")
    latent_channels: int = setting(16, range=COUNT, help="Z")
    scaling_factor: float = setting(1.5305, range=real(above=True), help="of shifted latents")
    shift_factor: float = setting(0.0609, range=real(-1e6, 1e6), help="subtracted from latents")
    dtype: Any = jnp.float32

    def setup(self) -> None:
        self.check()
        half = (self.channels, self.blocks, self.groups)
        self.encoder = Encoder(*half, 2 * self.latent_channels, self.dtype)
        self.decoder = Decoder(*half, self.image_channels, self.dtype)

    @property
    def factor(self) -> int:
        """Pixels along a side of a latent."""
        return 2 ** (len(self.channels) - 1)

    @nn.nowrap
    def check(self) -> None:
        """Raises ConfigError for channels that the groups do not divide."""
        if any(C % self.groups for C in self.channels):
            raise ConfigError(f"groups={self.groups} do not divide channels={self.channels}")

    def __call__(self, images: jax.Array) -> jax.Array:
        """(B, H, W, image channels) -> what is decoded of the mean; for initialisation and tests."""
        return self.decode(self.encode(images)[0])

    def encode(self, images: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Mean and log variance of the latents.

        Args:
          images: (B, H, W, image channels) in [-1, 1].

        Returns:
          Two arrays (B, h, w, Z) float32, as the encoder gives them: see `normalize`.

        Raises:
          ConfigError: sides that are no multiples of `factor`.
        """
        H, W = images.shape[1:3]
        if H % self.factor or W % self.factor:
            raise ConfigError(f"pictures of {H}x{W} have no latents of {self.factor} pixels' side")
        mean, log_variance = jnp.split(self.encoder(images.astype(self.dtype)), 2, axis=-1)
        return mean, jnp.clip(log_variance, *_LOG_VARIANCES)

    def decode(self, latents: jax.Array) -> jax.Array:
        """Latents (B, h, w, Z) as the encoder gives them -> (B, H, W, image channels) float32,
        about [-1, 1]."""
        return self.decoder(latents.astype(self.dtype))

    def normalize(self, latents: jax.Array) -> jax.Array:
        """Latents of the encoder -> about unit variance, which the flow is trained on."""
        return (latents - self.shift_factor) * self.scaling_factor

    def denormalize(self, latents: jax.Array) -> jax.Array:
        """The inverse of `normalize`."""
        return latents / self.scaling_factor + self.shift_factor

"""What a rectified flow predicts of a picture: its pixels, or latents of a pretrained autoencoder.

Dimension keys: B rows, H W C picture, h w latents, Z channels of a latent.
"""

from typing import Any, ClassVar

import flax.linen as nn
import jax

from flexlam_jax.config.ranges import one_of
from flexlam_jax.config.settings import setting
from flexlam_jax.models.autoencoder_kl import AutoencoderKL


class Pixels(nn.Module):
    """Pictures in [0, 1] as numbers in [-1, 1], without parameters."""

    factor: ClassVar[int] = 1

    def to_latents(self, pictures: jax.Array) -> jax.Array:
        """(B, H, W, C) in [0, 1] -> the same in [-1, 1]."""
        return 2 * pictures - 1

    def to_pictures(self, latents: jax.Array) -> jax.Array:
        """The inverse of `to_latents`."""
        return (latents + 1) / 2

    @nn.nowrap
    def width(self, channels: int) -> int:
        """Channels of a latent of pictures with as many."""
        return channels


class KlLatents(AutoencoderKL):
    """The autoencoder of Stable Diffusion 3; its parameters are to be taken from a checkpoint and
    frozen (docs/real_video/training.md): no gradient reaches them here."""

    dtype: Any = setting(
        "float32",
        range=one_of(("float32", "bfloat16", "float16")),
        help="of its convolutions; float16 may overflow",
    )

    def to_latents(self, pictures: jax.Array) -> jax.Array:
        """(B, H, W, C) in [0, 1] -> the normalised mean, (B, h, w, Z) float32."""
        mean, _ = self.encode(2 * pictures - 1)
        return jax.lax.stop_gradient(self.normalize(mean))

    def to_pictures(self, latents: jax.Array) -> jax.Array:
        """(B, h, w, Z) -> (B, H, W, C) float32, about [0, 1]."""
        return (self.decode(self.denormalize(latents)) + 1) / 2

    @nn.nowrap
    def width(self, channels: int) -> int:
        """Z, whatever the pictures have."""
        return self.latent_channels


LATENTS = {"pixels": Pixels, "kl": KlLatents}

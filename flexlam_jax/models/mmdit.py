"""MMDiT, the transformer of Stable Diffusion 3 and 3.5 (arXiv 2403.03206): predicts the velocity of a
rectified flow over latents of autoencoder_kl.py, told by context tokens and a pooled vector.

The sizes of the published models are in VARIANTS; their parameters are read by
`flexlam_jax.loading.pretrained.load_mmdit`.

Dimension keys: B rows, H W C latents, N patches, P patch side, S context tokens, J context width,
U pooled width, M width.
"""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from flexlam_jax.config.ranges import COUNT, COUNT_OR_NONE
from flexlam_jax.config.settings import setting
from flexlam_jax.errors import ConfigError
from flexlam_jax.models.dense import Dense
from flexlam_jax.models.joint_block import JointBlock, Modulation, layer_norm, modulate
from flexlam_jax.models.patches import grid_of, patchify, unpatchify
from flexlam_jax.models.transformer import BlockSettings, scanned

_PERIOD = 10_000.0
_TIME_FEATURES = 256


def cropped_positions(grid: tuple[int, int], table: int, base: int, width: int) -> np.ndarray:
    """The middle of a square sine-cosine table, (N, M) float32; first half columns, second half rows.

    Args:
      grid: rows and columns of patches.
      table: patches along a side of the whole table.
      base: how far apart its ends are, in steps of angle 1 at the highest frequency: the side of the
        pictures of the first training, so that larger ones lie between the same positions.
      width: M.

    Raises:
      ConfigError: a grid that is larger than the table, or a width that 4 does not divide.
    """
    if max(grid) > table:
        raise ConfigError(
            f"a grid of {grid[0]}x{grid[1]} patches is larger than the table of {table}x{table} "
            "positions that the model has; give smaller pictures"
        )
    if width % 4:
        raise ConfigError(f"sine-cosine positions need a width divisible by 4, not {width}")
    frequencies = _PERIOD ** (-np.arange(width // 4) / (width // 4))
    places = [((table - n) // 2 + np.arange(n)) * base / table for n in grid]
    rows, columns = np.meshgrid(*places, indexing="ij")
    angles = [axis.reshape(-1, 1) * frequencies for axis in (columns, rows)]
    waves = [wave(angle) for angle in angles for wave in (np.sin, np.cos)]
    return np.concatenate(waves, axis=-1).astype(np.float32)


def time_features(timesteps: jax.Array, width: int = _TIME_FEATURES) -> jax.Array:
    """Timesteps (B,) in 0..1000 -> cosines, then sines, (B, width) float32."""
    half = width // 2
    frequencies = jnp.exp(-math.log(_PERIOD) * jnp.arange(half, dtype=jnp.float32) / half)
    angles = timesteps.astype(jnp.float32)[:, None] * frequencies
    return jnp.concatenate([jnp.cos(angles), jnp.sin(angles)], axis=-1)


class Embedding(nn.Module):
    """Dense-SiLU-Dense: a vector (B, .) -> (B, `width`)."""

    width: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = Dense(self.width, dtype=self.dtype, name="first")(x)
        return Dense(self.width, dtype=self.dtype, name="second")(nn.silu(x))


class MMDiT(nn.Module):
    """See the head of this file.

    Fields:
      block: of all blocks; `mlp_hidden` is 4 M in the published models.
      others: see their help.
    """

    block: BlockSettings
    width: int = setting(1536, range=COUNT, help="of the blocks")
    layers: int = setting(24, range=COUNT, help="how many blocks, the last one included")
    dual_layers: int = setting(
        0, range=COUNT_OR_NONE, help="how many, from the first on, have a second image attention"
    )
    patch: int = setting(2, range=COUNT, help="latents along a side of a patch")
    channels: int = setting(16, range=COUNT, help="of the latents that are read")
    out_channels: int = setting(16, range=COUNT, help="of the velocity that is predicted")
    context_width: int = setting(4096, range=COUNT, help="of the context tokens")
    pooled_width: int = setting(2048, range=COUNT, help="of the pooled vector")
    position_table: int = setting(192, range=COUNT, help="patches along a side of the table")
    position_base: int = setting(64, range=COUNT, help="see cropped_positions")

    @nn.compact
    def __call__(
        self,
        latents: jax.Array,
        timesteps: jax.Array,
        context: jax.Array,
        pooled: jax.Array,
        shown: jax.Array | None = None,
    ) -> jax.Array:
        """The velocity.

        Args:
          latents: (B, H, W, channels), noised.
          timesteps: (B,) in 0..1000; 1000 is noise alone.
          context: (B, S, J).
          pooled: (B, U).
          shown: (B, H, W, any number), latents of a picture that is no noise. Their patches are
            embedded by themselves and added, which is what one matrix on concatenated channels
            does; zero at first, so that a pretrained model begins as it was.

        Returns:
          (B, H, W, out_channels) float32.

        Raises:
          ConfigError: heads that do not divide the width, more dual layers than can be, or latents
            that patches do not divide or the table of positions does not hold.
        """
        self.check()
        M, dtype = self.width, self.block.dtype
        grid = grid_of(latents.shape[1:3], self.patch)
        image = Dense(M, dtype=dtype, name="patch_embed")(patchify(latents, self.patch))
        zeros = nn.initializers.zeros
        if shown is not None:
            embed = Dense(M, dtype=dtype, kernel_init=zeros, name="shown_embed")
            image = image + embed(patchify(shown, self.patch))
        positions = cropped_positions(grid, self.position_table, self.position_base, M)
        image = image + jnp.asarray(positions, dtype)
        context = Dense(M, dtype=dtype, name="context_embed")(context)
        # Narrow and cheap, so in float32 whatever the compute type: half precision has no room for
        # 1000 timesteps.
        condition = Embedding(M, name="time_embed")(time_features(timesteps))
        condition = condition + Embedding(M, name="pooled_embed")(pooled)
        for name, layers, kind in self.stacks():
            block = JointBlock(M, self.block, **kind, name=name)
            image, context = self._run(block, layers, image, context, condition)
        shift, scale = Modulation(2, self.block, name="final_modulation")(condition)
        image = modulate(layer_norm(image), shift, scale)
        shape = self.patch * self.patch * self.out_channels
        out = Dense(shape, dtype=jnp.float32, kernel_init=zeros, name="unembed")(image)
        return unpatchify(out, grid, self.patch)

    @nn.nowrap
    def stacks(self) -> list[tuple[str, int, dict[str, Any]]]:
        """(name, layers, kind of JointBlock) of the stacks of like blocks, in their order."""
        dual = min(self.dual_layers, self.layers - 1)
        return [
            stack
            for stack in (
                ("dual", dual, {"dual": True}),
                ("joint", self.layers - 1 - dual, {}),
                ("last", 1, {"dual": self.dual_layers == self.layers, "last": True}),
            )
            if stack[1]
        ]

    @nn.nowrap
    def check(self) -> None:
        """Raises ConfigError for sizes that do not go together."""
        if self.width % self.block.heads or self.width % 4:
            raise ConfigError(
                f"width={self.width} must be a multiple of 4 and of heads={self.block.heads}"
            )
        if self.dual_layers > self.layers:
            raise ConfigError(f"dual_layers={self.dual_layers} are more than layers={self.layers}")

    def _run(self, block, layers, image, context, condition):
        def body(block, streams, _):
            return block(*streams, condition), None

        return scanned(body, layers, self.block)(block, (image, context), None)[0]


# Sizes of the published models. Their heads are 64 wide, their MLPs 4 M.
VARIANTS: dict[str, dict[str, Any]] = {
    "sd3_medium": {"width": 1536, "layers": 24},
    "sd35_medium": {"width": 1536, "layers": 24, "dual_layers": 13, "position_table": 384},
    "sd35_large": {"width": 2432, "layers": 38},
}
_QK_NORM = ("sd35_medium", "sd35_large")


def mmdit_variant(name: str, **block: Any) -> MMDiT:
    """A published model, without its parameters.

    Args:
      name: a key of VARIANTS.
      block: fields of BlockSettings that a user chooses: dtype, attention, remat, unroll.

    Raises:
      ConfigError: an unknown name.
    """
    if name not in VARIANTS:
        raise ConfigError(f"MMDiT variant {name!r} is unknown; choose one of {tuple(VARIANTS)}")
    width = VARIANTS[name]["width"]
    settings = BlockSettings(
        heads=width // 64, mlp_hidden=4 * width, qk_norm=name in _QK_NORM, **block
    )
    return MMDiT(settings, **VARIANTS[name])

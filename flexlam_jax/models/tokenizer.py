"""Video tokenizers: frames as a grid of discrete tokens, one to a cell, and frames of tokens.

An encoder and a decoder are the halves of a tokenizer, and a quantiser stands between them. Halves
have the fields or properties `image_size` and `patch`, `grid`, (rows, columns) of tokens, and
`window`, the frames that a frame sees in a block, itself included, 1 where frames are apart, and
`check(section)`, which raises ConfigError. A decoder has beside `__call__`

    read(values (B, T, N, D)) -> (frames, past)           past: what later frames need of these
    step(values (B, 1, N, D), past) -> (frames (B, 1, H, W, C), past)

which give the same frames. Dimension keys: B rows, T frames, H W C image, N tokens of a frame in
row-major order, D numbers of a code, V codes.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import flax.struct
import jax

from flexlam_jax.config.ranges import SWITCH, one_of
from flexlam_jax.config.sections import build_kind
from flexlam_jax.config.settings import choice, read, setting
from flexlam_jax.errors import ConfigError
from flexlam_jax.frames import to_float
from flexlam_jax.models.attention import IMPLEMENTATIONS
from flexlam_jax.models.lam import DTYPES, FrameSettings
from flexlam_jax.models.light_tokenizer import LightTokenDecoder, LightTokenEncoder
from flexlam_jax.models.quantizers import FSQ, VQ, Quantized
from flexlam_jax.models.spacetime_tokenizer import SpaceTimeDecoder, SpaceTimeEncoder
from flexlam_jax.models.transformer import REMAT_NAMES

ENCODERS = {"light": LightTokenEncoder, "spacetime": SpaceTimeEncoder}
DECODERS = {"light": LightTokenDecoder, "spacetime": SpaceTimeDecoder}
TOKEN_QUANTIZERS = {"fsq": FSQ, "vq": VQ}  # Those that make ids.


@dataclasses.dataclass(frozen=True)
class TokenizerSettings(FrameSettings):
    """The `model` section of a config; what `build_tokenizer` reads."""

    encoder: Any = choice(ENCODERS, help="reads the frames")
    quantizer: Any = choice(TOKEN_QUANTIZERS, help="makes tokens of what the encoder says")
    decoder: Any = choice(DECODERS, help="makes frames of tokens")
    dtype: str = setting("float32", range=one_of(tuple(DTYPES)), help="of matrix products")
    remat: str = setting("none", range=one_of(REMAT_NAMES), help="what is computed twice")
    unroll: bool = setting(False, range=SWITCH, help="no loop over blocks in the program")
    attention: str = setting("auto", range=one_of(IMPLEMENTATIONS), help="which kernel")


@flax.struct.dataclass
class TokenizerOutput:
    """prediction (B, T, H, W, C) float32 on the [0, 1] scale, and the tokens that it is made of."""

    prediction: jax.Array
    tokens: Quantized


class Tokenizer(nn.Module):
    """Built by `build_tokenizer`. Variables: "params", and "codebook" for the VQ quantiser.

    rngs: "revive" (VQ, train with a mutable "codebook").
    """

    encoder: nn.Module
    quantizer: nn.Module
    decoder: nn.Module

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the tokens of a frame."""
        return self.encoder.grid

    @property
    def window(self) -> int:
        """The most frames that a frame sees in a block, itself included; 1 for single frames."""
        return max(self.encoder.window, self.decoder.window)

    def __call__(self, frames: jax.Array, train: bool = False) -> TokenizerOutput:
        """Frames (B, T, H, W, C), uint8 or float in [0, 1], made tokens and frames again.

        Args:
          train: moves the VQ codebook.

        Raises ValueError for frames of another type or rank.
        """
        tokens = self.encode(frames, train)
        return TokenizerOutput(self.decode(tokens.values), tokens)

    def encode(self, frames: jax.Array, train: bool = False) -> Quantized:
        """values (B, T, N, D), ids (B, T, N) int32 of frames as `__call__`."""
        frames = to_float(frames)
        if frames.ndim != 5:
            raise ValueError(f"frames have shape {frames.shape}; expected (B, T, H, W, C)")
        return self.quantizer(self.encoder(frames), train)

    def decode(self, values: jax.Array) -> jax.Array:
        """values (B, T, N, D) -> frames (B, T, H, W, C) float32, not clipped to [0, 1]."""
        return self.decoder(values)

    def values_of(self, ids: jax.Array) -> jax.Array:
        """ids (...) int -> values (..., D)."""
        return self.quantizer.ids_to_values(ids)

    def decode_read(self, values: jax.Array) -> tuple[jax.Array, Any]:
        """The first frames at once, and what `decode_step` needs of them, an immutable pytree."""
        return self.decoder.read(values)

    def decode_step(self, values: jax.Array, past: Any) -> tuple[jax.Array, Any]:
        """One new frame of every row: values (B, 1, N, D) -> (frames (B, 1, H, W, C), past)."""
        return self.decoder.step(values, past)


def build_tokenizer(config: Mapping[str, Any]) -> Tokenizer:
    """Builds the model from the `model` section of a config.

    Its keys are the fields of TokenizerSettings.

    Raises:
      ConfigError: an unknown key or kind, a value out of its range, sizes that do not divide, or
        halves of different grids.
    """
    settings = read("model", config, TokenizerSettings)
    dtype, size = DTYPES[settings.dtype], settings.image_size
    shared = {
        "image_size": size if isinstance(size, int) else tuple(size),
        "pixel_channels": settings.channels,
        "dtype": dtype,
        **{key: getattr(settings, key) for key in ("remat", "unroll", "attention")},
    }
    quantizer = build_kind("model.quantizer", settings.quantizer, TOKEN_QUANTIZERS)
    encoder = build_kind(
        "model.encoder", settings.encoder, ENCODERS, features=quantizer.input_width, **shared
    )
    decoder = build_kind("model.decoder", settings.decoder, DECODERS, **shared)
    grids = [_grid(name, half) for name, half in (("encoder", encoder), ("decoder", decoder))]
    if grids[0] != grids[1]:
        made, drawn = ("x".join(map(str, grid)) for grid in grids)
        raise ConfigError(
            f"config.model.encoder.patch={encoder.patch} makes {made} tokens of a frame, and "
            f"config.model.decoder.patch={decoder.patch} draws one of {drawn}; give both the same"
        )
    return Tokenizer(encoder=encoder, quantizer=quantizer, decoder=decoder)


def _grid(section: str, half: Any) -> tuple[int, int]:
    """Raises ConfigError for sizes that do not divide one another."""
    name, size = f"config.model.{section}", half.image_size
    height, width = (size, size) if isinstance(size, int) else size
    if height % half.patch or width % half.patch:
        raise ConfigError(
            f"{name}.patch={half.patch} does not divide config.model.image_size, {height}x{width}"
        )
    half.check(name)
    return half.grid

"""A trained video tokenizer, for whoever models its tokens.

    tokenizer = flexlam_jax.load(path)         # work directory or its checkpoints folder
    ids = tokenizer.encode(frames)             # uint8 (B, T, H, W, C) -> int32 (B, T, N)
    frames = tokenizer.decode(ids)             # and back, as far as the tokens tell

Dimension keys: B rows, T frames, H W C image, N tokens of a frame, D numbers of a code.
"""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from flexlam_jax.checkpoints.fingerprint import parameters_hash
from flexlam_jax.checkpoints.params import restore_params
from flexlam_jax.errors import CheckpointError
from flexlam_jax.frames import from_float
from flexlam_jax.loading.buckets import Array, in_buckets
from flexlam_jax.models.lam import frame_shape
from flexlam_jax.models.tokenizer import Tokenizer, build_tokenizer

_ROWS = (1, 4, 16)  # Of clips, which are large.


def from_checkpoint(path: Any, step: int | None = None) -> "LoadedTokenizer":
    """The tokenizer of a run; see `flexlam_jax.load`, whose arguments and errors these are."""
    built: dict[str, Tokenizer] = {}

    def abstract(config: dict[str, Any]) -> dict[str, Any]:
        section = _model_section(config, path)
        built["model"] = model = build_tokenizer(section)
        frames = jax.ShapeDtypeStruct((1, 1, *frame_shape(section)), jnp.uint8)
        return dict(jax.eval_shape(model.init, jax.random.key(0), frames))

    variables, config, step = restore_params(path, abstract, step)
    variables = jax.device_put(variables, jax.local_devices()[0])
    return LoadedTokenizer(built["model"], variables, config, step)


def _model_section(config: dict[str, Any], path: Any) -> dict[str, Any]:
    section = config.get("model")
    if not isinstance(section, Mapping) or not {"encoder", "quantizer", "decoder"} <= set(section):
        raise CheckpointError(
            f"the checkpoint in {path} is not a tokenizer: its config has no 'model' section with "
            "encoder, quantizer and decoder. Train one with experiments/configs/tokenizer.py"
        )
    return dict(section)


class LoadedTokenizer:
    """Frames <-> ids of tokens. Made by `flexlam_jax.load`.

    Results are NumPy arrays for NumPy arrays, jax.Arrays for jax.Arrays. Inside a caller's own `jit`
    the methods trace straight through (values are then not checked).

    Attributes:
      config: the run's config, a plain dict.      step: the training step that was loaded.
      model, variables: for programs that hold more than this model, as one that plays: see
        `Tokenizer.decode_step`.
      frame_shape: (H, W, C).                      grid: rows and columns of the tokens of a frame.
      tokens: N = rows x columns, in row-major order.
      codebook_size: codes that a token is one of.
      window: the most frames that a frame sees in a block, 1 where each is read by itself.
    """

    def __init__(
        self, model: Tokenizer, variables: Mapping[str, Any], config: dict[str, Any], step: int
    ):
        self.model, self.variables, self.config, self.step = model, variables, config, step
        self.frame_shape = frame_shape(config["model"])
        self.grid, self.window = model.grid, model.window
        self.tokens = self.grid[0] * self.grid[1]
        self.codebook_size: int = model.quantizer.codebook_size

        def encode(variables: Any, frames: jax.Array) -> jax.Array:
            tokens: Any = model.apply(variables, frames, method="encode")
            return tokens.ids

        def decode(variables: Any, ids: jax.Array) -> jax.Array:
            values: Any = model.apply(variables, ids, method="values_of")
            frames: Any = model.apply(variables, values, method="decode")
            return from_float(frames, jnp.uint8)

        self._encode, self._decode = jax.jit(encode), jax.jit(decode)

    def encode(self, frames: Array) -> Array:
        """Tokens of clips, int32 (B, T, N) in 0..codebook_size-1.

        Args:
          frames: uint8 (B, T, H, W, C). With a `window` beyond 1 a frame's tokens depend on the
            frames before it in its clip.

        Raises:
          ValueError: wrong type, size or number of axes, or no clip.
        """
        frames = frames if isinstance(frames, jax.Array) else np.asarray(frames)
        if frames.dtype != jnp.uint8 or frames.ndim != 5 or frames.shape[2:] != self.frame_shape:
            raise ValueError(
                f"frames are {frames.dtype} of shape {frames.shape}; this tokenizer reads clips, "
                f"uint8 of shape (B, T, {', '.join(map(str, self.frame_shape))})"
            )
        return self._run(self._encode, frames, "frames")

    def decode(self, ids: Array) -> Array:
        """Frames of tokens, uint8 (B, T, H, W, C).

        Args:
          ids: integers (B, T, N), as `encode` gives them.

        Raises:
          ValueError: wrong type or shape, no clip, or ids outside 0..codebook_size-1.
        """
        ids = ids if isinstance(ids, jax.Array) else np.asarray(ids)
        integers = jnp.issubdtype(ids.dtype, jnp.integer)
        if not integers or ids.ndim != 3 or ids.shape[-1] != self.tokens:
            raise ValueError(
                f"ids are {ids.dtype} of shape {ids.shape}; this tokenizer's are integers of shape "
                f"(B, T, {self.tokens})"
            )
        known = not isinstance(ids, jax.core.Tracer) and ids.size
        if known and not 0 <= ids.min() <= ids.max() < self.codebook_size:
            raise ValueError(
                f"ids span {ids.min()}..{ids.max()}; this tokenizer has codes 0.."
                f"{self.codebook_size - 1}"
            )
        return self._run(self._decode, ids, "ids")

    def fingerprint(self) -> str:
        """sha256 of the parameters and the codebook: tells whose tokens a file holds."""
        return parameters_hash(self.variables)

    def _run(self, function: Any, clips: Array, name: str) -> Array:
        if not clips.size:
            raise ValueError(f"{name} are an empty batch, shape {clips.shape}")
        run = functools.partial(function, self.variables)
        return in_buckets(run, (clips,), batched=True, buckets=_ROWS)

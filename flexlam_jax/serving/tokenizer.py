"""Export of video tokenizers."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from flexlam_jax.frames import from_float
from flexlam_jax.loading.tokenizer import LoadedTokenizer
from flexlam_jax.serving.functions import (
    ROWS,
    Argument,
    Exported,
    ExportSettings,
    Function,
    frames_of,
)


def exported(tokenizer: LoadedTokenizer, settings: ExportSettings) -> Exported:
    """encode and decode, of clips of any length."""
    del settings
    model, variables = tokenizer.model, tokenizer.variables

    def encode(frames: jax.Array) -> Mapping[str, jax.Array]:
        return {"ids": model.apply(variables, frames, method="encode").ids}

    def decode(ids: jax.Array) -> Mapping[str, jax.Array]:
        values = model.apply(variables, ids, method="values_of")
        frames = model.apply(variables, values, method="decode")
        return {"frames": from_float(frames, jnp.uint8)}

    clips = frames_of("frames", ("t", *tokenizer.frame_shape), "clips (B, T, H, W, C)")
    ids = Argument("ids", (ROWS, "t", tokenizer.tokens), np.int32, "of tokens, (B, T, N)")
    functions = (
        Function("encode", "the tokens of clips", (clips,), {"ids": "int (B, T, N)"}, encode),
        Function("decode", "the frames of tokens", (ids,), {"frames": "(B, T, H, W, C)"}, decode),
    )
    facts = {
        "grid": list(tokenizer.grid),
        "codebook_size": tokenizer.codebook_size,
        "window": tokenizer.window,
    }
    return Exported(functions, tokenizer.fingerprint(), facts)

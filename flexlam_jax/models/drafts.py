"""Drafts: the tokens of the frame that a latent action model's own decoder makes of the one before.

The decoder predicts a mean, blurred, and obeys the code from its own training on; dynamics that read
its tokens have what moves where, and learn what a mean lacks. In training and in play the frame before
is as the tokenizer shows it.

Dimension keys: B rows, T frames, H W C frame, N tokens, K slots, D slot width.
"""

from typing import Any

import jax
import jax.numpy as jnp

from flexlam_jax.frames import from_float
from flexlam_jax.models.lam import LatentActionModel
from flexlam_jax.models.tokenizer import Tokenizer


def draft_ids(
    tokenizer: Tokenizer,
    tokenizer_variables: Any,
    lam: LatentActionModel,
    lam_variables: Any,
    frames: jax.Array,
    slots: jax.Array,
) -> jax.Array:
    """Tokens int32 (B, T, N) of a draft of the frame after each.

    Args:
      frames: uint8 (B, T, H, W, C), as the tokenizer shows them.
      slots: (B, T, K, D), null-filled, that lead on from each.
    """
    drafts = from_float(lam.apply(lam_variables, frames, slots, method="decode"), jnp.uint8)
    # Each by itself: a tokenizer that looks back at earlier frames has no earlier drafts in play.
    alone = drafts.reshape(-1, 1, *drafts.shape[2:])
    ids = tokenizer.apply(tokenizer_variables, alone, method="encode").ids
    return jax.lax.stop_gradient(ids.reshape(*frames.shape[:2], -1))


def shown_frames(tokenizer: Tokenizer, variables: Any, ids: jax.Array) -> jax.Array:
    """Frames uint8 (B, T, H, W, C) of a clip of tokens (B, T, N)."""
    values = tokenizer.apply(variables, ids, method="values_of")
    return from_float(tokenizer.apply(variables, values, method="decode"), jnp.uint8)

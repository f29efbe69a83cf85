"""A frozen tokenizer inside the loss of another model: frames become tokens.

Its parameters lie under "tokenizer" of those that the loss is given, what other collections have of
it under the same name; no gradient reaches them. Dimension keys: B rows, T frames, H W C image, N
tokens of a frame.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from flexlam_jax.models.flops import program_flops, with_plain_attention
from flexlam_jax.objectives.frozen_lam import frozen_variables
from flexlam_jax.objectives.objective import Batch
from flexlam_jax.random import fold_name

MODEL = "tokenizer"


@dataclasses.dataclass(frozen=True)
class FrozenTokenizer:
    """The model, without its parameters.

    Attributes:
      model: from build_tokenizer.
      frame_shape: (H, W, C).
    """

    model: nn.Module
    frame_shape: tuple[int, int, int]

    def init(self, key: jax.Array) -> dict[str, Any]:
        """{collection: {"tokenizer": tree}}, which a checkpoint's takes the place of."""
        frames = jnp.zeros((1, 2, *self.frame_shape), jnp.uint8)
        variables = self.model.init(fold_name(key, MODEL), frames)
        return {collection: {MODEL: tree} for collection, tree in variables.items()}

    def ids(self, params: Mapping[str, Any], extra: Mapping[str, Any], batch: Batch) -> jax.Array:
        """Tokens int32 (B, T, N) of batch["frames"] uint8 (B, T, H, W, C)."""
        return self._encode(frozen_variables(MODEL, params, extra), batch["frames"])

    def flops(self, frames: int) -> float:
        """FLOPs of encoding one row of so many frames."""
        plain = dataclasses.replace(self, model=with_plain_attention(self.model))
        abstract = jax.eval_shape(plain.init, jax.random.key(0))
        variables = {collection: tree[MODEL] for collection, tree in abstract.items()}
        row = jax.ShapeDtypeStruct((1, frames, *self.frame_shape), jnp.uint8)
        return program_flops(plain._encode, variables, row)

    def _encode(self, variables: Any, frames: jax.Array) -> jax.Array:
        return self.model.apply(variables, frames, method="encode").ids

"""A frozen tokenizer inside the loss of another model: frames become tokens.

See frozen_model.py for where its parameters lie. Dimension keys: B rows, T frames, H W C image, N
tokens of a frame.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from flexlam_jax.models.flops import program_flops
from flexlam_jax.models.tokenizer import Tokenizer
from flexlam_jax.objectives.frozen_model import FrozenModel
from flexlam_jax.objectives.objective import Batch

MODEL = "tokenizer"


@dataclasses.dataclass(frozen=True)
class FrozenTokenizer(FrozenModel):
    """The model, from build_tokenizer, without its parameters."""

    name: ClassVar[str] = MODEL

    model: Tokenizer

    def ids(self, params: Mapping[str, Any], extra: Mapping[str, Any], batch: Batch) -> jax.Array:
        """Tokens int32 (B, T, N) of batch["frames"] uint8 (B, T, H, W, C)."""
        return self._encode(self.variables(params, extra), batch["frames"])

    def flops(self, frames: int) -> float:
        """FLOPs of encoding one row of so many frames."""
        plain, variables = self.on_paper()
        row = jax.ShapeDtypeStruct((1, frames, *self.frame_shape), jnp.uint8)
        return program_flops(plain._encode, variables, row)

    def _encode(self, variables: Any, frames: jax.Array) -> jax.Array:
        tokens: Any = self.model.apply(variables, frames, method="encode")
        return tokens.ids

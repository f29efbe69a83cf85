"""A frozen model inside the loss of another: where its variables lie, and how they are read.

Its parameters lie under its name among those that the loss is given, what other collections have of
it under the same name; no gradient reaches them. A run takes them from a checkpoint and neither trains
nor saves them (`init_from`, `frozen`).
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from flexlam_jax.models.flops import with_plain_attention
from flexlam_jax.random import fold_name


@dataclasses.dataclass(frozen=True)
class FrozenModel:
    """A model of frames, without its parameters.

    Attributes:
      name: where its variables lie.
      model: an encoder and a decoder.
      frame_shape: (H, W, C).
    """

    name: ClassVar[str]

    model: nn.Module
    frame_shape: tuple[int, int, int]

    def init(self, key: jax.Array) -> dict[str, Any]:
        """{collection: {name: tree}}, which a checkpoint's takes the place of."""
        frames = jnp.zeros((1, 2, *self.frame_shape), jnp.uint8)
        variables = self.model.init(fold_name(key, self.name), frames)
        return {collection: {self.name: tree} for collection, tree in variables.items()}

    def variables(self, params: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
        """Its part of the parameters, and of the collections that have one, without gradient."""
        own = {kind: tree[self.name] for kind, tree in extra.items() if self.name in tree}
        return jax.lax.stop_gradient({"params": params[self.name], **own})

    def on_paper(self) -> tuple[Any, dict[str, Any]]:
        """(the same with attention that can be counted, shapes of its variables), for FLOPs."""
        plain = dataclasses.replace(self, model=with_plain_attention(self.model))
        abstract = jax.eval_shape(plain.init, jax.random.key(0))
        return plain, {collection: tree[self.name] for collection, tree in abstract.items()}

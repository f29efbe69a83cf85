"""Which slots learn from what: prefixes ordered by control instead of by variance.

Nested dropout puts first what explains most of the next frame, noise included (in the linear case
the eigenvectors of the innovation's covariance in order). Two things must change for the first j
slots to hold what the agent controls: something that knows it has to train them (the cross term, or
actions), and own frames must not pull there. The second is `loss.own`:

  all      own frames train every prefix. The first slots are the agent's only where the other
           term's weight is above a threshold that grows with the noise.
  longer   own frames see prefixes of more than j slots only. They do not care which of these holds
           what, so that any weight of the other term decides, where the shortest of them hold all
           of both; else a threshold is left, a lower one.
  stopped  own frames read all slots, and their gradient stops at the first j. These learn what the
           other term teaches, at any noise; the rest learns what they leave over.

Dimension keys: B rows, T frames of a clip, P prefixes, K slots, D slot width.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from flexlam_jax.models.bottleneck import keep_settings


def longer_than(keep: jax.Array, first: int, slots: int) -> jax.Array:
    """Prefixes of at most `first` slots become ones of first + 1 .. K, all about as often."""
    beyond = first + 1 + (jnp.maximum(keep, 1) - 1) % (slots - first)
    return jnp.where(keep > first, keep, beyond)


def within_first(sampler: Mapping[str, Any], slots: int, first: int) -> dict[str, Any]:
    """The sampler `model.keep` for prefixes of at most `first` of K slots."""
    settings = keep_settings(sampler, slots)
    for bound in ("minimum", "count"):
        if bound in settings:
            settings[bound] = min(settings[bound], first)
    return settings


def passing(slots: jax.Array, first: int, share: float) -> jax.Array:
    """The same slots (..., K, D); of a gradient they pass `share`, and at the `first` ones nothing.

    They stay as they are, and so does the program, where all of it passes.
    """
    if share == 1 and not first:
        return slots
    passed = jnp.where(jnp.arange(slots.shape[-2]) < first, 0.0, share)[:, None]
    still = jax.lax.stop_gradient(slots)
    return (still + passed * (slots - still)).astype(slots.dtype)

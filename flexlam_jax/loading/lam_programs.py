"""What a loaded latent action model computes, compiled once for all models of one architecture."""

import functools
import json
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from flexlam_jax.models.bottleneck import SAMPLER_KEYS
from flexlam_jax.models.lam import LatentActionModel, build_lam


class Programs:
    """The jitted functions of one architecture. They take the variables as an argument.

    Attributes:
      traces: how often each was traced, that is, compiled.
    """

    def __init__(self, model: LatentActionModel):
        self.traces = {"encode": 0, "null_fill": 0, "decode": 0}

        def encode(variables, o_t, o_next):
            self.traces["encode"] += 1
            slots, ids = model.apply(variables, jnp.stack([o_t, o_next], 1), method="encode")
            return slots[:, 0], None if ids is None else ids[:, 0]

        def null_fill(variables, codes, keep):
            self.traces["null_fill"] += 1
            return model.apply(variables, codes, keep, method="null_fill")

        def slots_of(variables, ids):
            kept = ids != model.quantizer.codebook_size
            slots = model.apply(variables, jnp.where(kept, ids, 0), method="ids_to_values")
            return jnp.where(kept[..., None], slots, variables["params"]["null"])

        def decode(variables, o_t, codes):
            self.traces["decode"] += 1
            predicted = model.apply(variables, o_t, codes, method="decode")
            return jnp.clip(predicted, *getattr(model.decoder, "bounds", (0, 1)))

        self.encode, self.null_fill, self.decode = map(jax.jit, (encode, null_fill, decode))
        self.slots_of = jax.jit(slots_of)


@functools.lru_cache(maxsize=16)
def _programs(model_section: str) -> Programs:
    """Shared by all models of one architecture, so that comparing them compiles once."""
    return Programs(build_lam(json.loads(model_section)))


def programs_of(model: Mapping[str, Any]) -> Programs:
    """Those of the `model` section of a config, whatever its training drew."""
    settings = {k: v for k, v in model.items() if k not in SAMPLER_KEYS}
    return _programs(json.dumps(settings, sort_keys=True))

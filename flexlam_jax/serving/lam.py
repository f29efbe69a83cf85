"""Export of latent action models: of frames, of vectors, and fine-tuned ones."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from flexlam_jax.loading.lam import LoadedLam
from flexlam_jax.loading.vector_lam import LoadedVectorLam
from flexlam_jax.models.vector_windows import now
from flexlam_jax.serving.functions import (
    ROWS,
    Argument,
    Exported,
    ExportSettings,
    Function,
    frames_of,
)


def exported(lam: LoadedLam, settings: ExportSettings) -> Exported:
    """encode, null_fill, decode and, of discrete codes, slots_of."""
    del settings
    functions = [_encode(lam), _null_fill(lam), _decode(lam)]
    if lam.codebook_size is not None:
        functions.append(_slots_of(lam))
    return Exported(tuple(functions), lam.fingerprint(), _facts(lam))


def _facts(lam: LoadedLam) -> dict[str, Any]:
    facts = {
        "slots": lam.slots,
        "slot_width": lam.slot_width,
        "codebook_size": lam.codebook_size,
        "null_id": lam.null_id,
        "budgets": [int(k) for k in lam.budgets],
        "bits_per_slot": lam.bits_per_slot,
    }
    if isinstance(lam, LoadedVectorLam):
        facts |= {"columns": list(lam.columns), "history": lam.history}
    return facts


def _observation(lam: LoadedLam, name: str, meaning: str) -> Argument:
    if not isinstance(lam, LoadedVectorLam):
        return frames_of(name, lam.frame_shape, f"{meaning}, frames (B, H, W, C)")
    columns, history = len(lam.columns), lam.history
    shape = (columns,) if history == 1 else (history, columns)
    told = "(B, S)" if history == 1 else "(B, H, S), the present last"
    return Argument(name, (ROWS, *shape), np.float32, f"{meaning}, raw vectors {told}")


def _seen(lam: LoadedLam, observation: jax.Array) -> jax.Array:
    """What the network reads: frames as they are, or (B, S, H, 1) of raw vectors."""
    if not isinstance(lam, LoadedVectorLam):
        return observation
    seen = lam.units.of(observation, jnp)
    seen = seen[..., None, :] if lam.history == 1 else seen
    return jnp.swapaxes(seen, -1, -2)[..., None]


def _codes(lam: LoadedLam, meaning: str) -> Argument:
    return Argument("codes", (ROWS, lam.slots, lam.slot_width), np.float32, meaning)


def _encode(lam: LoadedLam) -> Function:
    def call(o_t: jax.Array, o_next: jax.Array) -> Mapping[str, jax.Array]:
        pair = _seen(lam, o_t), _seen(lam, o_next)
        slots, ids = lam.programs.encode(lam.variables, *pair)
        return {"slots": slots} | ({} if ids is None else {"ids": ids})

    results = {"slots": "all slots of the latent action, float (B, K, D)"}
    if lam.codebook_size is not None:
        results["ids"] = "their token ids, int (B, K)"
    return Function(
        "encode",
        "the latent action of the transition o_t -> o_next",
        (
            _observation(lam, "o_t", "what is seen"),
            _observation(lam, "o_next", "what is seen next"),
        ),
        results,
        call,
    )


def _null_fill(lam: LoadedLam) -> Function:
    def call(codes: jax.Array, keep: jax.Array) -> Mapping[str, jax.Array]:
        return {"codes": lam.programs.null_fill(lam.variables, codes, keep)}

    keep = Argument("keep", (ROWS,), np.int32, "how many slots count, 0..K; values are not checked")
    return Function(
        "null_fill",
        "the prefix of a latent action: slots from `keep` on become the null latent",
        (_codes(lam, "slots, (B, K, D)"), keep),
        {"codes": "null-filled slots, float (B, K, D)"},
        call,
    )


def _decode(lam: LoadedLam) -> Function:
    def call(o_t: jax.Array, codes: jax.Array) -> Mapping[str, jax.Array]:
        predicted = lam.programs.decode(lam.variables, _seen(lam, o_t), codes)
        if isinstance(lam, LoadedVectorLam):
            predicted = lam.units.back(now(predicted), jnp)
        return {"o_next": predicted}

    told = (
        "raw vectors (B, S)"
        if isinstance(lam, LoadedVectorLam)
        else "frames in [0, 1], float (B, H, W, C)"
    )
    return Function(
        "decode",
        "what the latent action says comes next",
        (_observation(lam, "o_t", "what is seen"), _codes(lam, "null-filled slots, (B, K, D)")),
        {"o_next": told},
        call,
    )


def _slots_of(lam: LoadedLam) -> Function:
    def call(ids: jax.Array) -> Mapping[str, jax.Array]:
        return {"codes": lam.programs.slots_of(lam.variables, ids)}

    told = f"token ids, (B, K); {lam.null_id} for a slot that is not kept"
    return Function(
        "slots_of",
        "null-filled slots of token ids",
        (Argument("ids", (ROWS, lam.slots), np.int32, told),),
        {"codes": "null-filled slots, float (B, K, D)"},
        call,
    )

"""What evaluators of latent action models read of a split of transitions.

Batches hold `frames` uint8 (B, 2, H, W, C) and, where there are labels, `action` (B, 1) or
(B, 1, A).
"""

from collections.abc import Mapping

import numpy as np

from flexlam_jax.errors import UserError
from flexlam_jax.evaluation.collect import Field
from flexlam_jax.evaluation.probes import pooled_pixels


def _frames(lam, batch: Mapping[str, np.ndarray]) -> np.ndarray:
    del lam
    frames = np.asarray(batch["frames"])
    if frames.ndim != 5 or frames.shape[1] != 2:
        raise UserError(f"evaluation reads clips of two frames, got shape {frames.shape}")
    return frames


def _codes(lam, batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray | None]:
    frames = _frames(lam, batch)
    slots, ids = lam.encode_with_ids(frames[:, 0], frames[:, 1])
    return {"slots": slots, "ids": ids}


def _pixels(lam, batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    frames = _frames(lam, batch)
    return {"o_t": pooled_pixels(frames[:, 0]), "o_next": pooled_pixels(frames[:, 1])}


def _action(lam, batch: Mapping[str, np.ndarray]) -> np.ndarray | None:
    del lam
    return np.asarray(batch["action"])[:, 0] if "action" in batch else None


# codes   {"slots": (N, K, D) unmasked, "ids": (N, K) int32 or None}, of each model
# frames  (M, 2, H, W, C) uint8
# pixels  {"o_t", "o_next"}: (N, 16*16*C) pooled
# action  (N,) int or (N, A) float, or None in data without labels
FIELDS = {
    "codes": Field(_codes, of_model=True),
    "frames": Field(_frames, sparse=True),
    "pixels": Field(_pixels),
    "action": Field(_action),
}

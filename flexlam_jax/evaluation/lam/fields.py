"""What evaluators of latent action models read of a split of transitions.

Batches hold `frames` uint8 (B, 2, H, W, C) and, where there are labels, `action` (B, 1) or
(B, 1, A); where they were asked for, `state` (B, 2, S), masks as frames_<mask> uint8 (B, 2, H, W,
1) and, in columns named features_<encoder>, what other encoders say of the frames.
"""

from collections.abc import Mapping

import numpy as np

from flexlam_jax.errors import UserError
from flexlam_jax.evaluation.collect import Field
from flexlam_jax.evaluation.probes import pooled_pixels

MASKS = ("exogenous_mask", "agent_mask")  # cameras of masks
FEATURES = "features_"  # begins the names of columns of features


def _frames(lam, batch: Mapping[str, np.ndarray]) -> np.ndarray:
    del lam
    frames = np.asarray(batch["frames"])  # Vectors are floats (B, 2, S, H, 1).
    if frames.ndim != 5 or frames.shape[1] != 2:
        raise UserError(f"evaluation reads clips of two frames, got shape {frames.shape}")
    return frames


def _codes(lam, batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray | None]:
    frames = _frames(lam, batch)
    slots, ids = lam.encode_with_ids(frames[:, 0], frames[:, 1])
    return {"slots": slots, "ids": ids}


def _pixels(lam, batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    frames = _frames(lam, batch)
    if np.issubdtype(frames.dtype, np.floating):  # Vectors: few numbers, all of them.
        flat = frames.reshape(*frames.shape[:2], -1)
        return {"o_t": flat[:, 0], "o_next": flat[:, 1]}
    return {"o_t": pooled_pixels(frames[:, 0]), "o_next": pooled_pixels(frames[:, 1])}


def _action(lam, batch: Mapping[str, np.ndarray]) -> np.ndarray | None:
    del lam
    return np.asarray(batch["action"])[:, 0] if "action" in batch else None


def _later(lam, batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    frames = _frames(lam, batch)
    third, there = np.zeros_like(frames[:, 1]), np.zeros(len(frames), np.bool_)
    if "gap" in batch:  # Of every row the one that begins where it ends, if this batch has it.
        keys = np.stack([np.asarray(batch[key]) for key in ("dataset", "episode", "t")], 1)
        begins = {tuple(key): row for row, key in enumerate(keys.tolist())}
        ends = keys + np.asarray(batch["gap"])[:, None] * [0, 0, 1]
        found = np.array([begins.get(tuple(key), -1) for key in ends.tolist()])
        there = (found >= 0) & (batch["gap"][found] == batch["gap"])
        third[there] = frames[found[there], 1]
    return {"frame": third, "there": there}


def _state(lam, batch: Mapping[str, np.ndarray]) -> np.ndarray | None:
    del lam
    return np.asarray(batch["state"], np.float32) if "state" in batch else None


def _masks(lam, batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Where either frame shows it: what moved away is seen no more, and that is its doing too."""
    del lam
    held = {mask: frames_of(mask) for mask in MASKS if frames_of(mask) in batch}
    return {mask: (np.asarray(batch[key]) >= 128).any(axis=(1, -1)) for mask, key in held.items()}


def frames_of(mask: str) -> str:
    """Where a batch holds a mask."""
    return f"frames_{mask}"


def _features(lam, batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    del lam
    return {
        key.removeprefix(FEATURES): np.asarray(batch[key], np.float32).reshape(len(batch[key]), -1)
        for key in sorted(batch)
        if key.startswith(FEATURES)
    }


# codes   {"slots": (N, K, D) unmasked, "ids": (N, K) int32 or None}, of each model
# frames  (M, 2, H, W, C) uint8
# pixels  {"o_t", "o_next"}: (N, 16*16*C) pooled
# action  (N,) int or (N, A) float, or None in data without labels
# later   {"frame": (M, H, W, C) uint8, as far after o_next as that after o_t; "there": (M,) bool,
#         whether the batch has it}
# state   (N, 2, S) float32 at both frames, or None
# masks   {mask: (M, H, W) bool}, those that the batches hold
# features  {encoder: (N, F) float32} of both frames, those that the batches hold
FIELDS = {
    "codes": Field(_codes, of_model=True),
    "frames": Field(_frames, sparse=True),
    "pixels": Field(_pixels),
    "action": Field(_action),
    "later": Field(_later, sparse=True),
    "state": Field(_state),
    "masks": Field(_masks, sparse=True),
    "features": Field(_features),
}

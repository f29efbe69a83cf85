"""One pass over a split: codes of every model, pooled pixels, labels, and some frames to decode."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from flexlam_jax.errors import UserError
from flexlam_jax.evaluation.probes import pooled_pixels


@dataclasses.dataclass(frozen=True)
class Split:
    """What the evaluation keeps of a split; small, whatever the size of its video.

    Attributes:
      slots: model name -> (N, K, D) unmasked codes.      ids: model name -> (N, K) int32 or None.
      pixels, next_pixels: (N, 16*16*C) pooled o_t and o_{t+gap}, or None without labels.
      action: (N,) int or (N, A) float, or None.
      episode: (N,) index, unique over datasets.          t: (N,) time index.
      rows: (M,) the transitions whose frames were kept.  frames: (M, 2, H, W, C) uint8.
    """

    slots: Mapping[str, np.ndarray]
    ids: Mapping[str, np.ndarray | None]
    pixels: np.ndarray | None
    next_pixels: np.ndarray | None
    action: np.ndarray | None
    episode: np.ndarray
    t: np.ndarray
    rows: np.ndarray
    frames: np.ndarray

    def __len__(self) -> int:
        return len(self.episode)


def collect(
    lams: Mapping[str, object],
    batches: Iterable[Mapping[str, np.ndarray]],
    *,
    actions: bool,
    frames_every: int | None = None,
    name: str = "the split",
    tick: Callable[[int], None] = lambda count: None,
) -> Split:
    """Encodes every transition of a split once with every model.

    Args:
      lams: name -> loaded model.
      batches: dicts with `frames` uint8 (B, 2, H, W, C), `episode`, `t`, `dataset` (B,), and
        `action` (B, 1) or (B, 1, A) if `actions`.
      actions: keep labels and pooled pixels.
      frames_every: keep the frames of every n-th transition; None keeps none.
      name: for messages.
      tick: called with the number of transitions done, for a progress bar.

    Raises:
      UserError: no transition, or clips of more than two frames.
    """
    parts: dict[str, list] = {
        key: []
        for key in ("pixels", "next_pixels", "action", "dataset", "episode", "t", "rows", "frames")
    }
    slots, ids = {key: [] for key in lams}, {key: [] for key in lams}
    done = 0
    for batch in batches:
        frames = np.asarray(batch["frames"])
        if frames.ndim != 5 or frames.shape[1] != 2:
            raise UserError(
                f"{name}: evaluation reads clips of two frames, got shape {frames.shape}"
            )
        for key, lam in lams.items():
            codes, tokens = lam.encode_with_ids(frames[:, 0], frames[:, 1])
            slots[key].append(codes)
            ids[key].append(tokens)
        for key in ("dataset", "episode", "t"):
            parts[key].append(np.asarray(batch[key]))
        if actions:
            parts["action"].append(np.asarray(batch["action"])[:, 0])
            parts["pixels"].append(pooled_pixels(frames[:, 0]))
            parts["next_pixels"].append(pooled_pixels(frames[:, 1]))
        if frames_every:
            chosen = np.flatnonzero((done + np.arange(len(frames))) % frames_every == 0)
            parts["rows"].append(done + chosen)
            parts["frames"].append(frames[chosen])
        done += len(frames)
        tick(len(frames))
    if not done:
        raise UserError(
            f"{name} holds no transition; choose another split or dataset, or a "
            "smaller gap if its episodes are shorter than that"
        )
    joined = {key: np.concatenate(value) if value else None for key, value in parts.items()}
    _, episode = np.unique(
        np.stack([joined["dataset"], joined["episode"]], 1), axis=0, return_inverse=True
    )
    return Split(
        slots={key: np.concatenate(value) for key, value in slots.items()},
        ids={
            key: None if value[0] is None else np.concatenate(value) for key, value in ids.items()
        },
        pixels=joined["pixels"],
        next_pixels=joined["next_pixels"],
        action=joined["action"],
        episode=episode.reshape(-1),
        t=joined["t"],
        rows=joined["rows"],
        frames=joined["frames"],
    )

"""Whole clips as models predict them: each frame from the true one before it and k slots, for a page
with a slider through the clip and one over k.

Dimension keys: T transitions of an episode, H W C frame, K slots.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from flexlam_jax.evaluation.evaluator import Data
from flexlam_jax.evaluation.image_metrics import psnr_from_mse
from flexlam_jax.evaluation.lam.reconstruction import are_vectors, image_errors
from flexlam_jax.evaluation.lam.settings import chosen_budgets
from flexlam_jax.reports.clip import Clip, Reel, Screen
from flexlam_jax.reports.pictures import to_bytes
from flexlam_jax.reports.results import Slider

PIXELS = 6_000_000  # of all clips of a page: two or three megabytes
_WIDEST = 160  # pixels; frames that are larger are shown smaller
_MOST = 240  # frames of a clip


@dataclasses.dataclass(frozen=True)
class Stretch:
    """Transitions of an episode, in order.

    Attributes:
      rows: their numbers in the split.      steps: where each begins.
      length: of the episode, in transitions.
    """

    rows: np.ndarray
    steps: np.ndarray
    length: int


def stretches(
    episode_N: np.ndarray, t_N: np.ndarray, count: int, most: int, seed: int
) -> list[Stretch]:
    """Whole episodes at random, longest first; of those with more than `most` transitions every n-th.

    Args:
      episode_N, t_N: of all transitions of a split, in order.
    """
    episodes, first, lengths = np.unique(episode_N, return_index=True, return_counts=True)
    chosen = np.random.default_rng([seed, 13]).permutation(len(episodes))[:count]
    found = []
    for one in sorted(chosen.tolist(), key=lambda one: -lengths[one]):
        every = -(-lengths[one] // most)
        rows = np.arange(first[one], first[one] + lengths[one], every)
        found.append(Stretch(rows, t_N[rows], int(lengths[one])))
    return found


def chosen_stretches(lams: Mapping[str, Any], data: Data) -> list[Stretch]:
    """As many as the settings ask for, as long as a page allows; none of vectors."""
    settings, count = data.settings, data.settings.clips
    if not count or are_vectors(data.test["frames"]):
        return []
    most = frames_within(lams, settings.budgets, count)
    return stretches(data.test.episode, data.test.t, count, most, settings.seed)


def frames_within(
    lams: Mapping[str, Any], budgets: Sequence[int], count: int, pixels: int = PIXELS
) -> int:
    """How many frames each of `count` clips may have, so that all versions of all have `pixels`."""
    high, wide = _shown_size(next(iter(lams.values())).frame_shape)
    versions = 1 + sum(len(chosen_budgets(lam, budgets)) for lam in lams.values())
    return int(np.clip(pixels // (max(1, count) * versions * high * wide), 2, _MOST))


def clip_of(
    lams: Mapping[str, Any],
    frames: np.ndarray,
    steps: Sequence[int],
    length: int,
    caption: str,
    *,
    budgets: Sequence[int] = (),
    fps: float = 10.0,
    titles: Mapping[str, str] | None = None,
    tick: Callable[[], object] = lambda: None,
) -> Clip:
    """One episode: the true next frames, and beside them what each model makes of it.

    A model shows the longest of its prefix lengths that is not above the slider's, or its shortest.

    Args:
      lams: name -> loaded model.
      frames: uint8 (T, 2, H, W, C), of each transition both.
      steps, length: where the transitions begin, and how many the episode has.
      budgets: prefix lengths, see `chosen_budgets`.
      fps: of the episode.      titles: name -> what stands below its picture.
      tick: called once per model and prefix length.

    Raises:
      UserError: predictions that are not finite.
    """
    o_t, o_next = frames[:, 0], frames[:, 1]
    copied = psnr_from_mse(image_errors(o_t, o_next)["mse"])
    true = Reel(_shown(o_next), [f"copying: {value:.1f} dB" for value in copied])
    shown = {name: chosen_budgets(lam, budgets) for name, lam in lams.items()}
    values = sorted({k for of in shown.values() for k in of})
    screens = [Screen("o_{t+1}, true", [true], [0] * len(values))]
    for name, lam in lams.items():
        slots, _ = lam.encode_with_ids(o_t, o_next)
        made = []
        for k in shown[name]:
            predicted = np.asarray(lam.decode(o_t, lam.null_fill(slots, k)))
            psnr = psnr_from_mse(image_errors(predicted, o_next)["mse"])
            notes = [f"k = {k}: {value:.1f} dB" for value in psnr]
            made.append(Reel(_shown(to_bytes(predicted)), notes))
            tick()
        places = [max(0, sum(k <= value for k in shown[name]) - 1) for value in values]
        screens.append(Screen((titles or {}).get(name, name), made, places, compared=True))
    texts = [f"k = {k}" for k in values]
    every = int(steps[1] - steps[0]) if len(steps) > 1 else 1
    return Clip(
        caption,
        screens,
        Slider("slots kept", "k", values, texts),
        [int(step) for step in steps],
        length,
        fps=max(1.0, (fps or 10.0) / every),
    )


CAPTION = (
    "Each frame is predicted from the true one before it and a prefix of k slots of its code. The "
    "sliders obey the arrow keys. Copying: the frame before, shown again. Error: what a picture differs "
    "in from the true one, both as the page has them, four times as bright; dB are those of the frames "
    "as they were."
)


def _shown_size(frame_shape: Sequence[int]) -> tuple[int, int]:
    high, wide = frame_shape[:2]
    factor = min(1.0, _WIDEST / wide)
    return max(1, round(high * factor)), max(1, round(wide * factor))


def _shown(frames: np.ndarray) -> np.ndarray:
    """uint8 (T, H, W, C) -> (T, h, w, 3) as the page has them."""
    from PIL import Image

    frames = np.repeat(frames, 3, -1) if frames.shape[-1] == 1 else frames[..., :3]
    high, wide = _shown_size(frames.shape[1:])
    if (high, wide) == frames.shape[1:3]:
        return frames
    made = (Image.fromarray(one).resize((wide, high), Image.Resampling.BOX) for one in frames)
    return np.stack([np.asarray(one) for one in made])

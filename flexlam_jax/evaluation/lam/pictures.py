"""Transitions to look at: o_t, o_{t+1}, the reconstruction at k and its error; a slider over k."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from flexlam_jax.evaluation.evaluator import Data, Evaluator
from flexlam_jax.evaluation.image_metrics import psnr_from_mse
from flexlam_jax.evaluation.lam.reconstruction import are_vectors, kept_transitions
from flexlam_jax.reports.pictures import to_bytes
from flexlam_jax.reports.results import Picture, PictureGrid, Sample, Slider

ERROR_WHITE = 64 / 255  # absolute error drawn as white


def picture_grid(lam: Any, data: Data) -> PictureGrid:
    """Random transitions from the half in which most changes, decoded at every trained length."""
    o_t, o_next, _ = kept_transitions(data)
    if are_vectors(o_t):
        nothing = Slider("slots kept", "k", [lam.slots], [f"k = {lam.slots} of {lam.slots}"])
        return PictureGrid([], nothing, "The observations are vectors: there are no pictures.")
    kept = lively(o_t, o_next, data.settings.pictures, data.settings.seed)
    rows = data.test.rows[kept]
    o_t, o_next, slots_NKD = o_t[kept], o_next[kept], data.test["codes"]["slots"][rows]
    budgets = sorted(int(k) for k in lam.budgets)
    predictions = [np.asarray(lam.decode(o_t, lam.null_fill(slots_NKD, k))) for k in budgets]
    action = data.test["action"]
    titles = [
        f"{i + 1}. "
        + (_title(action[row], data.settings.action_names) if action is not None else "")
        for i, row in enumerate(rows)
    ]
    return PictureGrid(
        [
            _sample(i, title, o_t[i], o_next[i], [one[i] for one in predictions], budgets)
            for i, title in enumerate(titles)
        ],
        Slider("slots kept", "k", budgets, [f"k = {k} of {lam.slots}" for k in budgets]),
        "Held-out transitions, drawn at random from the half in which most changes. "
        f"Error: mean absolute error, black is 0, white is {round(255 * ERROR_WHITE)}/255 or more. "
        "The slider also obeys the arrow keys.",
    )


def error_image(prediction_HWC: np.ndarray, target_HWC: np.ndarray) -> np.ndarray:
    """uint8 (H, W): mean absolute error over channels, black 0 to white ERROR_WHITE and above."""
    error = np.abs(prediction_HWC - target_HWC.astype(np.float32) / 255).mean(-1)
    return to_bytes(error / ERROR_WHITE)


def lively(o_t: np.ndarray, o_next: np.ndarray, count: int, seed: int) -> np.ndarray:
    """`count` indices at random from the half in which most changes, ascending."""
    change = np.abs(o_t.astype(np.int16) - o_next).mean((1, 2, 3))
    lively = np.flatnonzero(change >= np.median(change))
    rng = np.random.default_rng([seed, 11])
    return np.sort(rng.choice(lively, min(count, len(lively)), replace=False))


def _sample(i: int, title: str, o_t, o_next, predictions, budgets: Sequence[int]) -> Sample:
    slots = [f"{k} slot{'s' * (k != 1)}, transition {i + 1}" for k in budgets]
    target = o_next.astype(np.float32) / 255
    psnr = [psnr_from_mse(np.square(one - target).mean()) for one in predictions]
    copied = psnr_from_mse(np.square((o_t.astype(np.float32) - o_next) / 255).mean())
    return Sample(
        f"{title}copying o_{{t}} {copied:.1f} dB, reconstruction",
        [
            Picture("o_{t}", [o_t], [f"frame before transition {i + 1}"]),
            Picture("o_{t+1}, true", [o_next], [f"true frame after transition {i + 1}"]),
            Picture(
                "reconstruction",
                [to_bytes(one) for one in predictions],
                [f"reconstruction from {text}" for text in slots],
            ),
            Picture(
                "error",
                [error_image(one, o_next) for one in predictions],
                [f"error of the reconstruction from {text}" for text in slots],
            ),
        ],
        [f"{value:.1f} dB" for value in psnr],
    )


def _title(action, names: Sequence[str]) -> str:
    if np.ndim(action):
        text = "[" + ", ".join(f"{value:.2f}" for value in action) + "]"
    else:
        text = names[action] if int(action) < len(names) else str(int(action))
    return f"action {text} · "


PICTURES = Evaluator("pictures", picture_grid, reads=("codes", "frames", "action"), once=True)

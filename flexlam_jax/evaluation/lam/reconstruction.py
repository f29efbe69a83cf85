"""How well a prefix of k slots predicts the next frame, and whether the decoder uses the code.

Dimension keys: N transitions, M of them with frames, K slots, D slot width, H W C image.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from flexlam_jax.errors import UserError
from flexlam_jax.evaluation import image_metrics, intervals
from flexlam_jax.evaluation.evaluator import Data, Evaluator
from flexlam_jax.evaluation.lam.settings import chosen_budgets
from flexlam_jax.evaluation.probes import shuffled_rows
from flexlam_jax.loading.buckets import Array
from flexlam_jax.reports.results import Column, Number, Table, used

CHUNK = 256
# How far apart frames (B, H, W, C) look, (B,): a loading.perceptual.LoadedPerceptual.
Perceptual = Callable[[Array, Array], np.ndarray]

_jitted_mse = jax.jit(image_metrics.mse)
_jitted_ssim = jax.jit(image_metrics.ssim)


def image_errors(
    prediction_NHWC: Array, target_NHWC: Array, perceptual: Perceptual | None = None
) -> dict[str, np.ndarray]:
    """Per-image "mse" and, if the images are large enough for its window, "ssim": (N,) float32; with
    `perceptual`, that too.

    Of vectors, which are floats (N, S, H, 1), "mse" of the last instant: those before are known.

    Raises:
      UserError: predictions that are not finite.
    """
    metrics = {"mse": _jitted_mse}
    if are_vectors(target_NHWC):
        prediction_NHWC, target_NHWC = prediction_NHWC[:, :, -1:], target_NHWC[:, :, -1:]
    elif min(target_NHWC.shape[1:3]) >= image_metrics.SSIM_WINDOW:
        metrics["ssim"] = _jitted_ssim
    parts = {name: [] for name in metrics}
    for start in range(0, len(target_NHWC), CHUNK):
        prediction, target = (
            prediction_NHWC[start : start + CHUNK],
            target_NHWC[start : start + CHUNK],
        )
        size = len(target)
        if size < CHUNK and len(target_NHWC) > CHUNK:  # one compiled shape, not two
            fill = [(0, CHUNK - size)] + [(0, 0)] * (target.ndim - 1)
            prediction, target = np.pad(prediction, fill), np.pad(target, fill)
        for name, metric in metrics.items():
            parts[name].append(np.asarray(metric(prediction, target))[:size])
    errors = {name: np.concatenate(values) for name, values in parts.items()}
    if bad := np.flatnonzero(~np.isfinite(errors["mse"])).tolist():
        raise UserError(
            f"{len(bad)} of {len(target_NHWC)} predicted frames hold NaN or infinity, the first is "
            f"number {bad[0]}; load a step before the model diverged, or one that was trained with "
            "config.model.dtype=float32 (and config.model.decoder.latents.dtype=float32, where there "
            "is an autoencoder)"
        )
    if perceptual is not None:
        errors["perceptual"] = perceptual(prediction_NHWC, target_NHWC)
    return errors


def are_vectors(frames: Array) -> bool:
    """Whether frames are those of a model of vectors (models/vector_windows.py); pictures are uint8."""
    return np.issubdtype(frames.dtype, np.floating)


def reconstruction(lam: Any, data: Data) -> Table:
    """Reconstruction of one model at every budget.

    Rows `k`, `psnr`, `ssim` (absent for images under 11 px), `perceptual` (where a network was
    given; smaller is nearer), `gain`, the PSNR above the copy baseline, and `delta_psnr`, the PSNR
    lost when every code is replaced by that of another transition. Both differences are paired:
    their two PSNRs come from the same resampled episodes, so that their intervals are much tighter
    than those of the PSNRs.
    """
    o_t, o_next, episode_N = kept_transitions(data)
    slots_NKD = data.test["codes"]["slots"][data.test.rows]
    budgets = chosen_budgets(lam, data.settings.budgets)
    copied = image_errors(o_t, o_next)["mse"]
    partner = shuffled_rows(len(o_t), data.settings.seed)
    tick = data.stage("decode", 2 * len(budgets))
    rows = []
    for k in budgets:
        codes = lam.null_fill(slots_NKD, k)
        errors = image_errors(lam.decode(o_t, codes), o_next, data.settings.perceptual)
        tick()
        shuffled = image_errors(lam.decode(o_t, codes[partner]), o_next)["mse"]
        tick()
        row = {"k": int(k), **quality(errors, episode_N)}
        row["gain"] = psnr_difference(errors["mse"], copied, episode_N)
        row["delta_psnr"] = psnr_difference(errors["mse"], shuffled, episode_N)
        rows.append(row)
    columns = [
        Column("k", "k"),
        Column("psnr", "PSNR dB"),
        Column("gain", "gain dB"),
        Column("ssim", "SSIM", 3),
        Column("perceptual", "perceptual", 3),
        Column("delta_psnr", "ΔPSNR dB"),
    ]
    shown = used(columns, rows)
    return Table("Reconstruction by prefix length", rows, shown, index=("k",))


def copy_baseline(lam: Any, data: Data) -> dict[str, Number]:
    """`psnr`, `ssim` and `perceptual`, as `reconstruction`, of predicting that nothing changes."""
    del lam
    o_t, o_next, episode_N = kept_transitions(data)
    return quality(image_errors(o_t, o_next, data.settings.perceptual), episode_N)


def kept_transitions(data: Data) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(o_t, o_next uint8 (M, H, W, C), episode (M,)) of the transitions whose frames were kept."""
    frames = data.test["frames"]
    return frames[:, 0], frames[:, 1], data.test.episode[data.test.rows]


def psnr_difference(
    mse_N: Array,
    other_mse_N: Array,
    episode_N: Array,
) -> Number:
    """PSNR of one prediction minus that of another of the same frames, paired over episodes."""
    return intervals.over_episodes(
        {"own": mse_N, "other": other_mse_N},
        episode_N,
        lambda sums: (
            image_metrics.psnr_from_mse(sums["own"] / sums["count"])
            - image_metrics.psnr_from_mse(sums["other"] / sums["count"])
        ),
        unit="dB",
    )


def quality(errors: dict[str, np.ndarray], episode_N: Array) -> dict[str, Number]:
    """PSNR and, where they are there, the others of `image_errors`, over episodes."""
    result = {
        "psnr": intervals.over_episodes(
            {"mse": errors["mse"]},
            episode_N,
            lambda sums: image_metrics.psnr_from_mse(sums["mse"] / sums["count"]),
            unit="dB",
        )
    }
    for name, unit in (("ssim", "SSIM"), ("perceptual", "distance")):
        if name in errors:
            result[name] = intervals.over_episodes(
                {name: errors[name]},
                episode_N,
                lambda sums, name=name: sums[name] / sums["count"],
                unit=unit,
            )
    return result


RECONSTRUCTION = Evaluator("reconstruction", reconstruction, reads=("codes", "frames"))
COPY = Evaluator("copy", copy_baseline, reads=("frames",), once=True)

"""How well a prefix of k slots predicts the next frame, and whether the decoder uses the code.

Dimension keys: N transitions, K slots, D slot width, H W C image, G budgets.
"""

from collections.abc import Callable, Sequence

import jax
import numpy as np

from flexlam_jax.evaluation import image_metrics, intervals
from flexlam_jax.evaluation.probes import shuffled_rows

CHUNK = 256

_jitted_mse = jax.jit(image_metrics.mse)
_jitted_ssim = jax.jit(image_metrics.ssim)


def image_errors(prediction_NHWC, target_NHWC) -> dict[str, np.ndarray]:
    """Per-image "mse" and, if the images are large enough for its window, "ssim": (N,) float32."""
    metrics = {"mse": _jitted_mse}
    if min(target_NHWC.shape[1:3]) >= image_metrics.SSIM_WINDOW:
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
    return {name: np.concatenate(values) for name, values in parts.items()}


def reconstruct(
    lam,
    o_t,
    o_next,
    slots_NKD,
    episode_N,
    budgets: Sequence[int],
    *,
    seed: int = 0,
    tick: Callable[[], None] = lambda: None,
) -> list[dict]:
    """Reconstruction of one model at every budget.

    Args:
      lam: anything with `null_fill(codes, keep)` and `decode(o_t, codes)`.
      o_t, o_next: uint8 (N, H, W, C).
      slots_NKD: unmasked codes of these transitions.
      episode_N: episode of each, for the intervals.
      budgets: prefix lengths.
      tick: called once per decoded pass, for a progress bar.

    Returns:
      One dict per budget: `k`, `psnr`, `ssim` (absent for images under 11 px), `gain`, the PSNR
      above the copy baseline, and `delta_psnr`, the PSNR lost when every code is replaced by that
      of another transition. Both differences are paired: their two PSNRs come from the same
      resampled episodes, so that their intervals are much tighter than those of the PSNRs.
    """
    copied = image_errors(o_t, o_next)["mse"]
    partner = shuffled_rows(len(o_t), seed)
    rows = []
    for k in budgets:
        codes = lam.null_fill(slots_NKD, k)
        errors = image_errors(lam.decode(o_t, codes), o_next)
        tick()
        shuffled = image_errors(lam.decode(o_t, codes[partner]), o_next)["mse"]
        tick()
        row = {"k": int(k), **_quality(errors, episode_N)}
        row["gain"] = psnr_difference(errors["mse"], copied, episode_N)
        row["delta_psnr"] = psnr_difference(errors["mse"], shuffled, episode_N)
        rows.append(row)
    return rows


def psnr_difference(mse_N, other_mse_N, episode_N) -> dict:
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


def copy_baseline(o_t, o_next, episode_N) -> dict:
    """`psnr` and `ssim` of predicting that nothing changes."""
    return _quality(image_errors(o_t, o_next), episode_N)


def _quality(errors: dict[str, np.ndarray], episode_N) -> dict:
    result = {
        "psnr": intervals.over_episodes(
            {"mse": errors["mse"]},
            episode_N,
            lambda sums: image_metrics.psnr_from_mse(sums["mse"] / sums["count"]),
            unit="dB",
        )
    }
    if "ssim" in errors:
        result["ssim"] = intervals.over_episodes(
            {"ssim": errors["ssim"]},
            episode_N,
            lambda sums: sums["ssim"] / sums["count"],
            unit="SSIM",
        )
    return result

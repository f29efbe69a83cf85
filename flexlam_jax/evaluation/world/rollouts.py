"""How long a world stays close to the clip whose codes it is given, beside copying the last frame.

Dimension keys: N clips, T steps, H W C frame.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from flexlam_jax.evaluation import image_metrics, intervals
from flexlam_jax.evaluation.lam.reconstruction import image_errors, psnr_difference
from flexlam_jax.reports.results import Curve, Number, Series

Row = dict[str, Any]
COPY = "copying the last frame"


def horizon(
    target: np.ndarray, generated: np.ndarray, last: np.ndarray, episode: np.ndarray
) -> list[Row]:
    """A row per step t from 1.

    Args:
      target, generated: uint8 (N, T, H, W, C).      last: the frame before them, (N, H, W, C).

    Returns:
      Rows {t, psnr, copy_psnr, gain_psnr, and ssim, copy_ssim, gain_ssim where frames are large
      enough}: Numbers over episodes; gains are paired differences to copying.
    """
    rows = []
    for t in range(target.shape[1]):
        own = image_errors(generated[:, t], target[:, t])
        copied = image_errors(last, target[:, t])
        row: Row = {"t": t + 1, "psnr": _psnr(own, episode), "copy_psnr": _psnr(copied, episode)}
        row["gain_psnr"] = psnr_difference(own["mse"], copied["mse"], episode)
        if "ssim" in own:
            row["ssim"] = _mean(own["ssim"], episode)
            row["copy_ssim"] = _mean(copied["ssim"], episode)
            row["gain_ssim"] = _mean(own["ssim"] - copied["ssim"], episode)
        rows.append(row)
    return rows


def horizon_curves(rows_of: Mapping[str, list[Row]]) -> list[Curve]:
    """PSNR and, where it was measured, SSIM against t, a line per world, and copying."""
    curves = []
    for key, title, digits in (("psnr", "PSNR, dB", 2), ("ssim", "SSIM", 3)):
        lines = [
            Series(name, [(row["t"], row[key]) for row in rows])
            for name, rows in rows_of.items()
            if rows and key in rows[0]
        ]
        if lines:
            copied = [(row["t"], row[f"copy_{key}"]) for row in next(iter(rows_of.values()))]
            curves.append(
                Curve(
                    title,
                    [*lines, Series(COPY, copied)],
                    x_label="steps after the start, t",
                    y_label=title,
                    x_name="t",
                    digits=digits,
                )
            )
    return curves


def _psnr(errors: Mapping[str, np.ndarray], episode: np.ndarray) -> Number:
    return intervals.over_episodes(
        {"mse": errors["mse"]},
        episode,
        lambda sums: image_metrics.psnr_from_mse(sums["mse"] / sums["count"]),
        unit="dB",
    )


def _mean(values: np.ndarray, episode: np.ndarray) -> Number:
    return intervals.over_episodes(
        {"ssim": values}, episode, lambda sums: sums["ssim"] / sums["count"], unit="SSIM"
    )

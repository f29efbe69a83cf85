"""Image quality in float32: mean squared error, PSNR and SSIM.

Images are float arrays on the [0, 1] scale (uint8 is converted). Everything works per image, so
that the caller can average over episodes; PSNR is taken *after* averaging (see `psnr_from_mse`).
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from flexlam_jax.frames import to_float

SSIM_WINDOW = 11  # Wang et al. 2004: 11x11 Gaussian window, sigma 1.5, K1 = 0.01, K2 = 0.03
SSIM_SIGMA = 1.5
SSIM_C1 = 0.01**2
SSIM_C2 = 0.03**2


def mse(prediction_BHWC: jax.Array | np.ndarray, target_BHWC: jax.Array | np.ndarray) -> jax.Array:
    """Mean squared error of each image, (B,) float32, on the [0, 1] scale."""
    error = to_float(prediction_BHWC) - to_float(target_BHWC)
    return jnp.mean(jnp.square(error), axis=(-3, -2, -1))


def psnr_from_mse(mean_squared_error: Any) -> np.ndarray:
    """PSNR in dB for a peak of 1: -10 log10(MSE), with the MSE floored at 1e-10 (100 dB).

    Give it the MSE averaged over a whole split. Averaging per-frame PSNRs instead would let frames
    in which nothing moves (MSE near 0, PSNR unbounded) decide the copy-frame baseline.
    """
    return -10 * np.log10(np.maximum(np.asarray(mean_squared_error, np.float64), 1e-10))


@functools.lru_cache(maxsize=8)
def _window_matrix(size: int) -> np.ndarray:
    """(size - 10, size) matrix that slides the 1-D Gaussian window along a row, inside it."""
    offsets = np.arange(SSIM_WINDOW) - SSIM_WINDOW // 2
    window = np.exp(-(offsets**2) / (2 * SSIM_SIGMA**2))
    window /= window.sum()
    matrix = np.zeros((size - SSIM_WINDOW + 1, size), np.float32)
    for row in range(len(matrix)):
        matrix[row, row : row + SSIM_WINDOW] = window
    return matrix


def ssim(prediction_BHWC: jax.Array | np.ndarray, target_BHWC: jax.Array | np.ndarray) -> jax.Array:
    """Structural similarity of each image, (B,) float32.

    Wang et al. 2004, Gaussian 11x11 window (sigma 1.5), only positions where the window lies inside
    the image, population variances, mean over positions and colour channels.

    Raises:
      ValueError: an image is smaller than the window.
    """
    x, y = to_float(prediction_BHWC), to_float(target_BHWC)
    height, width = x.shape[-3:-1]
    if min(height, width) < SSIM_WINDOW:
        raise ValueError(
            f"ssim: images are {height}x{width}, smaller than its "
            f"{SSIM_WINDOW}x{SSIM_WINDOW} window; report PSNR alone"
        )
    rows, columns = _window_matrix(height), _window_matrix(width)

    def blur(image_BHWC):  # two small matrix products; on a CPU several times faster than a conv
        return jnp.einsum(
            "ih,...hwc,jw->...ijc", rows, image_BHWC, columns, precision=jax.lax.Precision.HIGHEST
        )

    mean_x, mean_y = blur(x), blur(y)
    var_x = blur(x * x) - mean_x**2
    var_y = blur(y * y) - mean_y**2
    covariance = blur(x * y) - mean_x * mean_y
    score = (
        (2 * mean_x * mean_y + SSIM_C1)
        * (2 * covariance + SSIM_C2)
        / ((mean_x**2 + mean_y**2 + SSIM_C1) * (var_x + var_y + SSIM_C2))
    )
    return jnp.mean(score, axis=(-3, -2, -1))

import numpy as np
import pytest

from flexlam_jax.evaluation import image_metrics


def reference_ssim(x, y):
    """Wang et al. 2004, written as loops over window positions."""
    offsets = np.arange(11) - 5
    window = np.exp(-(offsets[:, None] ** 2 + offsets[None] ** 2) / (2 * 1.5**2))
    window /= window.sum()
    scores = []
    for channel in range(x.shape[-1]):
        for i in range(x.shape[0] - 10):
            for j in range(x.shape[1] - 10):
                a, b = (image[i : i + 11, j : j + 11, channel] for image in (x, y))
                mean_a, mean_b = (window * a).sum(), (window * b).sum()
                var_a, var_b = (
                    (window * (a - mean_a) ** 2).sum(),
                    (window * (b - mean_b) ** 2).sum(),
                )
                both = (window * (a - mean_a) * (b - mean_b)).sum()
                scores.append(
                    (2 * mean_a * mean_b + 1e-4)
                    * (2 * both + 9e-4)
                    / ((mean_a**2 + mean_b**2 + 1e-4) * (var_a + var_b + 9e-4))
                )
    return np.mean(scores)


def test_ssim_equals_its_definition():
    rng = np.random.default_rng(0)
    x = rng.random((2, 14, 17, 3))
    y = np.clip(x + 0.2 * rng.normal(size=x.shape), 0, 1)
    expected = [reference_ssim(*pair) for pair in zip(x, y, strict=True)]
    np.testing.assert_allclose(image_metrics.ssim(x, y), expected, atol=2e-5)


def test_ssim_of_equal_images_is_one_and_reads_uint8():
    image = np.random.default_rng(0).integers(0, 256, (1, 16, 16, 3), dtype=np.uint8)
    np.testing.assert_allclose(image_metrics.ssim(image, image), 1, atol=1e-6)
    np.testing.assert_allclose(
        image_metrics.ssim(image, image.astype(np.float32) / 255), 1, atol=1e-6
    )


def test_ssim_refuses_images_below_its_window():
    with pytest.raises(ValueError, match="10x16.*11x11"):
        image_metrics.ssim(np.zeros((1, 10, 16, 3)), np.zeros((1, 10, 16, 3)))


def test_mse_is_per_image_on_the_unit_scale():
    target = np.zeros((2, 4, 4, 1), np.uint8)
    prediction = np.stack([np.full((4, 4, 1), 51, np.uint8), np.zeros((4, 4, 1), np.uint8)])
    np.testing.assert_allclose(image_metrics.mse(prediction, target), [0.04, 0], rtol=1e-6)


def test_psnr_of_known_errors():
    np.testing.assert_allclose(image_metrics.psnr_from_mse([1, 0.01, 0]), [0, 20, 100])

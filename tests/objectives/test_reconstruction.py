import jax.numpy as jnp
import numpy as np
import pytest

from flexlam_jax.objectives.code_usage import code_counts, usage_metrics
from flexlam_jax.objectives.reconstruction import l1, mse, multiscale, psnr


def pictures():
    rng = np.random.default_rng(0)
    return rng.random((2, 3, 16, 8, 3), np.float32), rng.random((2, 3, 16, 8, 3), np.float32)


def test_pixel_losses():
    a, b = pictures()
    np.testing.assert_allclose(mse(a, b).value, np.mean((a - b) ** 2), rtol=1e-5)
    np.testing.assert_allclose(l1(a, b).value, np.mean(np.abs(a - b)), rtol=1e-5)
    assert mse(a.astype(jnp.bfloat16), b).value.dtype == jnp.float32


def test_multiscale_sees_only_coarse_structure():
    a, _ = pictures()
    checker = np.indices((16, 8)).sum(0)[..., None] % 2 * 2.0 - 1.0
    assert mse(a + checker, a).value > 0.9
    np.testing.assert_allclose(multiscale(mse, a + checker, a), 0.0, atol=1e-10)
    np.testing.assert_allclose(multiscale(mse, a + 0.1, a), 0.01, rtol=1e-4)
    with pytest.raises(ValueError, match="divisible by 8"):
        multiscale(mse, a[:, :, :12], a[:, :, :12])


def test_psnr_is_averaged_over_images_and_clips():
    target = np.full((2, 4, 4, 3), 1.0, np.float32)
    prediction = target - np.array([0.1, 0.01], np.float32)[:, None, None, None]
    np.testing.assert_allclose(psnr(prediction, target).value, 30.0, rtol=1e-4)
    np.testing.assert_allclose(psnr(target + 5.0, target).value, 100.0, rtol=1e-4)
    assert np.isnan(psnr(target * np.nan, target).value)


def test_code_usage_and_perplexity():
    uniform = np.stack([np.arange(8), np.arange(8)], -1)
    collapsed = np.zeros((8, 2), np.int32)
    split = np.stack([np.zeros(8, np.int32), np.arange(8) % 2], -1)
    cases = ((uniform, 1.0, 8.0), (collapsed, 1 / 8, 1.0), (split, 2 / 8, 1.5))
    for ids, usage, perplexity in cases:
        metrics = usage_metrics(code_counts(ids, 8))
        np.testing.assert_allclose(metrics["code_usage"], usage, rtol=1e-6)
        np.testing.assert_allclose(metrics["code_perplexity"], perplexity, rtol=1e-5)

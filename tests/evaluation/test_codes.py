import numpy as np
import pytest

from flexlam_jax.evaluation import codes


def test_uniform_constant_and_half_used_slots():
    n = 400
    ids = np.stack([np.arange(n) % 4, np.zeros(n, int), np.arange(n) % 2 * 3], 1)
    rows = codes.discrete_usage(ids, 4, np.arange(n) // 20)
    assert [row["used"] for row in rows] == [4, 1, 2]
    np.testing.assert_allclose([row["entropy"].mean for row in rows], [2, 0, 1], atol=1e-6)
    np.testing.assert_allclose([row["perplexity"].mean for row in rows], [4, 1, 2], atol=1e-6)
    np.testing.assert_allclose([row["cumulative_bits"].mean for row in rows], [2, 2, 3], atol=1e-6)
    assert rows[2]["counts"] == [200, 0, 0, 200]
    assert [row["slot"] for row in rows] == [1, 2, 3]


def test_ids_of_masked_slots_are_refused():
    with pytest.raises(ValueError, match="outside 0..3; pass unmasked ids"):
        codes.discrete_usage(np.array([[4]]), 4, [0])


def test_spread_of_continuous_slots():
    slots = np.zeros((100, 2, 3))
    slots[::2, 1] = 2.0
    rows = codes.continuous_usage(slots, np.arange(100) // 10)
    np.testing.assert_allclose([row["spread"].mean for row in rows], [0, 1])

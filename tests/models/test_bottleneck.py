import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flexlam_jax.models.bottleneck import keep_settings, null_fill, sample_keep


def test_null_fill_replaces_the_suffix_per_sample():
    slots = np.arange(4 * 3 * 2, dtype=np.float32).reshape(4, 3, 2) + 1
    null = np.array([-1.0, -2.0], np.float32)
    keep = np.array([0, 1, 2, 3])
    filled = null_fill(slots, keep, null)
    for row, count in enumerate(keep):
        np.testing.assert_array_equal(filled[row, :count], slots[row, :count])
        np.testing.assert_array_equal(filled[row, count:], np.tile(null, (3 - count, 1)))


@pytest.mark.parametrize("keep", [np.ones(3, np.int32), np.ones((), np.int32), np.ones(4)])
def test_null_fill_takes_one_count_per_sample(keep):
    """Others would broadcast, and every sample would be cut by its neighbour's count."""
    with pytest.raises(AssertionError):
        null_fill(jnp.ones((4, 3, 2)), keep, jnp.zeros(2))


def test_null_fill_is_static_in_keep_and_takes_more_batch_axes():
    slots, null = jnp.ones((2, 5, 3, 2)), jnp.zeros(2)

    @jax.jit
    @chex.assert_max_traces(1)
    def fill(keep):
        return null_fill(slots, keep, null)

    keep = np.random.default_rng(0).integers(0, 4, (2, 5))
    np.testing.assert_array_equal(fill(keep).sum((-1, -2)), 2 * keep)
    np.testing.assert_array_equal(fill(3 - keep).sum((-1, -2)), 2 * (3 - keep))


def test_null_gets_the_gradient_of_the_suffix_only():
    slots = jnp.ones((2, 3, 2))
    gradient = jax.grad(lambda null: null_fill(slots, jnp.array([1, 3]), null).sum())(jnp.zeros(2))
    np.testing.assert_array_equal(gradient, [2.0, 2.0])


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"kind": "uniform"}, {k: 1 / 6 for k in range(1, 7)}),
        ({"kind": "uniform", "minimum": 0}, {k: 1 / 7 for k in range(7)}),
        ({"kind": "powers_of_two"}, {1: 0.25, 2: 0.25, 4: 0.25, 6: 0.25}),
        ({"kind": "powers_of_two", "whole": 3.0}, {1: 1 / 6, 2: 1 / 6, 4: 1 / 6, 6: 0.5}),
        ({"kind": "powers_of_two", "none": 0.2}, dict.fromkeys((0, 1, 2, 4, 6), 0.2)),
        ({"kind": "geometric", "rate": 0.5}, {k: 2.0 ** (6 - k) / 63 for k in range(1, 7)}),
        ({"kind": "fixed"}, {6: 1.0}),
        ({"kind": "fixed", "count": 2}, {2: 1.0}),
    ],
)
def test_samplers_have_their_distribution(config, expected):
    draws = np.asarray(sample_keep(jax.random.key(3), config, (20_000,), slots=6))
    assert draws.dtype == np.int32
    shares = np.bincount(draws, minlength=7) / draws.size
    # Four standard errors of the largest share.
    np.testing.assert_allclose(shares, [expected.get(k, 0.0) for k in range(7)], atol=0.0125)
    assert set(np.unique(draws)) == set(expected)


def test_keep_is_drawn_per_sample_and_from_the_key():
    first, again, other = (
        sample_keep(jax.random.key(seed), {"kind": "uniform"}, 64, slots=8) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert np.any(np.asarray(first) != np.asarray(other)) and len(np.unique(first)) > 4


def test_settings_show_their_defaults():
    assert keep_settings({"kind": "fixed"}, 5) == {"kind": "fixed", "count": 5}
    assert keep_settings({"kind": "uniform"}, 5) == {"kind": "uniform", "minimum": 1}

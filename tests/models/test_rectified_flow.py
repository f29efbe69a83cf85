"""Rectified flow where its velocity and its flow are known: data of a normal distribution.

With data N(m, s^2) and noise N(0, 1), x_t is N((1 - t) m, v_t), v_t = (1 - t)^2 s^2 + t^2, and the
flow keeps the standardised x: it takes z at time 1 to m + s z at time 0.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flexlam_jax.errors import ConfigError
from flexlam_jax.models.rectified_flow import (
    SAMPLERS,
    data_of,
    guided,
    interpolate,
    sample,
    sample_times,
    shifted,
    target,
    time_steps,
)

M, S = 1.5, 0.4
B = 6


def velocity(x, times, mean=M):
    """Mean of noise - data where a path is at x."""
    t = times[:, None, None]
    away = (x - (1 - t) * mean) / ((1 - t) ** 2 * S**2 + t**2)
    return t * away - (mean + (1 - t) * S**2 * away)


def noise():
    return np.random.default_rng(0).standard_normal((B, 2, 3)).astype(np.float32)


def error(step, steps, shift=1.0):
    end = jax.jit(lambda z: sample(velocity, z, time_steps(steps, shift), SAMPLERS[step]))(noise())
    return np.abs(end - (M + S * noise())).max()


@pytest.mark.parametrize("step, order", [("euler", 1), ("heun", 2)])
def test_samplers_follow_the_known_flow_at_their_order(step, order):
    coarse, fine = error(step, 32), error(step, 64)
    assert fine < 0.05 / order**3
    assert np.log2(coarse / fine) == pytest.approx(order, abs=0.25)
    assert error(step, 64, shift=2.0) < 0.1  # Other times, the same flow.


def test_the_target_is_the_velocity_of_the_path():
    data, times = noise()[::-1].copy(), np.linspace(0, 1, B).astype(np.float32)
    _, moved = jax.jvp(lambda t: interpolate(data, noise(), t), (times,), (np.ones_like(times),))
    np.testing.assert_allclose(moved, target(data, noise()), atol=1e-6)
    x = interpolate(data, noise(), times)
    np.testing.assert_allclose(x[0], data[0])
    np.testing.assert_allclose(x[-1], noise()[-1])
    np.testing.assert_allclose(data_of(x, target(data, noise()), times), data, atol=1e-6)


def test_the_mean_of_the_targets_is_the_velocity_that_is_followed():
    """The regression that training is: 200,000 pairs near one x at one time."""
    rng, t, x = np.random.default_rng(1), 0.6, 0.9
    data, away = M + S * rng.standard_normal(200_000), rng.standard_normal(200_000)
    near = np.abs(interpolate(data, away, np.full(200_000, t)) - x) < 0.02
    want = velocity(np.full((1, 1, 1), x), np.array([t]))[0, 0, 0]
    spread = target(data, away)[near].std() / np.sqrt(near.sum())
    assert abs(target(data, away)[near].mean() - want) < 4 * spread + 0.02


@pytest.mark.parametrize("mean, shift", [(0.0, 1.0), (0.5, 3.0)])
def test_times_are_logit_normal(mean, shift):
    times = np.asarray(sample_times(jax.random.key(0), 20_000, mean=mean, std=0.8, shift=shift))
    assert times.min() > 0 and times.max() < 1
    back = times / (shift - (shift - 1) * times)  # The inverse of `shifted`.
    logit = np.log(back / (1 - back))
    assert logit.mean() == pytest.approx(mean, abs=0.03)
    assert logit.std() == pytest.approx(0.8, abs=0.03)


def test_steps_go_from_noise_to_data_and_the_shift_keeps_the_ends():
    times = time_steps(4, 3.0)
    assert times.shape == (5,) and times[0] == 1 and times[-1] == 0 and (np.diff(times) < 0).all()
    np.testing.assert_allclose(time_steps(4), [1, 0.75, 0.5, 0.25, 0])
    assert shifted(0.5, 3.0) == 0.75
    with pytest.raises(ConfigError, match="at least one step, not 0"):
        time_steps(0)


def test_guidance_pushes_away_from_the_null():
    """Means of the data as conditions: guidance by w is between, or beyond, the two velocities."""
    condition, null = {"m": jnp.full(B, M)}, {"m": jnp.zeros(B)}
    told = lambda x, t, c: velocity(x, t, c["m"][:, None, None])
    x, times = noise(), np.full(B, 0.7, np.float32)
    one, none = told(x, times, condition), told(x, times, null)
    for scale in (0.0, 1.0, 4.0, np.linspace(0, 2, B, dtype=np.float32)):
        weight = np.reshape(scale, (-1, 1, 1))
        np.testing.assert_allclose(
            guided(told, condition, null, scale)(x, times), none + weight * (one - none), atol=1e-4
        )

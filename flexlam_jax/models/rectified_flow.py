"""Rectified flow (arXiv 2209.03003; as Stable Diffusion 3 has it, arXiv 2403.03206): straight paths
from noise to data, whose mean velocity a model learns and samplers follow.

At time t, from 0 (data) to 1 (noise), a path is at (1 - t) data + t noise, and its velocity is
noise - data. A velocity of a model is a function (x, t (B,)) -> like x; `models.mmdit` takes 1000 t.

Dimension keys: B rows, ... the rest of a sample.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from flexlam_jax.errors import ConfigError

Velocity = Callable[[jax.Array, jax.Array], jax.Array]
Step = Callable[[Velocity, jax.Array, jax.Array, jax.Array], jax.Array]


def shifted(times: Any, shift: float) -> Any:
    """Times moved towards noise, shift t / (1 + (shift - 1) t): what larger pictures need, of which
    noise hides less (arXiv 2403.03206, "resolution-dependent shifting"). 1 changes nothing."""
    return shift * times / (1 + (shift - 1) * times)


def sample_times(
    key: jax.Array, rows: int, *, mean: float = 0.0, std: float = 1.0, shift: float = 1.0
) -> jax.Array:
    """Times to train at, (B,): logit-normal (arXiv 2403.03206, section 3.1), then `shifted`.

    Args:
      mean, std: of the logit; a larger mean is more noise.
    """
    return shifted(jax.nn.sigmoid(mean + std * jax.random.normal(key, (rows,))), shift)


def interpolate(data: jax.Array, noise: jax.Array, times: jax.Array) -> jax.Array:
    """Where the paths from data to noise, both (B, ...), are at times (B,)."""
    t = _beside(times, data)
    return (1 - t) * data + t * noise


def target(data: jax.Array, noise: jax.Array) -> jax.Array:
    """The velocity of the paths, (B, ...), which the model's is regressed on."""
    return noise - data


def data_of(x: jax.Array, velocity: jax.Array, times: jax.Array) -> jax.Array:
    """The data (B, ...) that a straight path through x at times (B,) begins at: a sample in one
    step."""
    return x - _beside(times, x) * velocity


def time_steps(steps: int, shift: float = 1.0) -> np.ndarray:
    """Times of a sampler, (steps + 1,) float32, from 1 to 0.

    Raises:
      ConfigError: no step.
    """
    if steps < 1:
        raise ConfigError(f"a sampler needs at least one step, not {steps}")
    return shifted(np.linspace(1, 0, steps + 1), shift).astype(np.float32)


def sample(
    velocity: Velocity, noise: jax.Array, times: Sequence[float] | np.ndarray, step: Step
) -> jax.Array:
    """Follows the velocity from noise (B, ...) at times[0] to times[-1].

    Args:
      times: of `time_steps`; their number is static.
      step: `euler` or `heun`.

    Returns:
      (B, ...).
    """
    pairs = jnp.stack([jnp.asarray(times[:-1]), jnp.asarray(times[1:])], axis=1)

    def body(x, pair):
        start, end = jnp.broadcast_to(pair[:, None], (2, x.shape[0]))
        return step(velocity, x, start, end), None

    return jax.lax.scan(body, noise, pairs)[0]


def euler(velocity: Velocity, x: jax.Array, start: jax.Array, end: jax.Array) -> jax.Array:
    """A step of first order from times `start` to `end`, both (B,): one velocity."""
    return x + _beside(end - start, x) * velocity(x, start)


def heun(velocity: Velocity, x: jax.Array, start: jax.Array, end: jax.Array) -> jax.Array:
    """A step of second order: two velocities, of which the mean is followed."""
    first = velocity(x, start)
    second = velocity(x + _beside(end - start, x) * first, end)
    return x + _beside(end - start, x) * (first + second) / 2


SAMPLERS: dict[str, Step] = {"euler": euler, "heun": heun}


def guided(
    velocity: Callable[[jax.Array, jax.Array, Any], jax.Array],
    condition: Any,
    null: Any,
    scale: float | jax.Array,
) -> Velocity:
    """Classifier-free guidance (arXiv 2207.12598): the velocity under the condition, pushed away from
    that without.

    Args:
      velocity: (x, t, condition) -> like x.
      condition: tree of arrays (B, ...), as slots of a latent action filled by null behind the prefix.
      null: like it, what stands for no condition: the same slots with keep = 0.
      scale: 1 is the condition's own velocity, 0 that without. A number, or (B,).

    Returns:
      (x, t) -> like x; both conditions are evaluated as one batch of 2 B rows.
    """
    both = jax.tree.map(lambda one, other: jnp.concatenate([one, other]), condition, null)

    def guided_velocity(x, times):
        twice = velocity(jnp.concatenate([x, x]), jnp.concatenate([times, times]), both)
        told, untold = jnp.split(twice, 2)
        weight = _beside(scale, x) if jnp.ndim(scale) else scale
        return untold + weight * (told - untold)

    return guided_velocity


def _beside(row_values: jax.Array, x: jax.Array) -> jax.Array:
    """(B,) with as many axes as x (B, ...)."""
    return row_values.reshape(-1, *[1] * (x.ndim - 1))

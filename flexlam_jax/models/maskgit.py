"""Masked tokens (MaskGIT, arXiv 2202.04200), as Genie's dynamics has them (arXiv 2402.15391).

Training hides tokens of frames; sampling sets all tokens of one frame in a few steps, those first of
which the model is surest, or one by one in raster order.

Dimension keys: B rows, T frames, N tokens of a frame, V codes, S steps.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from flexlam_jax.errors import UserError

MOST_STEPS = 25  # What Genie samples with.


def hidden_after(tokens: int, steps: int) -> tuple[int, ...]:
    """How many tokens of a frame are still hidden after each step, the cosine schedule.

    After step s of S that is floor(N cos(pi/2 s/S)), but every step sets one token at least: with
    more steps than tokens, the last ones are left out. The last entry is 0.

    Raises:
      UserError: `steps` outside 1..MOST_STEPS.
    """
    if not 1 <= steps <= MOST_STEPS:
        raise UserError(f"steps={steps}: a frame is sampled in 1 to {MOST_STEPS} steps")
    counts, left = [], tokens
    for step in range(1, steps + 1):
        cosine = math.floor(tokens * math.cos(0.5 * math.pi * step / steps))
        left = max(0, min(cosine, left - 1)) if step < steps else 0
        counts.append(left)
        if not left:
            break
    return tuple(counts)


def training_mask(
    key: jax.Array, shape: tuple[int, int, int], least: float = 0.5, most: float = 1.0
) -> jax.Array:
    """Which tokens are hidden in training, bool (B, T, N): each with the probability of its row,
    which is uniform in least..most (Genie, section 2); the first frame is always shown."""
    rates, tokens = jax.random.split(key)
    rate = jax.random.uniform(rates, (shape[0], 1, 1), minval=least, maxval=most)
    return (jax.random.uniform(tokens, shape) < rate).at[:, 0].set(False)


def sample_frame(
    logits_of: Callable[[jax.Array, jax.Array], jax.Array],
    keys: jax.Array,
    tokens: int,
    steps: int,
    temperature: jax.Array | float,
) -> jax.Array:
    """Draws one frame of each row.

    Every step draws all hidden tokens and keeps those of the highest confidence: the log probability
    of what was drawn, plus Gumbel noise by the temperature and the share of steps that are left.

    Args:
      logits_of: (ids int32 (B, N), hidden bool (B, N)) -> (B, N, V), of frames whose ids count where
        they are not hidden.
      keys: (B,), one for each row: what a row draws depends on no other.
      tokens: N.
      steps: S, static.
      temperature: tokens are drawn from softmax(logits / temperature); 0 takes the likeliest ones,
        and nothing is random.

    Returns:
      ids int32 (B, N).

    Raises:
      UserError: as `hidden_after`.
    """
    counts = hidden_after(tokens, steps)
    rows = keys.shape[0]

    def step(state: tuple[jax.Array, jax.Array], told: tuple) -> tuple[tuple, None]:
        (ids, hidden), (number, count, left) = state, told
        logits = logits_of(ids, hidden).astype(jnp.float32)
        noise, doubt = _gumbel(keys, number, logits.shape[1:])
        drawn = jnp.argmax(logits + temperature * noise, axis=-1).astype(jnp.int32)
        sure = jnp.take_along_axis(jax.nn.log_softmax(logits), drawn[..., None], axis=-1)[..., 0]
        sure = jnp.where(hidden, sure + temperature * left * doubt, jnp.inf)
        rank = jnp.argsort(jnp.argsort(sure, axis=-1), axis=-1)  # 0 is the least sure.
        return (jnp.where(hidden, drawn, ids), rank < count), None

    first = jnp.zeros((rows, tokens), jnp.int32), jnp.ones((rows, tokens), bool)
    left = 1 - np.arange(1, len(counts) + 1, dtype=np.float32) / len(counts)
    told = jnp.arange(len(counts)), jnp.asarray(counts, jnp.int32), jnp.asarray(left)
    (ids, _), _ = jax.lax.scan(step, first, told)
    return ids


def sample_raster(
    logits_of: Callable[[jax.Array, jax.Array], jax.Array],
    keys: jax.Array,
    tokens: int,
    temperature: jax.Array | float,
) -> jax.Array:
    """Draws one frame of each row token by token; `sample_frame` says what the rest is. Of the logits
    of a step those of the first hidden token count."""
    rows = keys.shape[0]

    def step(ids: jax.Array, place: jax.Array) -> tuple[jax.Array, None]:
        hidden = jnp.broadcast_to(jnp.arange(tokens) >= place, ids.shape)
        logits = logits_of(ids, hidden).astype(jnp.float32)[:, place]
        noise, _ = _gumbel(keys, place, logits.shape[1:])
        drawn = jnp.argmax(logits + temperature * noise, axis=-1)
        return ids.at[:, place].set(drawn.astype(jnp.int32)), None

    return jax.lax.scan(step, jnp.zeros((rows, tokens), jnp.int32), jnp.arange(tokens))[0]


def _gumbel(
    keys: jax.Array, number: jax.Array, shape: tuple[int, ...]
) -> tuple[jax.Array, jax.Array]:
    """Noise of step `number` for each row: of logits (B, N, V), of confidences (B, N)."""

    def of_row(key: jax.Array) -> tuple[jax.Array, jax.Array]:
        one, other = jax.random.split(jax.random.fold_in(key, number))
        return jax.random.gumbel(one, shape), jax.random.gumbel(other, shape[:1])

    return jax.vmap(of_row)(keys)

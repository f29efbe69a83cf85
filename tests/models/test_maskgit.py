"""Masked tokens: what training hides, and that sampling sets every token by the schedule."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flexlam_jax.errors import UserError
from flexlam_jax.models.maskgit import MOST_STEPS, hidden_after, sample_frame, training_mask

N, V = 12, 7


def test_the_schedule_is_a_cosine_that_ends_with_every_token():
    assert hidden_after(64, 4) == (59, 45, 24, 0)
    assert hidden_after(64, 1) == (0,)
    for tokens in (1, 3, 16, 300):
        for steps in range(1, MOST_STEPS + 1):
            counts = hidden_after(tokens, steps)
            assert counts[-1] == 0 and len(counts) <= steps
            assert (np.diff([tokens, *counts]) < 0).all()
    for steps in (0, MOST_STEPS + 1):
        with pytest.raises(UserError, match=f"steps={steps}: a frame is sampled in 1 to 25 steps"):
            hidden_after(16, steps)


def test_training_hides_half_of_the_tokens_or_more_and_never_the_first_frame():
    mask = np.asarray(training_mask(jax.random.key(0), (400, 5, 64)))
    assert not mask[:, 0].any()
    rates = mask[:, 1:].mean((1, 2))
    assert rates.min() > 0.4 and abs(rates.mean() - 0.75) < 0.02
    np.testing.assert_allclose(np.quantile(rates, [0.25, 0.75]), [0.625, 0.875], atol=0.04)
    np.testing.assert_array_equal(training_mask(jax.random.key(0), (400, 5, 64)), mask)
    assert training_mask(jax.random.key(0), (2, 3, 64), 1.0, 1.0)[:, 1:].all()


def logits_with(record):
    """A model whose token n is surest where n is large, and which is told what others are set."""
    wanted = jnp.arange(N) % V

    def logits_of(ids, hidden):
        jax.debug.callback(lambda *told: record.append(told), ids, hidden, ordered=True)
        sure = 1.0 + jnp.arange(N, dtype=jnp.float32)
        return jax.nn.one_hot(wanted, V) * sure[:, None] + jnp.zeros((len(ids), 1, 1))

    return logits_of, np.asarray(wanted)


def test_without_temperature_the_surest_tokens_come_first_and_none_is_random():
    record = []
    logits_of, wanted = logits_with(record)
    keys = jax.random.split(jax.random.key(0), 2)
    ids = jax.jit(lambda keys: sample_frame(logits_of, keys, N, 4, 0.0))(keys)
    jax.effects_barrier()
    np.testing.assert_array_equal(ids, np.broadcast_to(wanted, (2, N)))
    counts = (N, *hidden_after(N, 4))
    assert len(record) == 4
    for (held, hidden), count in zip(record, counts, strict=False):
        np.testing.assert_array_equal(hidden, np.broadcast_to(np.arange(N) < count, (2, N)))
        np.testing.assert_array_equal(held[~hidden], ids[~hidden])  # What is set stays.


def test_draws_are_those_of_softmax_by_the_temperature_and_of_the_row_alone():
    probability = np.array([0.6, 0.3, 0.1], np.float32)

    @jax.jit
    def draw(keys, temperature):
        logits_of = lambda ids, hidden: jnp.broadcast_to(jnp.log(probability), (*ids.shape, 3))
        return sample_frame(logits_of, keys, 400, 1, temperature)  # Later steps prefer the likely.

    keys = jax.random.split(jax.random.key(1), 4)
    ids = np.asarray(draw(keys, 1.0))
    np.testing.assert_allclose(np.bincount(ids.reshape(-1)) / ids.size, probability, atol=0.04)
    hot = probability**0.5 / (probability**0.5).sum()
    found = np.asarray(draw(keys, 2.0)).reshape(-1)
    np.testing.assert_allclose(np.bincount(found) / found.size, hot, atol=0.04)
    assert not np.asarray(draw(keys, 0.0)).any()
    np.testing.assert_array_equal(draw(keys, 1.0), ids)
    other = np.asarray(draw(keys[jnp.array([2, 0, 0, 0])], 1.0))
    np.testing.assert_array_equal(other[:2], ids[[2, 0]])
    assert (ids[0] != ids[1]).any()

"""The update as a pure function: accumulation, EMA, extra collections, donation, NaN."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flexlam_jax.errors import ConfigError
from flexlam_jax.training.optimizer import make_optimizer, make_schedule
from flexlam_jax.training.state import create_state
from flexlam_jax.training.step import make_train_step
from tests.training import toy


def build(accumulate=1, ema_decay=0.0, objective=None, **kinds):
    config = toy.config()
    objective = objective or toy.objective(**kinds)
    schedule = make_schedule(config.optimizer, config.total_steps)
    optimizer = make_optimizer(config.optimizer, schedule)
    batch = jax.tree.map(jnp.asarray, next(toy.Rows()))
    state = create_state(objective, optimizer, batch, seed=0, ema=ema_decay > 0)
    step = make_train_step(
        objective, optimizer, schedule, seed=0, accumulate=accumulate, ema_decay=ema_decay
    )
    return step, state, batch


@pytest.mark.parametrize("accumulate", [2, 4])
def test_accumulation_equals_the_big_batch(accumulate):
    whole, state, batch = build()
    parts, _, _ = build(accumulate)
    (a, metrics_a), (b, metrics_b) = jax.jit(whole)(state, batch), jax.jit(parts)(state, batch)
    (a, _), (b, _) = jax.jit(whole)(a, batch), jax.jit(parts)(b, batch)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=2e-5, atol=1e-6), a, b)
    for name in ("loss", "mae", "grad_norm", "batch"):
        np.testing.assert_allclose(metrics_a[name], metrics_b[name], rtol=1e-5)


def test_masked_terms_are_those_of_the_whole_batch_however_it_is_cut():
    """Rows 0, 1 and 2 count: parts of the batch hold two, one or none of them."""
    steps = [build(accumulate, objective=toy.masked()) for accumulate in (1, 2, 4)]
    (whole, metrics), *others = (jax.jit(step)(state, batch) for step, state, batch in steps)
    assert metrics["grad_norm"] > 0.1
    for state, parts in others:
        for name in ("loss", "error", "t", "grad_norm"):
            np.testing.assert_allclose(parts[name], metrics[name], rtol=1e-5)
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7),
            state.opt_state,
            whole.opt_state,
        )


def test_heads_are_trained_with_the_model():
    step, state, batch = build(objective=toy.masked())
    after, _ = jax.jit(step)(state, batch)
    after, _ = jax.jit(step)(after, batch)  # The first rate of the warm-up is 0.
    assert (after.params["heads"]["t"] != state.params["heads"]["t"]).all()


def test_a_detached_head_is_trained_and_the_model_never_feels_it():
    """Its gradient is long enough to shorten that of the model, were they clipped as one."""
    steps = [
        build(objective=toy.masked(**kind)) for kind in ({"detached": True}, {"coefficient": 0.0})
    ]
    states, metrics = [], []
    for step, state, batch in steps:
        for _ in range(3):
            state, told = jax.jit(step)(state, batch)
        states.append(state), metrics.append(told)
    (with_head, without), (told, expected) = states, metrics
    assert (with_head.params["w"] == without.params["w"]).all()
    assert (with_head.params["detached_heads"]["t"] != 1).all()
    assert expected["grad_norm"] > 1 and told["t"] > 1
    assert told["loss"] == expected["loss"] and told["grad_norm"] == expected["grad_norm"]


def test_a_term_that_cannot_be_split_is_not():
    objective = toy.masked(splittable=False)
    build(objective=objective)
    with pytest.raises(ConfigError, match="accumulate=2 .* the loss term t .*accumulate=1"):
        build(2, objective=objective)


def test_accumulation_threads_the_extra_collection_through():
    step, state, batch = build(accumulate=4, count_updates=True)
    state, _ = jax.jit(step)(state, batch)
    assert state.extra["counter"]["n"] == 4 and state.step == 1


def test_ema_follows_its_formula():
    step, state, batch = build(ema_decay=0.15)
    expected = state.params["mlp"]["down"]["kernel"]
    for number in range(3):
        state, _ = jax.jit(step)(state, batch)
        decay = min(0.15, (1 + number) / (10 + number))
        assert decay == (0.1 if number == 0 else 0.15)
        expected = decay * expected + (1 - decay) * state.params["mlp"]["down"]["kernel"]
    np.testing.assert_allclose(state.ema["mlp"]["down"]["kernel"], expected, rtol=1e-6)
    assert state.variables["params"] is state.ema


def test_state_is_donated():
    step, state, batch = build(ema_decay=0.9)
    donating = jax.jit(step, donate_argnums=0)
    donating(state, batch)
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(state))


def test_random_stream_depends_on_the_step_alone():
    step, state, batch = build(noise=0.5)
    jitted = jax.jit(step)
    first, again, later = (
        jitted(s, batch)[1]["loss"] for s in (state, state, state.replace(step=state.step + 1))
    )
    assert first == again != later


def test_not_finite_is_flagged():
    step, state, batch = build()
    assert jax.jit(step)(state, batch)[1]["finite"]
    for value in (np.nan, np.inf, 1e30):  # The loss overflows, or only its gradient does.
        bad = dict(batch, y=batch["y"].at[3].set(value))
        assert not jax.jit(step)(state, bad)[1]["finite"]


def test_batch_fingerprint_tells_rows_and_their_order():
    step, state, batch = build()
    jitted = jax.jit(step)
    swapped = {name: x[jnp.array([1, 0, *range(2, 8)])] for name, x in batch.items()}
    other = dict(batch, t=batch["t"].at[0].add(1))
    values = {int(jitted(state, b)[1]["batch"]) for b in (batch, swapped, other)}
    assert len(values) == 3

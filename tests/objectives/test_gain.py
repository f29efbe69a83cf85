"""The head that predicts the error of every prefix, and the model that never feels it."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from flexlam_jax.checkpoints.subtrees import subtree
from flexlam_jax.models.gain_head import PATH, GainHead, least_budget, shortfall
from flexlam_jax.models.lam import build_lam
from flexlam_jax.objectives.gain import PAIRED, _squared, transition_errors
from flexlam_jax.objectives.lam import LamResult, lam_objective
from flexlam_jax.training.optimizer import make_optimizer, make_schedule
from flexlam_jax.training.state import create_state
from flexlam_jax.training.step import make_train_step
from tests.models.tiny_lam import random_frames, tiny_config
from tests.training import toy

BATCH = {"frames": random_frames((4, 3, 16, 16, 3))}


def trained(prefixes, gain, steps=3):
    """(parameters, metrics) after some updates that clipping shortens."""
    model_config = tiny_config(prefixes=prefixes)
    objective = lam_objective(build_lam(model_config), model_config, {"gain": gain}, clip_length=3)
    config = toy.config(optimizer__clip_norm=1e-3, optimizer__warmup_steps=1)
    schedule = make_schedule(config.optimizer, 12)
    optimizer = make_optimizer(config.optimizer, schedule)
    state = jax.jit(lambda: create_state(objective, optimizer, BATCH, seed=0, ema=False))()
    step = jax.jit(make_train_step(objective, optimizer, schedule, seed=0))
    for _ in range(steps):
        state, metrics = step(state, BATCH)
    return state.params, metrics


@pytest.mark.parametrize("prefixes", [1, 2])
def test_the_model_is_trained_as_without_the_head(prefixes):
    (plain, expected), (params, metrics) = (trained(prefixes, gain) for gain in (False, True))
    head = subtree(params, PATH)
    rest = {name: part for name, part in params.items() if name != PATH.partition("/")[0]}
    assert head is not None and jax.tree.structure(rest) == jax.tree.structure(plain)
    jax.tree.map(np.testing.assert_array_equal, rest, plain)
    assert metrics.pop("gain") > 0
    assert {name: float(x) for name, x in metrics.items()} == {
        name: float(x) for name, x in expected.items()
    }


def test_errors_are_those_of_each_prediction_and_its_prefix():
    prediction = jnp.zeros((2, 1, 2, 4, 4, 3)).at[1, 0, 1].set(3.0)  # Clipped to 1.
    keep = jnp.arange(4).reshape(2, 1, 2)
    target = jnp.full(prediction.shape, 0.5)
    output = LamResult(output=_Output(prediction), keep=keep, target=target)
    error, kept = transition_errors(output)
    np.testing.assert_allclose(error, np.full((2, 1, 2), 0.25), rtol=1e-6)
    assert kept.shape == error.shape


def test_differences_between_prefixes_of_one_code_count_more_than_what_they_share():
    shared, apart = jnp.full((1, 1, 2), 0.3), jnp.array([[[0.3, -0.3]]])
    np.testing.assert_allclose(_squared(shared), [[0.09]], rtol=1e-6)
    np.testing.assert_allclose(_squared(apart), [[PAIRED * 0.09]], rtol=1e-6)
    np.testing.assert_allclose(_squared(shared[..., 0]), [[0.09]], rtol=1e-6)


class _Output:
    def __init__(self, prediction):
        self.prediction = prediction


def test_the_prediction_never_rises_with_the_prefix_and_differs_by_slots():
    slots = np.random.default_rng(0).normal(size=(5, 4, 2)).astype(np.float32)
    frames = random_frames((2, 5, 20, 12, 3))  # Sizes that 8 does not divide.
    head = GainHead()
    params = head.init(jax.random.key(0), slots, *frames)
    log_mse = head.apply(params, slots, *frames)
    assert log_mse.shape == (5, 5) and (np.diff(log_mse) < 0).all()
    other = head.apply(params, slots + 1, *frames)
    assert (shortfall(other)[:, 0] != shortfall(log_mse)[:, 0]).all()
    assert np.isfinite(head.apply(params, slots, frames[0], frames[0])).all()  # Still pictures.


def test_the_head_learns_where_slots_are_needed_from_one_random_prefix_each():
    """The first of three slots does all for half of the transitions, one prefix of each is seen."""
    rng = np.random.default_rng(0)
    needy = rng.integers(0, 2, 256)
    slots = np.stack([2.0 * needy - 1, rng.normal(size=256), rng.normal(size=256)], 1)[..., None]
    slots = jnp.asarray(slots, jnp.float32)
    frames = jnp.stack([jnp.full((256, 8, 8, 1), x) for x in (0.4, 0.53)])  # Copying: e^-4.1.
    log_mse = np.where(needy[:, None], [-4.0, -4.5, -4.5, -5.0], [-4.0, -5.0, -5.0, -5.0])
    head, adam = GainHead(), optax.adam(3e-3)

    def loss(params, key):
        keep = jax.random.randint(key, (256,), 0, 4)
        guess = head.apply(params, slots, *frames)
        return jnp.mean(jnp.sum((guess - log_mse) * jax.nn.one_hot(keep, 4), -1) ** 2)

    @jax.jit
    def fit(params):
        def step(i, carry):
            grads = jax.grad(loss)(carry[0], jax.random.key(i))
            updates, state = adam.update(grads, carry[1])
            return optax.apply_updates(carry[0], updates), state

        return jax.lax.fori_loop(0, 400, step, (params, adam.init(params)))[0]

    params = fit(head.init(jax.random.key(0), slots, *frames))
    lacking = np.asarray(shortfall(head.apply(params, slots, *frames)))
    chosen = least_budget(lacking, (0, 1, 2, 3), 1.0)
    assert (chosen == np.where(needy, 3, 1)).mean() > 0.97


@pytest.mark.parametrize("array", [np.asarray, jnp.asarray])
def test_the_least_budget_within_the_tolerance(array):
    lacking = array([[3.0, 0.2, 0.1, 0.0], [0.1, 0.3, 0.1, 0.0], [9.0, 8.0, 7.0, 0.0]])
    chosen = least_budget(lacking, (1, 2, 4, 8), 0.2)
    assert chosen.tolist() == [2, 1, 8] and chosen.dtype == np.int32
    assert least_budget(lacking, (1, 2, 4, 8), 0.0).tolist() == [8, 8, 8]
    lacks = shortfall(array(np.log([[4e-3, 2e-3, 1e-3]])))
    np.testing.assert_allclose(lacks, [[6.0206, 3.0103, 0.0]], atol=1e-4)

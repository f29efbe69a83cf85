"""The loss and metrics of behaviour cloning, against formulas; and that it learns from motion.

Clips of five frames: two decisions, each from three frames.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from flexlam_jax.errors import ConfigError
from flexlam_jax.models.behaviour_cloning import build_behaviour_cloning
from flexlam_jax.objectives.behaviour_cloning import behaviour_cloning_objective
from tests.models.test_behaviour_cloning import TINY

KEY = jax.random.key(0)


def objective_of(clip_length=5, **change):
    config = {**TINY, **change}
    return behaviour_cloning_objective(
        build_behaviour_cloning(config), config, clip_length=clip_length
    )


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (6, 5, 16, 16, 3), np.uint8)
    return {"frames": frames, "action": rng.integers(0, 3, (6, 4), np.int32)}


def outcome_of(objective, batch, **change):
    params = jax.jit(objective.init)(KEY, batch)["params"]
    outputs = build_behaviour_cloning({**TINY, **change}).apply(
        {"params": params}, batch["frames"][:, :-1]
    )
    return np.asarray(outputs)[:, 2:], objective.values(objective.outcome(params, {}, batch, KEY))


def test_discrete_actions(batch):
    logits, values = outcome_of(objective_of(), batch)
    odds = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    taken = batch["action"][:, 2:]
    chosen = np.take_along_axis(odds, taken[..., None], -1)
    np.testing.assert_allclose(values["cross_entropy"], -np.log(chosen).mean(), rtol=1e-5)
    assert values["loss"] == values["cross_entropy"]
    np.testing.assert_allclose(values["accuracy"], (logits.argmax(-1) == taken).mean())
    np.testing.assert_allclose(values["majority_accuracy"], np.bincount(taken.ravel()).max() / 12)


def test_continuous_actions(batch):
    action = np.random.default_rng(1).normal(2, 3, (6, 4, 2)).astype(np.float32)
    names = {"discrete": False, "action_names": ("x", "y")}
    outputs, values = outcome_of(objective_of(**names), {**batch, "action": action}, **names)
    taken = action[:, 2:]
    np.testing.assert_allclose(values["squared_error"], ((outputs - taken) ** 2).mean(), rtol=1e-5)
    assert values["loss"] == values["squared_error"]
    np.testing.assert_allclose(values["constant_error"], taken.var((0, 1)).mean(), rtol=1e-4)


def test_the_action_that_shows_only_in_the_motion_before_it_is_learned():
    """The action repeats the one before, which moved a bar; one frame alone says nothing."""
    rng = np.random.default_rng(0)
    direction, start = rng.integers(0, 2, 64), rng.integers(0, 16, 64)
    frames = np.zeros((64, 5, 16, 16, 3), np.uint8)
    for row, (way, first) in enumerate(zip(direction, start, strict=True)):
        for t in range(5):
            frames[row, t, :, (first + t * (4 * way - 2)) % 16] = 255
    batch = {"frames": frames, "action": np.repeat(direction[:, None], 4, 1).astype(np.int32)}
    objective, adam = objective_of(), optax.adam(1e-2)
    params = jax.jit(objective.init)(KEY, batch)["params"]

    @jax.jit
    def step(params, state):
        def loss(params):
            outcome = objective.outcome(params, {}, batch, KEY)
            return objective.loss(outcome.terms), outcome

        (_, outcome), gradient = jax.value_and_grad(loss, has_aux=True)(params)
        change, state = adam.update(gradient, state)
        return optax.apply_updates(params, change), state, objective.values(outcome)["accuracy"]

    state = adam.init(params)
    for _ in range(60):
        params, state, accuracy = step(params, state)
    assert accuracy > 0.9


def test_clips_without_a_decision():
    with pytest.raises(ConfigError, match="clip_length=3 is too short .* 3 frames .* give 4 or"):
        objective_of(clip_length=3)


def test_frames_of_other_channels(batch):
    with pytest.raises(ConfigError, match="model.channels=1 but the data has frames of 3"):
        jax.eval_shape(objective_of(channels=1).init, KEY, jax.tree.map(jnp.asarray, batch))

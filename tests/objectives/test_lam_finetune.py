"""The action loss of fine-tuning: what it reaches, and what it leaves alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flexlam_jax.errors import ConfigError
from flexlam_jax.models.lam import build_lam
from flexlam_jax.objectives.lam import lam_objective
from flexlam_jax.objectives.lam_finetune import finetune_objective
from tests.untrained import MODEL, SIZE

CONFIG = MODEL | {"keep": {"kind": "fixed", "count": 1}}


def objective_with(**translator):
    model = build_lam(CONFIG)
    return finetune_objective(
        lam_objective(model, CONFIG), model, CONFIG, {"outputs": 4, "hidden": 8} | translator
    )


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(0)

    def frames(rows):
        return jnp.asarray(rng.integers(0, 256, (rows, 2, SIZE, SIZE, 3), dtype=np.uint8))

    action = jnp.asarray(rng.integers(0, 4, (6, 1)), jnp.int32)
    return {"video": {"frames": frames(4)}, "labelled": {"frames": frames(6), "action": action}}


@pytest.fixture(scope="module")
def params(batch):
    params = jax.jit(objective_with().init)(jax.random.key(0), batch)["params"]
    # The output layer starts near zero, and with it every gradient behind it.
    params["heads"]["action"]["out"]["kernel"] += 0.1
    return params


@pytest.fixture(scope="module")
def gradients(batch, params):
    """Of the action loss and of the reconstruction."""
    objective = objective_with()

    def terms(params):
        found = objective.outcome(params, {}, batch, jax.random.key(1)).terms
        return jnp.stack([found["action"].value, found["reconstruction"].value])

    jacobian = jax.jit(jax.jacrev(terms))(params)
    return [jax.tree.map(lambda leaf, i=i: np.asarray(leaf[i]), jacobian) for i in range(2)]


def size(tree):
    return sum(float(np.abs(leaf).sum()) for leaf in jax.tree.leaves(tree))


def test_the_action_loss_reaches_encoder_null_and_translator_and_not_the_decoder(gradients):
    action, _ = gradients
    assert size(action["lam"]["encoder"]) > 0 and size(action["lam"]["null"]) > 0
    assert size(action["heads"]) > 0
    assert size(action["lam"]["decoder"]) == 0


def test_video_trains_the_model_and_not_the_translator(gradients):
    _, reconstruction = gradients
    assert size(reconstruction["lam"]["decoder"]) > 0 and size(reconstruction["heads"]) == 0


def test_the_action_reaches_the_encoder_through_the_kept_prefix_alone(batch, params):
    config = MODEL | {"keep": {"kind": "fixed", "count": 0}}
    model = build_lam(config)
    objective = finetune_objective(
        lam_objective(model, config), model, config, {"outputs": 4, "hidden": 8}
    )

    def action(params):
        return objective.outcome(params, {}, batch, jax.random.key(1)).terms["action"].value

    gradient = jax.jit(jax.grad(action))(params)["lam"]
    assert size(gradient["encoder"]) == 0 and size(gradient["null"]) > 0


def test_the_loss_is_that_of_the_model_and_a_share_of_the_action(batch, params):
    objective, alone = objective_with(coefficient=0.5), lam_objective(build_lam(CONFIG), CONFIG)

    @jax.jit
    def both(params):
        key = jax.random.key(1)
        together = objective.outcome(params, {}, batch, key)
        return objective.values(together), alone.values(
            alone.outcome(params["lam"], {}, batch["video"], key)
        )

    values, video = both(params)
    np.testing.assert_allclose(values["loss"], video["loss"] + 0.5 * values["action"], rtol=1e-5)
    assert 0 <= values["action_accuracy"] <= 1
    np.testing.assert_allclose(values["psnr"], video["psnr"], rtol=1e-6)


def test_continuous_actions_are_learned_by_squared_error(batch):
    objective = objective_with(outputs=2, discrete=False)
    action = jnp.ones((6, 1, 2))
    batch = {**batch, "labelled": {**batch["labelled"], "action": action}}

    @jax.jit
    def of_zeros(key):
        params = objective.init(key, batch)["params"]
        params["heads"]["action"] = jax.tree.map(jnp.zeros_like, params["heads"]["action"])
        return objective.outcome(params, {}, batch, key)

    outcome = of_zeros(jax.random.key(0))
    assert outcome.terms["action"].value == 1 and "action_accuracy" not in outcome.metrics


def test_a_translator_needs_its_outputs():
    with pytest.raises(ConfigError, match="translator.outputs"):
        objective_with(outputs=None)

"""Features of the next frame as targets: which space, who trains it, and that it does not collapse."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flexlam_jax.errors import ConfigError
from flexlam_jax.models.heads import HEAD_STATE, HEADS
from flexlam_jax.objectives.lam import LossSettings
from flexlam_jax.objectives.remedies.features import feature_terms
from tests.objectives.remedies.linear_lam import batch_of, built, size, slots_reached, term

EMA = {"feature": 1.0, "feature_width": 4, "feature_decay": 0.75}


def reached(gradient):
    head = gradient[HEADS]["feature"]
    return {
        "encoder": size(gradient["encoder"]) > 0,
        "decoder": size(gradient["decoder"]) > 0,
        "features": size(head.get("encoder", {})) > 0,
        "predictor": size(head["predictor"]) > 0,
    }


def moved(params):
    """The predictor begins without a change, and so without a gradient to what it reads."""
    change = params[HEADS]["feature"]["predictor"]["change"]
    change["kernel"] = change["kernel"] + 0.3
    return params


@pytest.mark.parametrize("prefixes", [1, 2])
def test_ema_targets_train_the_code_and_the_space_and_no_pixels(prefixes):
    batch = batch_of(length=3)
    objective, params, extra = built(EMA, length=3, config={"prefixes": prefixes})
    params = moved(params)
    gradient = jax.jit(jax.grad(term(objective, extra, batch, "feature")))(params)
    assert reached(gradient) == {
        "encoder": True,
        "decoder": False,
        "features": True,
        "predictor": True,
    }


def test_targets_are_the_average_and_have_no_gradient():
    batch = batch_of()
    objective, params, extra = built(EMA)
    still = extra[HEAD_STATE][HEADS]["feature"]
    jax.tree.map(np.testing.assert_array_equal, still, params[HEADS]["feature"]["encoder"])
    own = jax.tree.map(lambda x: x + 1.0, params[HEADS]["feature"]["encoder"])
    params[HEADS]["feature"]["encoder"] = own
    found = jax.jit(objective.outcome)(params, extra, batch, jax.random.key(1))
    after = found.extra[HEAD_STATE][HEADS]["feature"]
    for old, new, average in zip(*map(jax.tree.leaves, (still, own, after)), strict=True):
        np.testing.assert_allclose(average, 0.75 * old + 0.25 * new, rtol=1e-6)
    value = jax.jit(lambda extra: term(objective, extra, batch, "feature")(params))
    assert value(jax.tree.map(lambda x: 2 * x, extra)) != value(extra)


def test_equal_features_cost_and_are_told():
    batch = batch_of(rows=16)
    objective, params, extra = built(EMA | {"feature_variance": 2.0})
    assert objective.coefficients["feature_variance"] == 2.0
    assert objective.unsplittable == ("feature_variance",)
    outcome = jax.jit(objective.outcome)

    def found(scale):
        encoder = jax.tree.map(lambda x: scale * x, params[HEADS]["feature"]["encoder"])
        given = {**params, HEADS: {"feature": params[HEADS]["feature"] | {"encoder": encoder}}}
        state = {HEAD_STATE: {HEADS: {"feature": encoder}}}
        return objective.values(outcome(given, state, batch, jax.random.key(1)))

    equal, apart = found(0.0), found(1.0)
    assert equal["feature_std"] == 0 and equal["feature_variance"] > 0.98
    assert apart["feature_std"] > 0 and apart["feature_variance"] < equal["feature_variance"]
    assert equal["feature"] == 0  # Which is why collapse must cost.
    without = built(EMA | {"feature_variance": 0.0})[0]
    assert not without.unsplittable and "feature_variance" not in without.coefficients


def test_micro_batches_add_up_without_the_hinge():
    batch = batch_of()
    objective, params, extra = built(
        EMA | {"feature_variance": 0.0}, config={"keep": {"kind": "fixed"}}
    )
    params, key, outcome = moved(params), jax.random.key(1), jax.jit(objective.outcome)
    parts = [
        outcome(params, extra, jax.tree.map(lambda x, i=i: x[i::2], batch), key).replace(extra=None)
        for i in (0, 1)
    ]
    values = objective.values(jax.tree.map(jnp.add, *parts))
    for name, value in objective.values(outcome(params, extra, batch, key)).items():
        np.testing.assert_allclose(values[name], value, rtol=1e-4, err_msg=name)


def test_supplied_features_are_predicted_where_there_are_some():
    batch = batch_of(length=3) | {"state": jax.random.normal(jax.random.key(5), (4, 3, 2, 3))}
    loss = {"feature": 0.5, "feature_space": "state"}
    objective, params, extra = built(loss, length=3, batch=batch)
    assert objective.coefficients["feature"] == 0.5 and extra == {}
    # It begins by predicting no change.
    change = np.square(np.diff(np.asarray(batch["state"]), axis=1)).mean((1, 2, 3))
    value = jax.jit(lambda batch: term(objective, extra, batch, "feature")(params))
    np.testing.assert_allclose(value(batch), change.mean(), rtol=1e-5)
    has = jnp.array([True, False, True, False])
    np.testing.assert_allclose(value(batch | {"has_state": has}), change[[0, 2]].mean(), rtol=1e-5)
    assert np.any(slots_reached(objective, moved(params), extra, batch, "feature"))


def test_first_slots_hear_features_where_own_pixels_are_stopped():
    batch = batch_of()
    objective, params, extra = built(
        EMA | {"own": "stopped", "own_slots": 1}, config={"keep": {"kind": "fixed"}}
    )
    params = moved(params)
    reached = slots_reached(objective, params, extra, batch, "feature", "reconstruction")
    assert reached == [[True, True, True], [False, True, True]]


def test_columns_that_are_no_features_are_refused():
    loss, batch = {"feature": 1.0, "feature_space": "dino"}, batch_of()
    with pytest.raises(ConfigError, match="config.data.sidecars.dino=FOLDER"):
        built(loss, batch=batch)
    with pytest.raises(ConfigError, match="a row of numbers for every frame"):
        built(loss, batch=batch | {"dino": jnp.zeros((4, 1, 3))})


def test_off_by_default():
    assert feature_terms(LossSettings()) == []

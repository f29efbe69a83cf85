"""Trained models reach their closed forms: the key points of experiments.linear_lam."""

import numpy as np
import pytest

from flexlam_jax.errors import ConfigError
from flexlam_jax.linear.generators import ExBmdp, ex_bmdp
from flexlam_jax.linear.lam import expected_loss
from flexlam_jax.linear.metrics import innovation_code, said_of, subspace_angle
from flexlam_jax.linear.objective import Objective, nested, view
from flexlam_jax.linear.optimum import optimum
from flexlam_jax.linear.process import regression
from flexlam_jax.linear.training import Budget, Fit, train

SMALL = {"observation": 8, "state": 2, "actions": 2, "world": 2}


def process(noise, seed=0, **settings):
    return ex_bmdp(ExBmdp(noise=noise, seed=seed, **{**SMALL, **settings}))


def check(fits, keep, expected, budget):
    """Loss within 1 %, subspace within 2 degrees, NMSE of the action as `expected`; what was trained."""
    trained = train(fits, budget)
    for one, params, action in zip(fits, trained, expected, strict=True):
        best, seen = optimum(one.process, one.objective), view(one.process, one.objective)
        loss = expected_loss(params, one.process, one.objective)
        assert best.loss * (1 - 1e-6) < loss < 1.01 * best.loss
        term = next(iter(seen.targets))
        columns = [of[term]["slots"][:, :keep] for of in (params, best.params)]
        assert subspace_angle(*columns) < 2
        code = innovation_code(params, seen, keep, term=term)
        assert said_of(one.process.action_innovation(), code) == pytest.approx(action, abs=0.01)
    return trained


EXPECTED = Budget(steps=1500, learning_rate=0.05)


def test_reconstruction_takes_what_varies_most():
    fits = [
        Fit(process(noise, seed, policy=policy), Objective(2), seed)
        for seed in (0, 1, 2)
        for noise, policy in ((0.5, 0.0), (2.0, 0.0), (0.5, 0.8))
    ]
    check(fits, 2, [0, 1, 1] * 3, EXPECTED)


def test_action_prediction_turns_at_its_threshold():
    """noise^2 / 1 - 1 = 1.25: a tenth below and above, with labels for half of the transitions."""
    fits = [
        Fit(process(1.5), Objective(2, action=2 * 1.25 * ratio, labelled=0.5), 0)
        for ratio in (0.9, 1.1)
    ]
    check(fits, 2, [1, 0], EXPECTED)


def test_prefixes_hold_the_action_first_beside_a_partner():
    fits = [
        Fit(process(2.0), Objective(4, nested(4), own=own, cross=1.0), 0) for own in (0.25, 0.45)
    ]
    budget = Budget(steps=2500, learning_rate=0.05)
    for one, params in zip(fits, check(fits, 2, [0, 1], budget), strict=True):  # Turns at 1/3.
        # Nested dropout identifies C: what slots after the first say of o is C + D P, and is nothing.
        by_now = regression(one.process.next, one.process.now)
        encoder = params["encoder"]
        of_now = (encoder["now"] + encoder["next"] @ by_now) @ one.process.now
        assert np.abs(of_now[1:]).max() < 0.02 < np.abs(of_now[0]).max()


def test_samples_teach_the_same():
    fits = [Fit(process(noise), Objective(2), seed) for noise in (0.5, 2.0) for seed in (0, 1)]
    check(fits, 2, [0, 0, 1, 1], Budget(steps=1500, batch=64, learning_rate=0.02))


def test_a_fit_does_not_depend_on_its_neighbours():
    fits = [Fit(process(noise), Objective(2), 3) for noise in (0.5, 2.0)]
    both, alone = train(fits, Budget(steps=5)), train(fits[1:], Budget(steps=5))
    np.testing.assert_allclose(both[1]["own"]["now"], alone[0]["own"]["now"], atol=1e-6)
    other = train([Fit(process(2.0), Objective(2), 4)], Budget(steps=5))
    assert np.abs(other[0]["own"]["now"] - alone[0]["own"]["now"]).max() > 1e-3


def test_a_budget_that_cannot_be():
    with pytest.raises(ConfigError, match="config.steps=0 must be at least 1"):
        train([], Budget(steps=0))

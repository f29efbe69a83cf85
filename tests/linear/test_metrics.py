"""What is read from a code, against least squares on samples and against what is known."""

import numpy as np
import pytest

from flexlam_jax.errors import UserError
from flexlam_jax.linear.generators import Controllable, controllable
from flexlam_jax.linear.metrics import contents, nmse, subspace_angle, surrogate_code, true_code
from flexlam_jax.linear.objective import Objective, view
from flexlam_jax.linear.optimum import optimum

QUIET = controllable(Controllable())


def test_nmse_is_least_squares_over_variance():
    rng = np.random.default_rng(0)
    of, code = rng.normal(size=(2, 5)), rng.normal(size=(3, 5))
    g = rng.normal(size=(200_000, 5))
    y, z = g @ of.T, g @ code.T
    left = y - z @ np.linalg.lstsq(z, y, rcond=None)[0]
    assert nmse(of, code) == pytest.approx((left**2).sum() / (y**2).sum(), rel=0.02)
    assert nmse(of, of) == pytest.approx(0, abs=1e-12)
    assert nmse(np.eye(2, 4), np.eye(4)[2:]) == 1


def test_without_noise_the_best_code_has_an_llo_of_two():
    seen, best = view(QUIET, Objective()), optimum(QUIET, Objective())
    assert contents(QUIET, true_code(best.params, seen)).llo == pytest.approx(2)


def test_what_the_encoder_adds_of_the_observation_costs_the_true_latent_alone():
    """The loss does not see it: the decoder takes it back."""
    seen, best = view(QUIET, Objective()), optimum(QUIET, Objective())
    extra = np.random.default_rng(0).normal(size=(3, 16))
    encoder, own = best.params["encoder"], best.params["own"]
    params = {
        "encoder": {**encoder, "now": encoder["now"] + extra},
        "own": {**own, "now": own["now"] - own["slots"] @ extra},
    }
    assert contents(QUIET, true_code(params, seen)).llo < 1.5
    assert contents(QUIET, surrogate_code(params, seen)).llo == pytest.approx(2)


def test_angles():
    flat = np.eye(4)[:, :2]
    turn = np.eye(4)
    turn[1:3, 1:3] = [[np.cos(0.1), -np.sin(0.1)], [np.sin(0.1), np.cos(0.1)]]
    assert subspace_angle(flat, turn @ flat) == pytest.approx(np.degrees(0.1))
    assert subspace_angle(flat, flat @ [[2.0, 1.0], [0.0, 1.0]]) == pytest.approx(0, abs=1e-9)
    assert subspace_angle(flat, np.eye(4)[:, 1:3]) == pytest.approx(90)


def test_what_is_refused():
    with pytest.raises(UserError, match="does not vary"):
        nmse(np.zeros((1, 3)), np.ones((1, 3)))
    with pytest.raises(UserError, match="of is of size 3, code of size 4"):
        nmse(np.ones((1, 3)), np.ones((1, 4)))
    with pytest.raises(UserError, match="columns of other span less than 2"):
        subspace_angle(np.eye(3)[:, :2], np.ones((3, 2)))

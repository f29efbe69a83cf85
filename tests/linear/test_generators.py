"""The processes are what their descriptions say, exactly: covariances of maps, and samples of them."""

import numpy as np
import pytest

from flexlam_jax.errors import ConfigError, UserError
from flexlam_jax.linear.generators import Controllable, ExBmdp, controllable, ex_bmdp
from flexlam_jax.linear.objective import CROSS, OWN, Objective, view
from flexlam_jax.linear.process import covariance


def test_the_controllable_process():
    of = controllable(Controllable(noise=0.5, others=2.0, scale=1.5))
    np.testing.assert_allclose(covariance(of.now), np.eye(16))
    np.testing.assert_allclose(covariance(of.action), np.eye(3))
    np.testing.assert_allclose(of.next, of.now + of.change + of.exogenous)
    values = np.linalg.eigvalsh(covariance(of.change))
    np.testing.assert_allclose(values[-3:], 1.5**2)
    np.testing.assert_allclose(values[:-3], 0, atol=1e-12)
    exogenous = np.linalg.eigvalsh(covariance(of.exogenous))
    np.testing.assert_allclose(exogenous, [0.25] * 13 + [4.25] * 3)
    assert not covariance(of.change, of.exogenous).any()


def test_a_policy_is_partly_told_by_the_observation():
    of = controllable(Controllable(policy=0.25, other_policy=1.0, others=1.0))
    np.testing.assert_allclose(covariance(of.action_innovation()), 0.75**2 * np.eye(3), atol=1e-12)
    np.testing.assert_allclose(covariance(of.action), (0.25**2 + 0.75**2) * np.eye(3), atol=1e-12)
    # Others that o tells wholly are no noise.
    np.testing.assert_allclose(np.linalg.matrix_rank(of.innovation(), tol=1e-9), 3)


def test_the_world_of_the_block_mdp_is_stationary_and_moves_alone():
    settings = ExBmdp(noise=2.0, memory=0.8, policy=0.5)
    of = ex_bmdp(settings)
    world = of.now[:, of.of_world], of.next[:, of.of_world]
    np.testing.assert_allclose(covariance(world[0]), covariance(world[1]), atol=1e-12)
    assert np.trace(covariance(world[0])) == pytest.approx(3 * 4 / (1 - 0.64))
    assert not of.action[:, of.of_world].any() and not of.change[:, of.of_world].any()
    assert not of.exogenous[:, ~of.of_world].any()
    values = np.linalg.eigvalsh(covariance(of.innovation()))[::-1]
    np.testing.assert_allclose(values[:7], [4, 4, 4, 0.25, 0.25, 0.25, 0], atol=1e-9)


@pytest.mark.parametrize("overlap", [0.0, 0.7])
def test_the_projection_takes_the_world_away_and_nothing_else(overlap):
    of = ex_bmdp(ExBmdp(overlap=overlap))
    endogenous, world = of.now * ~of.of_world, of.now * of.of_world
    np.testing.assert_allclose(of.keeps_endogenous @ endogenous, endogenous, atol=1e-12)
    np.testing.assert_allclose(of.keeps_endogenous @ world, 0, atol=1e-12)
    cosine = np.linalg.svd(_basis(of.change).T @ _basis(of.exogenous), compute_uv=False)[0]
    assert cosine == pytest.approx(overlap, abs=1e-9)


def _basis(of):
    left, singular, _ = np.linalg.svd(of)
    return left[:, : int((singular > 1e-9).sum())]


def test_partners_share_what_the_agent_does_and_nothing_of_the_world():
    of = ex_bmdp(ExBmdp(noise=2.0))
    seen = view(of, Objective(cross=1.0, action=1.0))
    own, partner = seen.targets[OWN], seen.targets[CROSS]
    for mine, theirs in zip(own, partner, strict=True):
        np.testing.assert_allclose(covariance(mine), covariance(theirs), atol=1e-12)
    shared = covariance(of.next[:, ~of.of_world])
    np.testing.assert_allclose(covariance(own[1], partner[1]), shared, atol=1e-12)
    assert not np.allclose(covariance(own[1]), shared)


@pytest.mark.parametrize(
    "settings, told",
    [
        ({"noise": 0.0}, "config.noise=0.0 is out of range"),
        ({"memory": 1.0}, "config.memory=1.0 is out of range"),
        ({"policy": 1.5}, "config.policy=1.5 is out of range"),
        ({"state": 0}, "config.state=0 must be at least 1"),
    ],
)
def test_settings_out_of_range(settings, told):
    with pytest.raises(ConfigError, match=told):
        ex_bmdp(ExBmdp(**settings))


def test_more_directions_than_dimensions():
    with pytest.raises(UserError, match="20 orthonormal directions do not fit into 16"):
        controllable(Controllable(actions=20))
    with pytest.raises(UserError, match="18 orthonormal directions do not fit into 16"):
        ex_bmdp(ExBmdp(state=15))

"""Closed forms against brute force, against each other, and what they refuse."""

import numpy as np
import pytest

from flexlam_jax.errors import UserError
from flexlam_jax.linear import closed_forms as cf
from flexlam_jax.linear.closed_forms import own_frame_threshold, supervision_threshold
from flexlam_jax.linear.metrics import subspace_angle


def some_covariance(size, seed=0):
    root = np.random.default_rng(seed).normal(size=(size, size))
    return root @ root.T


def test_the_minimum_is_the_tail_of_the_eigenvalues():
    assert cf.reconstruction_minimum(np.diag([1.0, 5.0, 3.0]), 2) == pytest.approx(1)
    assert cf.reconstruction_minimum(np.diag([1.0, 5.0, 3.0]), 0) == pytest.approx(9)
    assert cf.reconstruction_minimum(np.diag([1.0, 5.0, 3.0]), 3) == 0


def test_no_random_code_is_better_and_the_principal_one_is_as_good():
    matrix, rng = some_covariance(6), np.random.default_rng(1)
    least = cf.reconstruction_minimum(matrix, 2)

    def loss(B, D):
        left = np.eye(6) - B @ D
        return np.trace(left @ matrix @ left.T)

    top = cf.principal_components(matrix, 2).vectors
    assert loss(top, top.T) == pytest.approx(least)
    for _ in range(50):
        D = rng.normal(size=(2, 6))
        B = matrix @ D.T @ np.linalg.inv(D @ matrix @ D.T)  # The best decoder of this encoder.
        assert loss(B, D) > least


def test_smaller_codes_are_the_first_slots_of_larger_ones():
    matrix = some_covariance(5)
    whole = cf.principal_components(matrix, 5).vectors
    for width in range(1, 5):
        np.testing.assert_array_equal(
            cf.principal_components(matrix, width).vectors, whole[:, :width]
        )


def test_reduced_rank_regression_is_least_squares_at_full_rank_and_pca_of_itself():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(5, 400))
    y = rng.normal(size=(4, 5)) @ x + rng.normal(size=(4, 400))
    yy, yx, xx = y @ y.T / 400, y @ x.T / 400, x @ x.T / 400
    full = cf.reduced_rank_regression(yy, yx, xx, 4)
    np.testing.assert_allclose(full.decoder @ full.encoder, yx @ np.linalg.inv(xx), atol=1e-9)
    one = cf.reduced_rank_regression(yy, yx, xx, 1)
    error = np.mean(np.sum((y - one.decoder @ one.encoder @ x) ** 2, 0))
    assert one.minimum == pytest.approx(error)
    itself = cf.reduced_rank_regression(xx, xx, xx, 2)
    assert itself.minimum == pytest.approx(cf.reconstruction_minimum(xx, 2))
    assert subspace_angle(itself.decoder, cf.principal_components(xx, 2).vectors) < 1e-5


def test_slots_that_gain_nothing_are_empty():
    both = np.zeros((4, 4))
    both[0, 0] = 1
    found = cf.reduced_rank_regression(2 * np.eye(4), both, 2 * np.eye(4), 3)
    assert found.encoder[0].any() and not found.encoder[1:].any()
    assert found.minimum == pytest.approx(8 - 0.5)


def test_partners_that_share_the_action_alone_give_it_alone():
    """Also where the directions of action and noise are not orthogonal: nothing is attenuated."""
    rng = np.random.default_rng(0)
    action, noise = rng.normal(size=(8, 2)), 5 * rng.normal(size=(8, 3))
    own = action @ action.T + noise @ noise.T
    found = cf.cross_exogenous(own, action @ action.T, 5)
    assert np.abs(found.encoder[:2] @ noise).max() < 1e-6
    assert np.abs(found.encoder[:2] @ action).max() > 0.5
    assert not found.encoder[2:].any()


def test_cca_is_that_with_a_whitened_target():
    rng = np.random.default_rng(0)
    action, noise = rng.normal(size=(6, 2)), rng.normal(size=(6, 6))
    own, both = action @ action.T + noise @ noise.T, action @ action.T
    correlations, directions = cf.canonical_correlations(own, both, own)
    values, vectors = np.linalg.eigh(own)
    root = (vectors / np.sqrt(values)) @ vectors.T
    whitened = cf.reduced_rank_regression(np.eye(6), root @ both, own, 2)
    np.testing.assert_allclose(correlations[:2] ** 2, whitened.gains[:2])
    assert correlations[2:].max() < 1e-6 and 0 < correlations[0] < 1
    assert subspace_angle(directions[:, :2], whitened.encoder.T) < 1e-4


def test_the_policy_is_absorbed_by_what_reads_the_frame():
    """A of `absorbed_policy` is where the gradient of the loss by A is zero."""
    rng = np.random.default_rng(0)
    B, C, D = rng.normal(size=(5, 2)), rng.normal(size=(2, 5)), rng.normal(size=(2, 5))
    policy = rng.normal(size=(5, 5))
    A = cf.absorbed_policy(B, C, D, policy)
    transition = np.eye(5) + policy  # o' = transition o + what is independent of o
    np.testing.assert_allclose(A + B @ C + B @ D @ transition, transition)


def test_the_innovation_of_data():
    rng = np.random.default_rng(0)
    transition, random = rng.normal(size=(4, 4)), some_covariance(4)
    now = some_covariance(4, 1)
    following = transition @ now @ transition.T + random
    found, by_now = cf.innovation_covariance(now, following, transition @ now)
    np.testing.assert_allclose(found, random, atol=1e-9)
    np.testing.assert_allclose(by_now, transition, atol=1e-9)


def test_action_prediction_turns_the_order_at_the_threshold():
    noise, action, scale = 2.25, 0.5, 1.5
    matrix = np.diag([scale**2 * action, noise])
    both = np.array([[scale * action, 0.0]])
    threshold = supervision_threshold(noise, action, scale)
    assert threshold == pytest.approx(2.25)

    def says_action(weight):
        found = cf.action_prediction(matrix, [[action]], both, weight, 1)
        return abs(found.encoder[0, 0]) > 1e-6

    assert says_action(threshold * 1.001) and not says_action(threshold * 0.999)
    assert cf.action_prediction(matrix, [[action]], both, 0.0, 1).minimum == pytest.approx(
        cf.reconstruction_minimum(matrix, 1)
    )
    # Both thresholds that the notes of the study had checked by hand.
    assert supervision_threshold(2.25, 1, 1) == pytest.approx(1.25)
    assert supervision_threshold(4, 1, 1) == pytest.approx(3)
    assert supervision_threshold(0.25, 1, 1) < 0  # Reconstruction has the action first.


def test_the_threshold_of_ones_own_frame():
    assert own_frame_threshold(4, 1, 1) == pytest.approx(1 / 3)
    assert own_frame_threshold(4, 1, 1, shared=True) == pytest.approx(1)
    assert own_frame_threshold(1, 1, 1) == float("inf")


def test_the_projection_leaves_the_action():
    noise, action = np.eye(3)[:, :1], np.eye(3)[:, 1:2]
    matrix = 9 * noise @ noise.T + action @ action.T
    np.testing.assert_allclose(
        cf.endogenous_projection(matrix, np.diag([0.0, 1, 1])), action @ action.T
    )


@pytest.mark.parametrize(
    "matrix, told",
    [
        (np.ones((2, 3)), "has shape (2, 3); give a square matrix"),
        (np.ones(3), "give a matrix"),
        (np.zeros((0, 0)), "give a matrix"),
        ([[1.0, 0.5], [0.0, 1.0]], "is not symmetric: entries differ"),
        (np.diag([1.0, -0.1]), "has the eigenvalue -0.1"),
        (np.diag([1.0, np.nan]), "1 numbers that are not finite"),
        (np.diag([1.0, np.inf]), "1 numbers that are not finite"),
    ],
)
def test_what_is_no_covariance_is_refused(matrix, told):
    for refuses in (cf.reconstruction_minimum, cf.principal_components):
        with pytest.raises(UserError) as error:
            refuses(matrix, 1)
        assert "innovation_covariance" in str(error.value) and told in str(error.value)


@pytest.mark.parametrize("width", [-1, 3, 1.5, True, None])
def test_widths_that_do_not_fit_are_refused(width):
    with pytest.raises(UserError, match="width="):
        cf.reconstruction_minimum(np.eye(2), width)


def test_sizes_that_differ_are_refused():
    with pytest.raises(UserError, match="target is of size 2, both of size 3"):
        cf.reduced_rank_regression(np.eye(2), np.ones((3, 2)), np.eye(2), 1)
    with pytest.raises(UserError, match="regressor is of size 2, both of size 3"):
        cf.reduced_rank_regression(np.eye(2), np.ones((2, 3)), np.eye(2), 1)
    with pytest.raises(UserError, match="projection of size 3"):
        cf.endogenous_projection(np.eye(2), np.eye(3))


@pytest.mark.parametrize(
    "given", [(-1, 1, 1), (float("nan"), 1, 1), (1, 0, 1), (1, 1, 0), (1, float("inf"), 1)]
)
def test_numbers_of_thresholds(given):
    for refuses in (supervision_threshold, own_frame_threshold):
        with pytest.raises(UserError, match="must be a finite number"):
            refuses(*given)

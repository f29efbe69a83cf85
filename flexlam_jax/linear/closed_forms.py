"""What a linear latent action model learns, without training one. NumPy, double precision.

    z = C o + D o',   o^' = A o + B z,   loss = E |o^' - o'|^2,   r = o' - P o with P o = E[o' | o]

r is the innovation, its covariance is Sigma_r. Every objective here comes down to a regression of
rank `width` of some target on r (Izenman 1975; Eckart-Young), solved by eigenvectors. Those of a
smaller width are the first of a larger one, so the same solution serves nested dropout: slot j is
the j-th eigenvector (Rippel et al. 2014, for PCA). docs/exogenous/linear.md derives what is here.

Dimension keys: X of a regressor, Y of a target, A of an action, W width.
"""

from typing import NamedTuple

import numpy as np

from flexlam_jax.linear.checks import as_covariance, as_matrix, as_number, as_width, same_size

_NOTHING = 1e-12  # A gain that is rounding, relative to the variance of the target.


class Spectrum(NamedTuple):
    """values: descending.  vectors: (X, W), the eigenvector of each, in the same order."""

    values: np.ndarray
    vectors: np.ndarray


class ReducedRank(NamedTuple):
    """A regression y ~ B z, z = D x, of rank W.

    minimum: E |y - B z|^2.   gains: (min(X, Y),), by how much each further rank lowers it, descending.
    decoder: B (Y, W).   encoder: D (W, X); a slot has variance 1, or is 0 where it gains nothing.
    """

    minimum: float
    gains: np.ndarray
    decoder: np.ndarray
    encoder: np.ndarray


def reconstruction_minimum(innovation_covariance: np.ndarray, width: int) -> float:
    """The least loss: the sum of the eigenvalues of Sigma_r beyond the `width` largest.

    Source: arXiv 2506.15691, proposition 4.2, where r = q + eps as o says nothing of it.

    Args:
      innovation_covariance: (X, X).   width: dim z, 0 to X.

    Raises:
      UserError: no covariance (shape, NaN, asymmetry, negative eigenvalues), or a width out of range.
    """
    matrix = as_covariance(innovation_covariance, "innovation_covariance")
    width = as_width(width, len(matrix))
    return float(np.maximum(np.linalg.eigvalsh(matrix), 0)[: len(matrix) - width].sum())


def principal_components(innovation_covariance: np.ndarray, width: int) -> Spectrum:
    """The solution of reconstruction: B = vectors, D = B^T, with A = P - B C - B D P for any C.

    With nested dropout column j is the j-th eigenvector, not only its span. Raises: as
    `reconstruction_minimum`.
    """
    matrix = as_covariance(innovation_covariance, "innovation_covariance")
    width = as_width(width, len(matrix))
    values, vectors = np.linalg.eigh(matrix)
    return Spectrum(np.maximum(values[::-1], 0)[:width], vectors[:, ::-1][:, :width])


def innovation_covariance(
    now: np.ndarray, following: np.ndarray, both: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(Sigma_r (X, X), P (X, X)) of any data, whose policy may depend on o.

    What o tells of the action is in P: the decoder absorbs it, and only the rest is in r.

    Args:
      now, following: Cov(o), Cov(o').   both: Cov(o', o), (X, X).

    Raises:
      UserError: no covariances, or sizes that differ.
    """
    now, following = as_covariance(now, "now"), as_covariance(following, "following")
    both = as_matrix(both, "both")
    same_size(("now", len(now)), ("both", both.shape[1]))
    same_size(("following", len(following)), ("both", both.shape[0]))
    transition = both @ np.linalg.pinv(now, hermitian=True)
    return as_covariance(following - transition @ both.T, "the innovation covariance"), transition


def absorbed_policy(
    decoder: np.ndarray, encoder_now: np.ndarray, encoder_next: np.ndarray, policy: np.ndarray
) -> np.ndarray:
    """A (X, X) that is best beside B, C, D where o' = o + X a + eps, a = Pi o + random.

    A = I - B (C + D) + (I - B D) X Pi: of what the policy does by o, the decoder adds what z does not
    say. Source: arXiv 2506.15691, section 4 (there as dL/dA = 0).

    Args:
      decoder: B (X, W).   encoder_now, encoder_next: C, D (W, X).   policy: X Pi (X, X).
    """
    names = ("decoder", "encoder_now", "encoder_next", "policy")
    given = zip((decoder, encoder_now, encoder_next, policy), names, strict=True)
    B, C, D, change = (as_matrix(value, name) for value, name in given)
    same = np.eye(len(B))
    return same - B @ (C + D) + (same - B @ D) @ change


def reduced_rank_regression(
    target: np.ndarray, both: np.ndarray, regressor: np.ndarray, width: int
) -> ReducedRank:
    """The best prediction of y by `width` linear numbers of x.

    Source: Izenman 1975.

    Args:
      target: Cov(y), (Y, Y).   both: Cov(y, x), (Y, X).   regressor: Cov(x), (X, X), may be singular.

    Raises:
      UserError: no covariances, sizes that differ, or a width outside 0 .. min(X, Y).
    """
    target, regressor = as_covariance(target, "target"), as_covariance(regressor, "regressor")
    both = as_matrix(both, "both")
    same_size(("target", len(target)), ("both", both.shape[0]))
    same_size(("regressor", len(regressor)), ("both", both.shape[1]))
    width = as_width(width, min(both.shape))
    whitening = _inverse_root(regressor)
    left, singular, right = np.linalg.svd(both @ whitening, full_matrices=False)
    gains = singular**2
    decoder = left[:, :width] * singular[:width]
    minimum = max(float(np.trace(target) - gains[:width].sum()), 0.0)
    used = gains[:width] > _NOTHING * max(np.trace(target), gains[0])
    return ReducedRank(minimum, gains, decoder, used[:, None] * right[:width] @ whitening)


def cross_exogenous(
    innovation_covariance: np.ndarray, shared: np.ndarray, width: int
) -> ReducedRank:
    """Encode one of a pair, decode the other's next frame: `reduced_rank_regression` of r2 on r1.

    The rank of `shared` is that of what the agent does; slots beyond it are empty at any width, and what
    the two do not share is in none. Ours; arXiv 2605.20223 names the objective.

    Args:
      innovation_covariance: Cov(r1) = Cov(r2), (X, X).   shared: Cov(r2, r1), (X, X).
    """
    return reduced_rank_regression(innovation_covariance, shared, innovation_covariance, width)


def canonical_correlations(
    one: np.ndarray, both: np.ndarray, other: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(correlations, descending; (X, min(X, Y)) directions in x of unit variance).

    Cross-exogenous reconstruction whose target is whitened too: then the gains are the squares of
    these. Source: Hotelling 1936; arXiv 2605.20223 says of its objective that it is CCA.

    Args:
      one: Cov(y), (Y, Y).   both: Cov(y, x), (Y, X).   other: Cov(x), (X, X).
    """
    one, other = as_covariance(one, "one"), as_covariance(other, "other")
    both = as_matrix(both, "both")
    same_size(("one", len(one)), ("both", both.shape[0]))
    same_size(("other", len(other)), ("both", both.shape[1]))
    whitening = _inverse_root(other)
    _, singular, right = np.linalg.svd(_inverse_root(one) @ both @ whitening, full_matrices=False)
    return np.clip(singular, 0, 1), (right @ whitening).T


def action_prediction(
    innovation_covariance: np.ndarray,
    action_covariance: np.ndarray,
    both: np.ndarray,
    weight: float,
    width: int,
) -> ReducedRank:
    """Reconstruction plus weight E |W z + V o - a|^2: slots are ordered by the sum of both gains.

    The eigenvalues of Sigma_r^(1/2) (I + weight G^T G) Sigma_r^(1/2), G = Cov(a~, r) Sigma_r^-1. The
    head reads o beside z, so that z need not say what o tells. The decoder is [B; sqrt(weight) W].

    Args:
      innovation_covariance: (X, X).   action_covariance: Cov(a~), (A, A), of a~ = a - E[a | o].
      both: Cov(a~, r), (A, X).   weight: of the head; times the labelled share, where few are labelled.
    """
    matrix = as_covariance(innovation_covariance, "innovation_covariance")
    action = as_covariance(action_covariance, "action_covariance")
    both, weight = as_matrix(both, "both"), as_number(weight, "weight")
    same_size(("action_covariance", len(action)), ("both", both.shape[0]))
    root = np.sqrt(weight)
    target = np.block([[matrix, root * both.T], [root * both, weight * action]])
    return reduced_rank_regression(target, np.concatenate([matrix, root * both]), matrix, width)


def endogenous_projection(innovation_covariance: np.ndarray, projection: np.ndarray) -> np.ndarray:
    """Cov(Phi r) for Phi with Phi U_xi = 0: the innovation that inputs and targets Phi o have.

    Args:
      innovation_covariance: (X, X).   projection: Phi (Y, X).
    """
    matrix = as_covariance(innovation_covariance, "innovation_covariance")
    projection = as_matrix(projection, "projection")
    same_size(("innovation_covariance", len(matrix)), ("projection", projection.shape[1]))
    return projection @ matrix @ projection.T


def supervision_threshold(noise_variance: float, action_variance: float, scale: float) -> float:
    """The weight of action prediction above which slots hold the action: nu / sa^2 - scale^2. Ours.

    Of an Ex-BMDP whose action moves orthonormal directions by `scale`, all of a~ alike likely, all of w,
    too. An action slot gains mu = scale^2 sa^2 by reconstruction and weight sa^2 by the head, an
    exogenous one nu. Negative where reconstruction alone prefers the action. With a share p of labels, p
    times the weight counts.

    Args:
      noise_variance: of w, per dimension.   action_variance: sa^2, of a - E[a | o], per dimension.
      scale: length of the change by an action of size 1.

    Raises:
      UserError: numbers that are not finite, or not positive.
    """
    noise = as_number(noise_variance, "noise_variance")
    action = as_number(action_variance, "action_variance", above=True)
    return noise / action - as_number(scale, "scale", above=True) ** 2


def own_frame_threshold(
    noise_variance: float, action_variance: float, scale: float, *, shared: bool = False
) -> float:
    """The weight beta of one's own frame beside the partner's, below which the action comes first. Ours.

    With a decoder for each, an action slot gains (1 + beta) mu and an exogenous one beta nu: beta < mu /
    (nu - mu). With one decoder for both (`shared`) an exogenous slot gains beta^2 nu / (1 + beta), which
    gives beta < 1 / (sqrt(nu / mu) - 1), but decodes it at beta / (1 + beta) of its size.

    Returns:
      The threshold; inf where nu <= mu, as then any weight will do.   Raises: as above.
    """
    noise = as_number(noise_variance, "noise_variance")
    action = as_number(action_variance, "action_variance", above=True)
    controllable = action * as_number(scale, "scale", above=True) ** 2
    if noise <= controllable:
        return float("inf")
    if shared:
        return float(1 / (np.sqrt(noise / controllable) - 1))
    return controllable / (noise - controllable)


def _inverse_root(matrix: np.ndarray) -> np.ndarray:
    """The symmetric square root of the pseudo-inverse."""
    values, vectors = np.linalg.eigh(matrix)
    kept = values > 1e-10 * max(values[-1], 0)
    return (vectors[:, kept] / np.sqrt(values[kept])) @ vectors[:, kept].T

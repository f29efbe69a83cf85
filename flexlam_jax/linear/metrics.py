"""What a linear code says, exactly: least squares on codes whose covariances are known.

Dimension keys: N numbers of g, O observation, W slots.
"""

from typing import NamedTuple

import numpy as np

from flexlam_jax.errors import UserError
from flexlam_jax.linear.checks import as_matrix, same_size
from flexlam_jax.linear.lam import Params, encode
from flexlam_jax.linear.objective import OWN, View
from flexlam_jax.linear.process import Process, covariance, regression

FLOOR = 1e-3  # Singular values of B that count, relative to the largest.


class Contents(NamedTuple):
    """Normalised errors, 0 (the code says all) to 1 (nothing), of what a transition holds.

    action: q, what the action changes.   exogenous: of the innovation.   observation: o.
    """

    action: float
    exogenous: float
    observation: float

    @property
    def llo(self) -> float:
        """-action + exogenous + observation, at most 2. Source: arXiv 2506.15691, section 3."""
        return -self.action + self.exogenous + self.observation


def nmse(of: np.ndarray, code: np.ndarray) -> float:
    """Mean squared error of the best linear prediction of map (X, N) by map (W, N), over its variance.

    Raises:
      UserError: matrices of other numbers, or a target that does not vary.
    """
    of, code = as_matrix(of, "of"), as_matrix(code, "code")
    same_size(("of", of.shape[1]), ("code", code.shape[1]))
    total = float(np.sum(of**2))
    if not total:
        raise UserError("what is predicted does not vary: no error can be normalised")
    both, inverse = covariance(of, code), np.linalg.pinv(covariance(code), 1e-12, hermitian=True)
    explained = np.trace(both @ inverse @ both.T)
    return float(np.clip(1 - explained / total, 0, 1))


def contents(process: Process, code: np.ndarray) -> Contents:
    """What a code (W, N') says of the transition. Raises: as `nmse`."""
    return Contents(
        said_of(process.change, code),
        said_of(process.exogenous, code),
        said_of(process.now, code),
    )


def said_of(part: np.ndarray, code: np.ndarray) -> float:
    """`nmse` of a map (X, N) of a process by a code (W, N'): partners and shifts make N' longer.

    Of what does not vary nothing can be said: 1.
    """
    if not part.any():
        return 1.0
    return nmse(np.pad(part, ((0, 0), (0, code.shape[1] - part.shape[1]))), code)


def true_code(params: Params, seen: View, keep: int | None = None) -> np.ndarray:
    """(k, N'): the latent z itself, the first `keep` slots; with all that C puts there."""
    return encode(params, seen.now.T, seen.next.T).T[:keep]


def surrogate_code(
    params: Params, seen: View, keep: int | None = None, *, term: str = OWN
) -> np.ndarray:
    """(O, N'): the surrogate latent z~ = B^+ (o^' - o), seen through B.

    The loss does not identify C, so that z may hold any part of o; z~ does not. Least squares on B z~
    and on z~ are the same; slots that the decoder hardly reads (FLOOR) are left out.
    Source: arXiv 2506.15691, section 4.
    """
    reads, _ = seen.targets[term]
    return _through(params, seen, reads, keep, term)


def innovation_code(
    params: Params, seen: View, keep: int | None = None, *, term: str = OWN
) -> np.ndarray:
    """(O, N'): the same of o^' - E[o' | o], for worlds that move by themselves. Ours.

    Where E[o' | o] = o the two are one. Elsewhere the surrogate also holds the change that o tells: the
    decoder's, not the code's. Of an optimum this is D r, seen through B.
    """
    reads, target = seen.targets[term]
    return _through(params, seen, regression(target, reads) @ reads, keep, term)


def _through(
    params: Params, seen: View, base: np.ndarray, keep: int | None, term: str
) -> np.ndarray:
    """(O, N'): o^' - base, on what the columns of B span."""
    A, B = params[term]["now"], params[term]["slots"][:, :keep]
    reads, _ = seen.targets[term]
    predicted = A @ reads + B @ true_code(params, seen, keep)
    return B @ np.linalg.pinv(B, rcond=FLOOR) @ (predicted - base)


def subspace_angle(one: np.ndarray, other: np.ndarray) -> float:
    """The largest principal angle, in degrees, between the columns of (O, W) and (O, W).

    Raises:
      UserError: matrices of other shapes, or columns that span less than W dimensions.
    """
    one, other = as_matrix(one, "one"), as_matrix(other, "other")
    same_size(("one", one.shape[0]), ("other", other.shape[0]))
    same_size(("one", one.shape[1]), ("other", other.shape[1]))
    bases = []
    for name, matrix in (("one", one), ("other", other)):
        left, singular, _ = np.linalg.svd(matrix, full_matrices=False)
        if singular[-1] <= 1e-9 * singular[0]:
            raise UserError(f"the columns of {name} span less than {matrix.shape[1]} dimensions")
        bases.append(left)
    # By the sine: the cosine of a small angle is 1 in all its digits.
    beyond = bases[1] - bases[0] @ (bases[0].T @ bases[1])
    sine = np.linalg.svd(beyond, compute_uv=False)[0]
    return float(np.degrees(np.arcsin(np.clip(sine, 0, 1))))

"""Linear Gaussian transitions, as maps of independent standard normal numbers.

Everything that a transition holds is a linear map of one vector g of independent N(0, 1): then
covariances are products of maps, samples are one matrix product, and a pair of transitions that
share what the agent does but not the world around it is two g that share some of their numbers.

Dimension keys: N numbers of g, O of an observation, A of an action, E of the exogenous innovation.
"""

import dataclasses

import numpy as np

from flexlam_jax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Process:
    """A transition (o, a, o') as maps of g. Float64 NumPy.

    Attributes:
      now: (O, N), the observation o.       next: (O, N), the observation o'.
      action: (A, N).                       change: (O, N), q: what the action changes in o'.
      exogenous: (O, N), what others change in o', or noise does.
      of_world: bool (N,), numbers of g that the agent does not touch; the rest are state and policy.
      keeps_endogenous: (O, O), removes what is exogenous from an observation and nothing else; None
        where it cannot be told apart.
    """

    now: np.ndarray
    next: np.ndarray
    action: np.ndarray
    change: np.ndarray
    exogenous: np.ndarray
    of_world: np.ndarray
    keeps_endogenous: np.ndarray | None = None

    def innovation(self) -> np.ndarray:
        """(O, N): r = o' - P o, what no linear map of o tells of o'."""
        return residual(self.next, self.now)

    def action_innovation(self) -> np.ndarray:
        """(A, N): a - E[a | o], what is random in the policy."""
        return residual(self.action, self.now)


def covariance(one: np.ndarray, other: np.ndarray | None = None) -> np.ndarray:
    """Of two maps (X, N) and (Y, N): (X, Y); of one map with itself."""
    return one @ (one if other is None else other).T


def regression(of: np.ndarray, on: np.ndarray) -> np.ndarray:
    """(X, Y): the coefficients of the least squares of map (X, N) on map (Y, N), of least norm."""
    return of @ np.linalg.pinv(on, rcond=1e-10)


def residual(of: np.ndarray, on: np.ndarray) -> np.ndarray:
    """(X, N): what is left of one map after its regression on another."""
    return of - regression(of, on) @ on


def orthonormal(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """(rows, columns) with random orthonormal columns.

    Raises:
      UserError: more columns than rows.
    """
    if not 0 < columns <= rows:
        raise UserError(f"{columns} orthonormal directions do not fit into {rows} dimensions")
    return np.linalg.qr(rng.normal(size=(rows, columns)))[0]

"""What a closed form refuses: matrices that are no covariances, widths that do not fit."""

import numpy as np

from flexlam_jax.errors import UserError

_ROUNDING = 1e-8  # Relative to the largest entry or eigenvalue.


def as_covariance(value: np.ndarray, name: str) -> np.ndarray:
    """float64 (X, X), symmetric to the bit.

    Raises:
      UserError: not square, not finite, not symmetric, or with a negative eigenvalue.
    """
    matrix = as_matrix(value, name)
    if matrix.shape[0] != matrix.shape[1]:
        raise UserError(f"{name} has shape {matrix.shape}; give a square matrix")
    size = np.abs(matrix).max()
    apart = np.abs(matrix - matrix.T).max()
    if apart > _ROUNDING * size:
        raise UserError(
            f"{name} is not symmetric: entries differ from their mirror images by up to {apart:.3g}; "
            "give E[x x^T] of centred x"
        )
    matrix = (matrix + matrix.T) / 2
    least = np.linalg.eigvalsh(matrix)[0]
    if least < -_ROUNDING * size:
        raise UserError(f"{name} has the eigenvalue {least:.3g}; a covariance has none below 0")
    return matrix


def as_matrix(value: np.ndarray, name: str) -> np.ndarray:
    """float64 (X, Y). Raises UserError: not two-dimensional, empty, or not finite."""
    matrix = np.asarray(value, np.float64)
    if matrix.ndim != 2 or not matrix.size:
        raise UserError(f"{name} has shape {matrix.shape}; give a matrix")
    if not np.isfinite(matrix).all():
        count = int((~np.isfinite(matrix)).sum())
        raise UserError(f"{name} holds {count} numbers that are not finite; remove NaN and inf")
    return matrix


def as_width(width: int, most: int, name: str = "width") -> int:
    """Raises UserError unless it is a whole number from 0 to `most`."""
    if isinstance(width, bool) or not isinstance(width, (int, np.integer)):
        raise UserError(f"{name}={width!r} is not a whole number")
    if not 0 <= width <= most:
        raise UserError(
            f"{name}={width} is out of range; give 0 to {most}, the dimensions there are"
        )
    return int(width)


def as_number(value: float, name: str, *, above: bool = False) -> float:
    """A finite float >= 0, or > 0 with `above`. Raises UserError."""
    number = float(value)
    if not np.isfinite(number) or number < 0 or (above and number == 0):
        raise UserError(f"{name}={value} must be a finite number {'>' if above else '>='} 0")
    return number


def same_size(one: tuple[str, int], other: tuple[str, int]) -> None:
    """Raises UserError unless two named sizes agree."""
    if one[1] != other[1]:
        raise UserError(
            f"{one[0]} is of size {one[1]}, {other[0]} of size {other[1]}; they must agree"
        )

"""How the axes of foreign tensors lie, by name: each makes a view of a tensor in our order, without a
copy. Torch has the axes of the output first, ours come last."""

from collections.abc import Callable

import numpy as np

# (the tensor, shape of its place) -> the view.
Layout = Callable[[np.ndarray, tuple[int, ...]], np.ndarray]


def _linear(x: np.ndarray) -> np.ndarray:
    # A convolution of one pixel is a linear map too.
    return x[..., 0, 0].T if x.ndim == 4 and x.shape[2:] == (1, 1) else x.T


def _heads(x: np.ndarray, part: tuple[int, ...]) -> np.ndarray:
    H, P, E = part[-3:]
    return np.moveaxis(x.reshape(P, H, E, *x.shape[1:]), (1, 0, 2), (-3, -2, -1))


def _swapped(x: np.ndarray) -> np.ndarray:
    return np.moveaxis(x.reshape(2, -1, *x.shape[1:])[::-1], (0, 1), (-2, -1))


LAYOUTS: dict[str, Layout] = {
    "same": lambda x, part: x,
    "linear": lambda x, part: _linear(x),
    "conv": lambda x, part: np.moveaxis(x, (0, 1), (-1, -2)),
    # Weights or biases of (parts, heads, width), which lie as (heads, parts, width) here.
    "heads": _heads,
    # Of two halves, of which the second comes first here.
    "swapped": lambda x, part: _swapped(x),
}

"""The grid world of *What Do Latent Action Models Actually Learn?* (arXiv 2506.15691).

Of 4x4 cells the upper 3x4 hold a square that the agent moves, the lowest 1x4 are noise: in every
frame each of its cells is on with probability 1/2, whatever was done. The paper leaves some of this
open; here the square has the value 1, a noise cell that is on the intensity, a move against a wall
does nothing, and the path of the correlated policy is closed, so that the next move is a function of
the cell.

A transition is five small numbers (`Transitions`): the cell of the square 0..11, row by row, before
and after; the action; the noise row before and after, 0..15, a bit per cell. Frames are drawn from
them by `frames`.

Dimension keys: N transitions, S cells (12), A actions (5).
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from flexlam_jax.errors import UserError

ROWS, COLUMNS = 3, 4
CELLS = ROWS * COLUMNS
NOISES = 2**COLUMNS
ACTIONS = {"stay": (0, 0), "up": (-1, 0), "down": (1, 0), "left": (0, -1), "right": (0, 1)}
# Through all cells and back to the first: along the upper row, and down and up to its beginning.
_PATH = (0, 1, 2, 3, 7, 11, 10, 6, 5, 9, 8, 4)
CORRELATED = 0.95  # Share of the steps of the correlated policy that follow the path.
POLICIES = ("uniform", "correlated")


class Transitions(NamedTuple):
    """Integers (N,) each."""

    cell: Any
    action: Any
    next_cell: Any
    noise: Any
    next_noise: Any


def moves() -> np.ndarray:
    """(S, A) int: the cell after each action; against a wall the same one."""
    row, column = np.divmod(np.arange(CELLS), COLUMNS)
    down, right = np.array(list(ACTIONS.values())).T
    rows, columns = row[:, None] + down, column[:, None] + right
    inside = (rows >= 0) & (rows < ROWS) & (columns >= 0) & (columns < COLUMNS)
    return np.where(inside, rows * COLUMNS + columns, np.arange(CELLS)[:, None])


def effects() -> np.ndarray:
    """(S, A) int: the action that the frames show, which against a wall is to stay."""
    changed = moves() != np.arange(CELLS)[:, None]
    return np.where(changed, np.arange(len(ACTIONS)), 0)


def policy(name: str) -> np.ndarray:
    """(S, A) probabilities of actions.

    uniform: all alike.   correlated: along the path with 95 %, else uniform.

    Raises:
      UserError: an unknown name.
    """
    if name not in POLICIES:
        raise UserError(f"policy={name!r} is unknown; choose one of {', '.join(POLICIES)}")
    uniform = np.full((CELLS, len(ACTIONS)), 1 / len(ACTIONS))
    if name == "uniform":
        return uniform
    following = np.zeros_like(uniform)
    for cell, after in zip(_PATH, (*_PATH[1:], _PATH[0]), strict=True):
        following[cell, np.flatnonzero(moves()[cell] == after)[0]] = 1
    return CORRELATED * following + (1 - CORRELATED) * uniform


def play(probabilities_SA: np.ndarray, count: int, seed: int) -> Transitions:
    """One walk of `count` steps from a random cell."""
    rng = np.random.default_rng([seed, 0])
    after, bounds = moves(), np.cumsum(probabilities_SA, axis=1)
    chances = rng.random(count)
    cells, actions = np.zeros(count + 1, np.int32), np.zeros(count, np.int32)
    cells[0] = rng.integers(CELLS)
    for t in range(count):
        actions[t] = min(np.searchsorted(bounds[cells[t]], chances[t]), len(ACTIONS) - 1)
        cells[t + 1] = after[cells[t], actions[t]]
    noises = rng.integers(NOISES, size=count + 1).astype(np.int32)
    return Transitions(cells[:-1], actions, cells[1:], noises[:-1], noises[1:])


def every_transition() -> Transitions:
    """All 12 x 5 x 16 x 16 of them, each once: what the uniform policy does, exactly."""
    shape = (CELLS, len(ACTIONS), NOISES, NOISES)
    cell, action, noise, next_noise = (x.astype(np.int32).ravel() for x in np.indices(shape))
    return Transitions(cell, action, moves()[cell, action].astype(np.int32), noise, next_noise)


def frames(cell: jax.Array, noise: jax.Array, intensity: jax.Array | float) -> jax.Array:
    """Cells and noise rows (...) -> float32 (..., 4, 4)."""
    square = jax.nn.one_hot(cell, CELLS).reshape(*cell.shape, ROWS, COLUMNS)
    bits = (noise[..., None] >> jnp.arange(COLUMNS)) & 1
    return jnp.concatenate([square, intensity * bits[..., None, :].astype(jnp.float32)], axis=-2)


def shifted(frames: jax.Array, by: jax.Array) -> jax.Array:
    """Frames (B, 4, 4) moved right by (B,) -1, 0 or 1 cells; what leaves them comes in again."""
    left, right = jnp.roll(frames, -1, axis=-1), jnp.roll(frames, 1, axis=-1)
    by = by[:, None, None]
    return jnp.where(by > 0, right, jnp.where(by < 0, left, frames))


def check_intensity(intensity: float) -> float:
    """The value; raises UserError below 0."""
    if not intensity >= 0:
        raise UserError(f"noise intensity {intensity} is below 0; give 0 for no noise")
    return intensity


def check_share(share: float) -> float:
    """The value; raises UserError for a share of labels outside (0, 1]."""
    if not 0 < share <= 1:
        raise UserError(f"share of labels {share} is outside (0, 1]")
    return share


def labelled(count: int, share: float, seed: int) -> np.ndarray:
    """bool (N,): a random `share` of the transitions, at least one.

    Raises:
      UserError: as `check_share`.
    """
    order = np.random.default_rng([seed, 1]).permutation(count)
    return order < max(1, round(check_share(share) * count))

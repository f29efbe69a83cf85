"""What a code of few values is worth in the grid world, if it tells the action or the noise.

A model that is trained by reconstruction tells what lowers its error most. Both can be counted: a
code of what the action did leaves no error in the upper rows; the best code of V values for the
noise row is that of a k-means of its 16 states. So there is an intensity above which even the best
model tells the noise. Where training sees shifted frames, the noise that the forward model is to
predict is the one that was encoded turned by a random number of cells, and a code can tell the mean
over these turns only.
"""

import numpy as np

from flexlam_jax.grid_world import world
from flexlam_jax.grid_world.scores import unpredictable

_STARTS, _STEPS = 100, 20


def action_worth() -> float:
    """Squared error that a code of what the action did takes away, under the uniform policy."""
    return unpredictable(world.policy("uniform"))


def noise_worth(codes: int, intensity: float, *, shifted: bool = False) -> float:
    """Squared error that the best `codes` values for the noise row take away.

    By Lloyd's algorithm from many starts, always the same ones.
    """
    bits = ((np.arange(world.NOISES)[:, None] >> np.arange(world.COLUMNS)) & 1) - 0.5
    if shifted:
        bits = _over_turns(bits)
    left = min(_left(bits, codes, np.random.default_rng(start)) for start in range(_STARTS))
    return intensity**2 * float(np.square(bits).sum(1).mean() - left)


def threshold(codes: int, *, shifted: bool = False) -> float:
    """The intensity at which action and noise are worth the same."""
    return float(np.sqrt(action_worth() / noise_worth(codes, 1.0, shifted=shifted)))


def _over_turns(bits: np.ndarray) -> np.ndarray:
    """The mean of what is to be predicted: two shifts by -1, 0 or 1 lie up to two cells apart."""
    shifts = (-1, 0, 1)
    turned = [np.roll(bits, one - other, axis=1) for one in shifts for other in shifts]
    return np.mean(turned, axis=0)


def _left(points: np.ndarray, codes: int, rng: np.random.Generator) -> float:
    """Error that is left by one k-means."""
    centres = points[rng.choice(len(points), codes, replace=False)]
    centres = centres + 0.1 * rng.normal(size=centres.shape)  # Ties fall either way.
    for _ in range(_STEPS):
        nearest = np.square(points[:, None] - centres).sum(-1).argmin(1)
        members = [points[nearest == code] for code in range(codes)]
        centres = np.array(
            [m.mean(0) if len(m) else c for m, c in zip(members, centres, strict=True)]
        )
    return float(np.square(points[:, None] - centres).sum(-1).min(1).mean())

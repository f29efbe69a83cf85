"""What a code of the grid world tells, exactly: over every transition, without sampling.

The test distribution is always the uniform policy in uniform cells, under which each of the 15,360
transitions is equally likely; so models of the correlated policy are asked what happens after other
actions, too.

A loss is divided by what no code could know: the error of the best prediction from the current
frame alone. 1 is then a code that tells nothing, 0 one that tells all; more than 1 is a forward
model that takes one outcome for granted. Dividing by the variance of the next frame instead, which
is `of_signal` of it, the best prediction without a code would have 0.74 in the upper rows.

Dimension keys: N transitions, K slots, V codes of a slot, S cells, A actions.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from flexlam_jax.evaluation.codes import entropy_bits
from flexlam_jax.grid_world import world
from flexlam_jax.grid_world.model import GridLam

_PARTS = 15  # Pieces that the transitions are decoded in, for the memory of many models at once.


def unpredictable(probabilities_SA: np.ndarray) -> float:
    """Squared error in the upper rows of the best prediction without a code, in uniform cells."""
    chances = np.zeros((world.CELLS, world.CELLS))
    np.add.at(chances, (np.arange(world.CELLS)[:, None], world.moves()), probabilities_SA)
    return float((1 - np.square(chances).sum(1)).mean())


def signal() -> float:
    """Variance of the next frame in the upper rows: that of a one-hot of 12 uniform cells."""
    return 1 - 1 / world.CELLS


def noise_variance(intensity: float) -> float:
    """Of the noise row; the next one is as uncertain with the current frame as without."""
    return world.COLUMNS * intensity**2 / 4


def decoded(
    model: GridLam, params: Any, intensity: jax.Array, keep: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Every transition of `world.every_transition` through one model; may be vmapped.

    Returns:
      Squared errors (N,) in the upper rows and in the noise row, summed over cells, and ids (N, K).
    """
    every = jax.tree.map(jnp.asarray, world.every_transition())
    before = world.frames(every.cell, every.noise, intensity)
    after = world.frames(every.next_cell, every.next_noise, intensity)

    def part(pair: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array, jax.Array]:
        o, o_next = pair
        variables = {"params": params}
        code = model.apply(variables, o, o_next, method="infer")
        told = jnp.full(len(o), keep)
        predicted = model.apply(variables, o, code.values, told, method="predict")
        error = jnp.square(predicted - o_next)
        upper, noise = error[:, : world.ROWS], error[:, world.ROWS :]
        return upper.sum((1, 2)), noise.sum((1, 2)), code.ids

    split = jax.tree.map(lambda x: x.reshape(_PARTS, -1, *x.shape[1:]), (before, after))
    parts = jax.lax.map(part, split)
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), parts)


def scores(
    upper_N: np.ndarray, noise_N: np.ndarray, ids_NK: np.ndarray, intensity: float, codes: int
) -> dict[str, float | None]:
    """What the first K slots tell; `decoded` gives the arguments.

    Returns:
      controllable, stochastic: the losses above; stochastic is None without noise.
      of_signal: the controllable error by the variance of the next frame.
      own: the controllable error where the correlated policy goes, by what that leaves open.
      used: codes that occur, of V to the power of K.
      accuracy: of telling by the code alone what the frames show the action to have done.
      accuracy_in_cell: of telling it by the code and the cell.
      action_bits, action_bits_in_cell, noise_bits: mutual information of the code with what the
        action did, the same where the cell is known, and with the next noise row.
    """
    every = world.every_transition()
    effect = world.effects()[every.cell, every.action]
    code = ids_NK @ codes ** np.arange(ids_NK.shape[1])
    correlated = world.policy("correlated")
    weights = correlated[every.cell, every.action]
    uniform = unpredictable(world.policy("uniform"))
    jointly = _joint(code, effect)
    in_cells = [_joint(code[every.cell == s], effect[every.cell == s]) for s in range(world.CELLS)]
    return {
        "controllable": float(upper_N.mean() / uniform),
        "stochastic": float(noise_N.mean() / noise_variance(intensity)) if intensity else None,
        "of_signal": float(upper_N.mean() / signal()),
        "own": float(np.average(upper_N, weights=weights) / unpredictable(correlated)),
        "used": float(len(np.unique(code))),
        "accuracy": _accuracy(jointly),
        "accuracy_in_cell": float(np.mean([_accuracy(joint) for joint in in_cells])),
        "action_bits": _information(jointly),
        "action_bits_in_cell": float(np.mean([_information(joint) for joint in in_cells])),
        "noise_bits": _information(_joint(code, every.next_noise)),
    }


def _joint(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Probabilities of pairs of integers."""
    table = np.zeros((first.max() + 1, second.max() + 1))
    np.add.at(table, (first, second), 1 / len(first))
    return table


def _accuracy(joint: np.ndarray) -> float:
    """Of the likeliest second, given the first."""
    return float(joint.max(axis=1).sum())


def _information(joint: np.ndarray) -> float:
    """Mutual information in bits."""
    apart = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    there = joint > 0
    return float((joint[there] * np.log2(joint[there] / apart[there])).sum())


def action_entropy() -> tuple[float, float]:
    """Bits that a code can tell of what the action did: by itself, and where the cell is known."""
    effect = world.effects()
    chances = np.stack([np.bincount(row, minlength=len(world.ACTIONS)) for row in effect])
    together = entropy_bits(chances.sum(0))
    return float(together), float(entropy_bits(chances).mean())

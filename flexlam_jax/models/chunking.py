"""Dynamic chunking (H-Net, arXiv 2507.07955): where a sequence is cut, what is kept of it, and how
what was computed of the chunks gets back to the steps. Pure functions, static shapes.

A position is a boundary where it differs in direction from the one before it; the first is one
always. Of every chunk only the vector at its boundary goes on. Where the paper and the official
code (goombalab/hnet, hnet/modules/dc.py) differ, the code decides, and the paper is an option.

Dimension keys: B rows, T positions, D width, M the most chunks of a row. Positions of a row that
are not `valid`, bool (B, T), are padding and stand at its end. Probabilities are float32.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from flexlam_jax.errors import ConfigError

# Which of two neighbours is asked by the query: the official code asks with the earlier one for the
# key of the later one, the paper (its equation 4) the other way round.
PAIRINGS = ("code", "paper")
# A chunk's weight in the moving average stays off 0 and 1, as in the official code.
LEAST_WEIGHT = 1e-4
_LEAST_NORM = 1e-6


def boundary_probability(
    queries: jax.Array,
    keys: jax.Array,
    *,
    pairing: str = "code",
    temperature: float = 1.0,
    offset: jax.Array | None = None,
) -> jax.Array:
    """How much each position differs from the one before it: (1 - cos(query, key)) / 2.

    Vectors shorter than 1e-6, as in padding, have no direction: the probability is 1/2 there, and no
    gradient passes.

    Args:
      queries, keys: (B, T, D).
      pairing: "code": position t from query t-1 and key t; "paper": from query t and key t-1.
      temperature: of the softmax over boundary or none, at most 1. Less than 1 moves probabilities
        away from 1/2 and leaves every decision as it was; 1 is the published model.
      offset: scalar that is added to the log odds of every position but the first, which moves the
        angle that is a boundary: 90 degrees at 0, the published model, less where it is positive.
        Equal directions are no boundary at any offset.

    Returns:
      float32 (B, T) in [0, 1], the first 1.

    Raises:
      ConfigError: another pairing, or fewer than two positions.
    """
    if pairing not in PAIRINGS:
        raise ConfigError(f"pairing={pairing!r} is unknown; choose one of {PAIRINGS}")
    if queries.shape[1] < 2:
        raise ConfigError(
            f"a sequence of {queries.shape[1]} has nothing to be cut; give two positions or more"
        )
    asked, of = (
        (queries[:, :-1], keys[:, 1:])
        if pairing == "code"
        else (
            queries[:, 1:],
            keys[:, :-1],
        )
    )
    later = dissimilarity(asked, of, temperature, offset)
    return jnp.concatenate([jnp.ones_like(later[:, :1]), later], axis=1)


def dissimilarity(
    a: jax.Array, b: jax.Array, temperature: float = 1.0, offset: jax.Array | None = None
) -> jax.Array:
    """(1 - cos(a, b)) / 2 of vectors (..., D), with the odds times e^offset, sharpened by
    temperature; float32 (...)."""
    cosine = jnp.sum(_direction(a) * _direction(b), axis=-1)
    probability = jnp.clip((1 - cosine) / 2, 0.0, 1.0)
    if offset is not None:
        odds = jnp.exp(offset) * probability
        probability = odds / (odds + 1 - probability)
    if temperature == 1.0:
        return probability
    yes, no = probability ** (1 / temperature), (1 - probability) ** (1 / temperature)
    return yes / (yes + no)


def _direction(x: jax.Array) -> jax.Array:
    x = x.astype(jnp.float32)
    square = jnp.sum(jnp.square(x), axis=-1, keepdims=True)
    long = square > _LEAST_NORM**2
    # The inner choice keeps the gradient finite where the outer one throws it away.
    return jnp.where(long, x * jax.lax.rsqrt(jnp.where(long, square, 1.0)), 0.0)


def boundaries(
    probability: jax.Array, valid: jax.Array | None = None, *, ties: bool = False
) -> jax.Array:
    """Positions that are likelier boundaries than not, bool like `probability`.

    Args:
      probability: (B, T).
      valid: bool (B, T); padding is never a boundary. None: all are valid.
      ties: whether 1/2 is a boundary, as in the paper; in the official code it is none.
    """
    found = probability >= 0.5 if ties else probability > 0.5
    return found if valid is None else found & valid


def merge_runs(boundary: jax.Array, within: int) -> jax.Array:
    """Of boundaries that follow each other at less than `within` positions, the first.

    A position is judged by those before it alone. `within` 1 changes nothing.
    """
    if within <= 1:
        return boundary
    times = jnp.arange(boundary.shape[1])
    last = jax.lax.cummax(jnp.where(boundary, times, -within), axis=1)
    before = jnp.pad(last[:, :-1], ((0, 0), (1, 0)), constant_values=-within)
    return boundary & (times - before >= within)


def first_boundaries(boundary: jax.Array, most: int) -> jax.Array:
    """The first `most` boundaries of each row, bool (B, T)."""
    return boundary & (jnp.cumsum(boundary, axis=1) <= most)


class Chunks(NamedTuple):
    """What is left of a sequence, the chunks of a row first, then padding.

    Attributes:
      values: (B, M, D), at the boundaries; zero in padding.
      position: int32 (B, M), where in the sequence; 0 in padding.
      valid: bool (B, M).
    """

    values: jax.Array
    position: jax.Array
    valid: jax.Array


def select(values: jax.Array, boundary: jax.Array, most: int) -> Chunks:
    """Keeps the vectors at the first `most` boundaries.

    Args:
      values: (B, T, D).
      boundary: bool (B, T).
      most: M.
    """
    number = jnp.where(boundary, jnp.cumsum(boundary, axis=1) - 1, most)
    times = jnp.arange(boundary.shape[1], dtype=jnp.int32)

    def place(number: jax.Array) -> jax.Array:
        return jnp.zeros(most, jnp.int32).at[number].set(times, mode="drop")

    position = jax.vmap(place)(number)
    valid = jnp.arange(most) < jnp.sum(boundary, axis=1, keepdims=True)
    kept = jnp.take_along_axis(values, position[..., None], axis=1)
    return Chunks(jnp.where(valid[..., None], kept, 0), position, valid)


def chunk_number(boundary: jax.Array) -> jax.Array:
    """Which chunk each position belongs to, int32 (B, T); 0 also before the first boundary."""
    return jnp.maximum(jnp.cumsum(boundary, axis=1) - 1, 0)


def spread(chunks: jax.Array, boundary: jax.Array) -> jax.Array:
    """Every position gets the vector of its chunk: (B, M, D), bool (B, T) -> (B, T, D).

    Positions of chunks after the last of M get that of the last.
    """
    number = jnp.minimum(chunk_number(boundary), chunks.shape[1] - 1)
    return jnp.take_along_axis(chunks, number[..., None], axis=1)


def dechunk(values: jax.Array, probability: jax.Array, boundary: jax.Array) -> jax.Array:
    """The moving average over chunks, held from each boundary to the next (the paper's eq. 5).

    At a boundary it moves from the average so far, 0 at the start, towards the vector there by the
    boundary's probability, which is kept in [1e-4, 1 - 1e-4]. The same function serves for all
    positions and for chunks alone, whose `boundary` is then which of them are valid.

    Args:
      values: (B, T, D), read at boundaries only.
      probability: (B, T).
      boundary: bool (B, T).

    Returns:
      float32 (B, T, D).
    """
    weight = ema_weight(probability, boundary)[..., None]
    new = weight * jnp.where(boundary[..., None], values.astype(jnp.float32), 0.0)

    def after(first: tuple, second: tuple) -> tuple:
        return first[0] * second[0], second[0] * first[1] + second[1]

    return jax.lax.associative_scan(after, (1 - weight, new), axis=1)[1]


def ema_weight(probability: jax.Array, boundary: jax.Array) -> jax.Array:
    """How far the average of `dechunk` moves at each position; 0 where there is no boundary."""
    clipped = jnp.clip(probability.astype(jnp.float32), LEAST_WEIGHT, 1 - LEAST_WEIGHT)
    return jnp.where(boundary, clipped, 0.0)


def confidence(probability: jax.Array, boundary: jax.Array) -> jax.Array:
    """1, with the gradient of the probability of what was decided (the paper's eqs. 6 and 7)."""
    decided = jnp.where(boundary, probability, 1 - probability)
    return decided + jax.lax.stop_gradient(1 - decided)


def ratio_loss(
    probability: jax.Array, boundary: jax.Array, valid: jax.Array, target: float
) -> jax.Array:
    """How far the share of boundaries is from 1 in `target`, over all valid positions.

    N / (N - 1) ((N - 1) F G + (1 - F)(1 - G)), with F the share of boundaries and G the mean
    probability (the paper's eq. 10, over a whole batch as in the official code): 1 where F = G =
    1 / N. The gradient passes G alone.

    Args:
      probability: (B, T).
      boundary: bool (B, T).
      valid: bool (B, T); 0 is returned where nothing is.
      target: N > 1, positions per chunk; not checked inside a `jit` that it is an argument of.

    Raises:
      ConfigError: a target of 1 or less.
    """
    return _ratio(probability, boundary, valid, target, axis=None)


def ratio_losses(
    probability: jax.Array, boundary: jax.Array, valid: jax.Array, target: float
) -> jax.Array:
    """`ratio_loss` of each row by itself, float32 (B,): a batch that is cut has the same ones."""
    return _ratio(probability, boundary, valid, target, axis=1)


def check_target(target: float) -> None:
    """Raises ConfigError for a number of positions per chunk that is no compression."""
    if not (np.isfinite(target) and target > 1):
        raise ConfigError(
            f"a ratio target of {target} positions per chunk: give more than 1, as 1 would make "
            "every position a chunk"
        )


def _ratio(
    probability: jax.Array,
    boundary: jax.Array,
    valid: jax.Array,
    target: float,
    axis: int | None,
) -> jax.Array:
    if not isinstance(target, jax.core.Tracer):
        check_target(target)
    count = jnp.sum(valid, axis=axis, dtype=jnp.float32)

    def mean(x: jax.Array) -> jax.Array:
        x = x.astype(jnp.float32)
        return jnp.sum(jnp.where(valid, x, 0.0), axis=axis) / jnp.maximum(count, 1.0)

    F, G, N = mean(boundary), mean(probability), target
    loss = N / (N - 1) * ((N - 1) * F * G + (1 - F) * (1 - G))
    return jnp.where(count > 0, loss, 0.0)

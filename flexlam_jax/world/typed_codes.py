"""The translator's inverse: which code a key of a typed action plays, chosen from data.

    book = code_book(tokens, keep=1)                          # the codes that data hold, by frequency
    reads = translator(null_filled prefix of every code)      # (V,)
    right = reliability(book.code, reads, action, episode)    # of labelled transitions
    typed = codes_of_actions(reads, book.share, right)        # action -> code

A code is the ids of the first k slots. A translator gives every code an action; several codes may
read as the same one, and some action may have none. What the reading is worth, labelled transitions
say: of those with this code, the share whose true action is the one that is read.

Dimension keys: N transitions, K slots, V distinct codes, k slots that count.
"""

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import numpy as np
from scipy.cluster.vq import kmeans2
from scipy.spatial.distance import cdist

from flexlam_jax.evaluation.intervals import over_trials
from flexlam_jax.reports.results import Number


class CodeBook(NamedTuple):
    """The distinct codes of transitions, the most frequent first; of equals the smaller ids.

    ids: (V, k), the ids of a code, or of continuous slots the numbers (V, k * D) of its example.
    share: (V,), of the transitions.      code: (N,), which of them each transition has.
    example: (V,), a transition that has each code.
    """

    ids: np.ndarray
    share: np.ndarray
    code: np.ndarray
    example: np.ndarray


def code_book(tokens: np.ndarray, keep: int) -> CodeBook:
    """The codes of the first `keep` slots.

    Args:
      tokens: int (N, K), as `LoadedLam.tokens` gives them.

    Raises:
      ValueError: no transition, or keep outside 0..K.
    """
    tokens = np.asarray(tokens)
    if tokens.ndim != 2 or not len(tokens) or not 0 <= keep <= tokens.shape[1]:
        raise ValueError(
            f"code_book: tokens have shape {tokens.shape} and keep is {keep}; give (N, K) with N "
            "above 0 and keep from 0 to K"
        )
    ids, first, code, counts = np.unique(
        tokens[:, :keep], axis=0, return_index=True, return_inverse=True, return_counts=True
    )
    return _by_frequency(ids, code.reshape(-1), counts, first)


def cluster_book(slots: np.ndarray, keep: int, count: int, seed: int = 0) -> CodeBook:
    """Of continuous slots, which have no ids: k-means of the first `keep` of them, each cluster
    standing for a code that its member nearest to the mean shows.

    Args:
      slots: float (N, K, D).   count: clusters, at most; empty ones are left out.

    Raises:
      ValueError: no transition.
    """
    rows = np.asarray(slots, np.float64)[:, :keep].reshape(len(slots), -1)
    if not rows.size:
        return code_book(np.zeros((len(slots), 1), np.int64), 0)  # raises where there is no row
    distinct = len(np.unique(rows, axis=0))
    means, code = kmeans2(rows, min(count, distinct), minit="++", rng=seed, missing="warn")
    held, code, counts = np.unique(code, return_inverse=True, return_counts=True)
    distance = np.square(rows - means[held][code]).sum(-1)
    example = np.array([np.where(code == v, distance, np.inf).argmin() for v in range(len(held))])
    return _by_frequency(rows[example], code, counts, example)


def nearest_codes(ids: np.ndarray, slots: np.ndarray) -> np.ndarray:
    """Of other continuous transitions (N, K, D), which example of `cluster_book` is nearest: (N,)."""
    width = slots.shape[-1]
    rows = np.asarray(slots, np.float64)[:, : ids.shape[1] // width].reshape(len(slots), -1)
    return cdist(rows, ids).argmin(-1) if ids.shape[1] else np.zeros(len(slots), np.int64)


def _by_frequency(
    ids: np.ndarray, code: np.ndarray, counts: np.ndarray, example: np.ndarray
) -> CodeBook:
    order = np.argsort(-counts, kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    return CodeBook(ids[order], counts[order] / len(code), place[code], example[order])


def known_codes(ids: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    """Which of the codes `ids` (V, k) other transitions (N, K) have: (N,), -1 for none of them."""
    number = {tuple(code): v for v, code in enumerate(np.asarray(ids).tolist())}
    prefixes = np.asarray(tokens)[:, : ids.shape[1]].tolist()
    return np.array([number.get(tuple(code), -1) for code in prefixes], np.int64)


def reliability(
    code: np.ndarray, reads: np.ndarray, action: np.ndarray, episode: np.ndarray
) -> dict[int, Number]:
    """Of every code that occurs, how often its action is the one that it reads as.

    Transitions of one episode are not independent. The interval is Wilson's with an episode as one
    trial, and fewer trials where few episodes hold most transitions, (Σ n)² / Σ n² of episodes of n
    (Kish 1965): wide enough even if all of an episode agree, and it has a width where all agree.

    Args:
      code: (N,) of labelled transitions, negative where it is no code of the book.
      reads: int (V,), the action that every code reads as.
      action: int (N,), the true one.
      episode: (N,).

    Returns:
      Code -> share with its interval; n counts episodes. Codes that do not occur have no entry.
    """
    code, action, episode = map(np.asarray, (code, action, episode))
    found = {}
    for v in np.unique(code[code >= 0]).tolist():
        own = code == v
        rate = float((action[own] == reads[v]).mean())
        held = np.unique(episode[own], return_counts=True)[1]
        trials = int(held.sum() ** 2 // np.square(held).sum())
        number = over_trials([rate], [trials], unit="share", over="episodes")
        found[v] = dataclasses.replace(number, n=len(held))
    return found


def codes_of_actions(
    reads: np.ndarray,
    share: np.ndarray,
    right: Mapping[int, Number] | None = None,
    proven: Collection[int] = (),
) -> dict[int, int]:
    """Action -> the code that plays it, for every action that some code reads as.

    Of several codes one that is proven, and of these the one whose reliability has the highest lower
    end, so that neither a lucky rare code nor a frequent wrong one wins; without labels the most
    frequent.

    Args:
      reads: int (V,).   share: (V,), of transitions with each code.   right: see `reliability`.
      proven: codes that were shown to do what they read as.
    """
    right = right or {}

    def worth(v: int) -> tuple[Any, ...]:
        return v in proven, (right[v].low if v in right else 0.0), share[v], -v

    chosen: dict[int, int] = {}
    for v, action in enumerate(np.asarray(reads).tolist()):
        if action not in chosen or worth(v) > worth(chosen[action]):
            chosen[action] = v
    return chosen


def still_code(motion: np.ndarray, share: np.ndarray, least: float = 0.005) -> int:
    """The code of the smallest mean motion, which stands for no action where none has a name.

    Args:
      motion: float (V,), mean length of the displacement of the transitions with each code.
      share: (V,); codes below `least` are passed over, unless all are: means of few say little.
    """
    eligible = np.asarray(share) >= least
    eligible = eligible if eligible.any() else np.ones_like(eligible)
    return int(np.argmin(np.where(eligible, motion, np.inf)))


def commonest_actions(code: np.ndarray, action: np.ndarray, codes: int, actions: int) -> np.ndarray:
    """What every code reads as where there is no translator: the commonest action of the labelled
    transitions with it, of equals the first, int (V,); -1 for a code without any.

    Args:
      code: int (N,), negative where it is no code of the book.   action: int (N,) in 0..actions-1.
    """
    counts = np.zeros((codes, actions), np.int64)
    np.add.at(counts, (code[code >= 0], action[code >= 0]), 1)
    return np.where(counts.any(-1), counts.argmax(-1), -1)

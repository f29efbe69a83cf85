"""What can be measured of a latent action model without any label.

Every row is 1 at best and 0 where the code of an unrelated transition would do as well, but for the
scene cut, of which less is better. Definitions, sources and what they do not say:
docs/exogenous/report.md.

Dimension keys: M transitions, K slots, D slot width, H W C image.
"""

import dataclasses
from typing import Any

import numpy as np

from flexlam_jax.evaluation.evaluator import Data, Evaluator
from flexlam_jax.evaluation.lam.code_agreement import (
    agreement,
    linear_agreement,
    relative,
    same_ids,
    strangers,
)
from flexlam_jax.evaluation.lam.reconstruction import image_errors, kept_transitions
from flexlam_jax.evaluation.lam.settings import chosen_budgets
from flexlam_jax.reports.pictures import to_bytes
from flexlam_jax.reports.results import Column, Number, Table, used

DECODED = 256  # transitions that are decoded anew, of those kept
ENCODED = 512  # transitions that are only encoded anew

COLUMNS = (
    Column("k", "k"),
    Column("cut_carried", "cut: picture carried", 3),
    Column("cut_shuffled", "cut: shuffled", 3),
    Column("cycle", "cycle", 3),
    Column("transfer", "transfer", 3),
    Column("transfer_ids", "same ids after transfer", 3),
    Column("transfer_ids_shuffled", "same ids, shuffled", 3),
    Column("additivity", "additivity", 3),
    Column("additivity_linear", "additivity, linear map", 3),
    Column("reversibility", "reversibility", 3),
    Column("reversibility_linear", "reversibility, linear map", 3),
)
CAPTION = (
    "Cut: o_{t+1} is replaced by a frame of another episode; the share of the difference between the "
    "two pictures that the decoded frame holds. A code of actions has no room for it: less is better. "
    "Cycle: the decoded frame is encoded again. Transfer: the code is decoded on a frame of another "
    "episode and encoded again. Additivity: the codes of two steps added up, against that of both. "
    "Reversibility: minus the code of the step back. 1 is perfect, 0 no better than the code of an "
    "unrelated transition. Linear map: fitted on half of the episodes, scored on the others."
)


def label_free(lam: Any, data: Data) -> Table:
    """A row per prefix length k; a key is left out where the data do not allow it.

    cut_carried, cut_shuffled        1 - error / error of copying o_t at artificial cuts, with the
                                     cut's code and with that of another cut
    cycle, transfer                  `agreement` of the code with the one read from the decoded frame
    cycle_ids, transfer_ids, and with _shuffled: chance      of discrete slots, see `same_ids`
    additivity, reversibility        `agreement` of z(a->b) + z(b->c) with z(a->c), of -z(b->a) with
                                     z(a->b); with _linear: `linear_agreement`
    """
    budgets = chosen_budgets(lam, data.settings.budgets)
    tick = data.stage("without labels", len(budgets))
    decoded, steps = _Decoded.of(lam, data), _Steps.of(lam, data)
    rows: list[dict[str, Any]] = []
    for k in budgets:
        rows.append({"k": int(k), **decoded.row(lam, k), **steps.row(k)})
        tick()
    return Table("Without labels", rows, used(COLUMNS, rows), index=("k",), caption=CAPTION)


@dataclasses.dataclass(frozen=True)
class _Decoded:
    """What is decoded and encoded again.

    Attributes:
      slots, ids: all of the transitions.      cut: all slots from o_t to o_next of the partner.
    """

    o_t: np.ndarray
    o_next: np.ndarray
    slots: np.ndarray
    ids: np.ndarray | None
    cut: np.ndarray
    episode: np.ndarray
    partner: np.ndarray

    @classmethod
    def of(cls, lam: Any, data: Data) -> "_Decoded":
        o_t, o_next, episode = kept_transitions(data)
        some = _evenly(len(o_t), DECODED)
        o_t, o_next, episode = o_t[some], o_next[some], episode[some]
        codes, rows = data.test["codes"], data.test.rows[some]
        partner = strangers(episode, data.settings.seed)
        cut, _ = lam.encode_with_ids(o_t, o_next[partner])
        ids = None if codes["ids"] is None else codes["ids"][rows]
        return cls(o_t, o_next, codes["slots"][rows], ids, np.asarray(cut), episode, partner)

    def row(self, lam: Any, k: int) -> dict[str, Number]:
        found = self._cut(lam, k)
        code = np.asarray(lam.null_fill(self.slots, k))
        for name, start in (("cycle", self.o_t), ("transfer", self.o_t[self.partner])):
            again, ids = lam.encode_with_ids(start, _seen(lam.decode(start, code), start))
            again = np.asarray(lam.null_fill(again, k))
            found[name] = agreement(_flat(code), _flat(again), self.partner, self.episode)
            if self.ids is not None and k:
                found[f"{name}_ids"], found[f"{name}_ids_shuffled"] = same_ids(
                    self.ids[:, :k], np.asarray(ids)[:, :k], self.partner, self.episode
                )
        return found

    def _cut(self, lam: Any, k: int) -> dict[str, Number]:
        target = self.o_next[self.partner]
        copied = image_errors(self.o_t, target)["mse"]
        codes = np.asarray(lam.null_fill(self.cut, k))
        named = {"cut_carried": codes, "cut_shuffled": codes[self.partner]}
        return {
            name: relative(
                image_errors(lam.decode(self.o_t, one), target)["mse"], copied, self.episode
            )
            for name, one in named.items()
        }


@dataclasses.dataclass(frozen=True)
class _Steps:
    """All slots of steps between frames a, b, c of one episode; None without such three frames."""

    forth: np.ndarray  # a -> b
    back: np.ndarray  # b -> a
    episode: np.ndarray
    two: "_Two | None"

    @classmethod
    def of(cls, lam: Any, data: Data) -> "_Steps":
        o_t, o_next, episode = kept_transitions(data)
        some = _evenly(len(o_t), ENCODED)
        forth = data.test["codes"]["slots"][data.test.rows[some]]
        back, _ = lam.encode_with_ids(o_next[some], o_t[some])
        return cls(forth, np.asarray(back), episode[some], _Two.of(lam, data))

    def row(self, k: int) -> dict[str, Number]:
        forth, back = _prefix(self.forth, k), _prefix(self.back, k)
        found = _both("reversibility", -back, back, forth, self.episode)
        return found | (self.two.row(k) if self.two else {})


@dataclasses.dataclass(frozen=True)
class _Two:
    """All slots of a -> b, b -> c and a -> c."""

    first: np.ndarray
    second: np.ndarray
    both: np.ndarray
    episode: np.ndarray

    @classmethod
    def of(cls, lam: Any, data: Data) -> "_Two | None":
        later = data.test["later"]
        there = np.flatnonzero(later["there"])
        if len(there) < 2:
            return None
        there = there[_evenly(len(there), ENCODED)]
        o_t, o_next, episode = (one[there] for one in kept_transitions(data))
        third = later["frame"][there]
        first = data.test["codes"]["slots"][data.test.rows[there]]
        second, _ = lam.encode_with_ids(o_next, third)
        both, _ = lam.encode_with_ids(o_t, third)
        return cls(first, np.asarray(second), np.asarray(both), episode)

    def row(self, k: int) -> dict[str, Number]:
        first, second, both = (_prefix(one, k) for one in (self.first, self.second, self.both))
        inputs = np.concatenate([first, second], 1)
        return _both("additivity", first + second, inputs, both, self.episode)


def _both(name: str, found, inputs, wanted, episode) -> dict[str, Number]:
    """The agreement of what is found with what is wanted, and by a linear map of the inputs."""
    result = {name: agreement(wanted, found, strangers(episode, 0), episode)}
    linear = linear_agreement(inputs, wanted, episode)
    return result | ({f"{name}_linear": linear} if linear else {})


def _seen(decoded: Any, like: np.ndarray) -> np.ndarray:
    """What is decoded as the encoder reads frames; those of vectors are floats as they are."""
    decoded = np.asarray(decoded)
    return to_bytes(decoded) if like.dtype == np.uint8 else decoded.astype(like.dtype)


def _prefix(slots_MKD: np.ndarray, k: int) -> np.ndarray:
    """The first k slots alone, (M, k * D): sums and signs say nothing of the null latent."""
    return _flat(np.asarray(slots_MKD)[:, :k])


def _flat(codes: np.ndarray) -> np.ndarray:
    return codes.reshape(len(codes), -1)


def _evenly(count: int, most: int) -> np.ndarray:
    """At most so many of 0..count-1, evenly spaced."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))


LABEL_FREE = Evaluator("label_free", label_free, reads=("codes", "frames", "later"))

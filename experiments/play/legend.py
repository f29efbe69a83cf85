"""The legend of the keys, learned from data: what the codes are, what they move and what they read as.

Codes, their motion and the choice of a code for an action come from train transitions; how often a
code reads right is told of validation transitions, which chose nothing. A card of actions beside the
checkpoint (evaluate_world) says more, and goes first.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from experiments.play.controls import DIGITS, Code, Keyboard
from experiments.play.keys import still_action
from flexlam_jax.errors import UserError
from flexlam_jax.loading.action_card import ActionCard, CodeCard
from flexlam_jax.loading.lam import LoadedLam
from flexlam_jax.loading.translator import LoadedTranslator
from flexlam_jax.world import typed_codes
from flexlam_jax.world.displacement import displacement, mean_motion
from flexlam_jax.world.typed_codes import CodeBook

MOST_CODES = 512  # of a budget that are looked at, the most frequent
CLUSTERS = 9  # of continuous slots, which have no codes of their own


@dataclasses.dataclass(frozen=True)
class Transitions:
    """N of them: slots (N, K, D), tokens (N, K) or None, shift (N, 2) or None where it was not asked
    for, episode (N,), action (N, ...) or None."""

    slots: np.ndarray
    tokens: np.ndarray | None
    shift: np.ndarray | None
    episode: np.ndarray
    action: np.ndarray | None


@dataclasses.dataclass(frozen=True)
class Reading:
    """How codes get their actions. translator: None where the commonest action of a code's own
    transitions stands in for it.   names: of the actions, () where none is known.
    labelled: whether the data's own actions are these, so that a reading can be right or wrong."""

    translator: LoadedTranslator | None
    names: tuple[str, ...]
    discrete: bool = True
    labelled: bool = False

    @classmethod
    def of(cls, lam: LoadedLam, translator: LoadedTranslator | None, action: Any) -> "Reading":
        """action: the data's ActionSpec, or None.

        Raises:
          UserError: the translator reads the codes of another model.
        """
        known = action is not None and action.kind == "discrete"
        if translator is None:
            return cls(None, tuple(action.names) if known else (), labelled=known)
        config, made_by = translator.config, lam.fingerprint()
        if config.lam.get("fingerprint") != made_by:
            raise UserError(
                f"the translator was fitted on the codes of the latent action model "
                f"{str(config.lam.get('fingerprint', 'unknown'))[:12]}, and those that are played "
                f"are of {made_by[:12]}, step {lam.step}; give the translator of this model, or "
                "make one with experiments.align_translator"
            )
        names = tuple(config.action_names)
        labelled = known and config.discrete and tuple(action.names) == names
        return cls(translator, names, config.discrete, labelled)

    def labels(self, transitions: Transitions) -> np.ndarray | None:
        """Their true actions, where a reading can be compared with them."""
        return transitions.action if self.labelled else None

    def reads(self, slots: np.ndarray, code: np.ndarray, labels: np.ndarray | None) -> Any:
        """Of null-filled slots (V, K, D), and codes (N,) of labelled transitions: (V,) or (V, A);
        None where nothing reads them."""
        if self.translator is not None:
            return np.asarray(self.translator(slots))
        if labels is None:
            return None
        return typed_codes.commonest_actions(code, labels, len(slots), len(self.names))


def transitions_of(
    lam: LoadedLam, batches: Iterable[Mapping[str, np.ndarray]], *, motion: bool
) -> Transitions:
    """What the legend needs of batches of frame pairs, as `Source.batches` gives them.

    Args:
      motion: whether to measure how far pictures move, which takes most of the time.

    Raises:
      UserError: no transition.
    """
    parts: dict[str, list] = {}
    for batch in batches:
        o_t, o_next = batch["frames"][:, 0], batch["frames"][:, -1]
        slots, tokens = lam.encode_with_ids(o_t, o_next)
        episode = np.asarray(batch["dataset"]) * 10**9 + np.asarray(batch["episode"])
        found = {"slots": slots, "tokens": tokens, "episode": episode}
        found["action"] = batch.get("action")
        if motion:
            found["shift"] = displacement(o_t, o_next)
        for name, value in found.items():
            if value is not None:
                parts.setdefault(name, []).append(np.asarray(value))
    if not parts:
        raise UserError(
            "the data hold no transition to learn the legend from; give other --datasets"
        )
    joined = {name: np.concatenate(values) for name, values in parts.items()}
    if "action" in joined and joined["action"].ndim > 1 and joined["action"].shape[1] == 1:
        joined["action"] = joined["action"][:, 0]
    return Transitions(
        joined["slots"],
        joined.get("tokens"),
        joined.get("shift"),
        joined["episode"],
        joined.get("action"),
    )


def controls_of(
    lam: LoadedLam,
    budgets: Sequence[int],
    train: Transitions,
    held_out: Transitions,
    reading: Reading,
    card: ActionCard | None = None,
) -> dict[int, Keyboard]:
    """The keyboard of every budget."""
    return {
        keep: _keyboard(lam, keep, train, held_out, reading, card.at(keep) if card else ())
        for keep in budgets
    }


def keyboard_of_actions(names: Sequence[str], slots: int, width: int) -> Keyboard:
    """Of a world that is played by true actions, each a one-hot in the first slot."""
    codes = []
    for action, name in enumerate(names):
        one_hot = np.zeros((slots, width), np.float32)
        one_hot[0, action] = 1
        codes.append(Code(one_hot, name, 0.0, (0.0, 0.0), 0.0, action, name))
    rest = still_action(tuple(names))
    typed = {name: action for action, name in enumerate(names)}
    return Keyboard(1, codes, min(DIGITS, len(names)), typed, typed.get(rest))


def _keyboard(lam, keep, train, held_out, reading, cards: Sequence[CodeCard]) -> Keyboard:
    book, other = _book(train, held_out, keep)
    count = min(len(book.ids), MOST_CODES)
    slots = np.asarray(lam.null_fill(train.slots[book.example[:count]], keep))
    code = np.where(book.code < count, book.code, -1)
    other = np.where(other < count, other, -1)
    motion, travel = mean_motion(train.shift, code, count)
    labels, truth = reading.labels(train), reading.labels(held_out)
    reads = reading.reads(slots, code, labels)
    ids = [() if train.tokens is None else tuple(code) for code in book.ids[:count].tolist()]
    names = [""] * count  # of the actions that codes read as
    known, chosen, typed = {}, {}, {}
    if reads is not None and reading.discrete:
        names = [reading.names[action] for action in reads.tolist()]
        if labels is not None:
            chosen = typed_codes.reliability(code, reads, labels, train.episode)
        if truth is not None:
            known = typed_codes.reliability(other, reads, truth, held_out.episode)
    found = [(v, card) for v in range(count) for card in cards if card.ids == ids[v]]
    evaluated = {v: card for v, card in found if card.action == names[v]}
    proven = {v for v, card in evaluated.items() if card.validated}
    if any(names):
        typed = typed_codes.codes_of_actions(reads, book.share[:count], chosen, proven)
        typed = {reading.names[action]: v for action, v in sorted(typed.items())}
    rest = still_action(tuple(typed))
    still = typed[rest] if rest else typed_codes.still_code(travel, book.share[:count])
    shown = list(dict.fromkeys([*range(min(DIGITS, count)), *typed.values(), still]))

    def told(v: int) -> Code:
        action = None if reads is None else reads[v]
        return Code(
            slots=slots[v],
            name="·".join(map(str, ids[v])) or (f"cluster {v + 1}" if keep else "none"),
            share=float(book.share[v]),
            motion=(float(motion[v, 0]), float(motion[v, 1])),
            travel=float(travel[v]),
            action=action if action is None or np.ndim(action) else int(action),
            action_name=names[v],
            reliability=evaluated[v].reliability if v in evaluated else known.get(v),
            validated=v in proven,
        )

    place = {v: n for n, v in enumerate(shown)}
    return Keyboard(
        keep=keep,
        codes=tuple(told(v) for v in shown),
        digits=min(DIGITS, count),
        typed={name: place[v] for name, v in typed.items()},
        still=place[still],
    )


def _book(train: Transitions, held_out: Transitions, keep: int) -> tuple[CodeBook, np.ndarray]:
    """The codes of the train transitions, and which of them the held-out ones have."""
    if train.tokens is not None:
        book = typed_codes.code_book(train.tokens, keep)
        return book, typed_codes.known_codes(book.ids, held_out.tokens)
    book = typed_codes.cluster_book(train.slots, keep, CLUSTERS)
    return book, typed_codes.nearest_codes(book.ids, held_out.slots)

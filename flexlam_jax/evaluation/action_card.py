"""Writes action_card.json: what each code of a checkpoint was shown to mean (loading/action_card.py).

A code reads as the action that the translator gives its null-filled prefix or, without a translator,
as the commonest action of labelled train transitions with it (Genie's dictionary, arXiv 2402.15391,
section 3.3). It is validated as that action where labels say so (reliability) and where the world
does so (obedience), by thresholds that stand in the card.

Dimension keys: V codes, N labelled transitions, S starts, K slots, D slot width.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from flexlam_jax.evaluation.world.effects import InUse
from flexlam_jax.evaluation.world.obedience import share
from flexlam_jax.files import write_atomically
from flexlam_jax.loading.action_card import (
    ActionCard,
    CodeCard,
    Thresholds,
    card_path,
    sealed,
)
from flexlam_jax.reports.results import Number
from flexlam_jax.world.typed_codes import commonest_actions, known_codes, reliability


@dataclasses.dataclass(frozen=True)
class Labelled:
    """Held-out transitions. ids: int (N, K).   action: int (N,).   episode: int (N,)."""

    ids: np.ndarray
    action: np.ndarray
    episode: np.ndarray


@dataclasses.dataclass(frozen=True)
class Obeyed:
    """What a probe of real transitions reads from steps under every code.

    read: int (V, S), actions.   episode: int (S,).   probe: action -> what it reads right of real
    transitions with it.
    """

    read: np.ndarray
    episode: np.ndarray
    probe: Mapping[int, Number]


def read_by_translator(translator: Any, in_use: InUse, null: np.ndarray) -> np.ndarray:
    """The action of every code's null-filled prefix, int (V,)."""
    kept = np.arange(in_use.slots.shape[1])[:, None] < in_use.keep
    return np.asarray(translator(np.where(kept, in_use.slots, null).astype(np.float32)))


def read_by_dictionary(in_use: InUse, action: np.ndarray) -> np.ndarray:
    """The commonest action of the transitions with every code, int (V,); of equals the first.

    Args:
      action: int (P,), of the transitions that `in_use` was made of.
    """
    code = np.where(in_use.book.code < len(in_use.ids), in_use.book.code, -1)
    return commonest_actions(code, action, len(in_use.ids), int(action.max()) + 1)


def code_cards(
    in_use: InUse,
    names: Sequence[str],
    reads: np.ndarray | None,
    labelled: Labelled | None,
    obeyed: Obeyed | None,
    thresholds: Thresholds = Thresholds(),  # noqa: B008, it is frozen.
) -> list[CodeCard]:
    """A card per code of one budget.

    Args:
      names: of actions.      reads: int (V,), the action of every code; None where none is known.
      labelled, obeyed: None where nothing was measured.
    """
    right: dict[int, Number] = {}
    code = np.zeros(0, np.int64)
    if reads is not None and labelled is not None:
        code = known_codes(in_use.ids, labelled.ids)
        right = reliability(code, reads, labelled.action, labelled.episode)
    cards = []
    for v, ids in enumerate(in_use.ids.tolist()):
        action = None if reads is None else int(reads[v])
        base = obedience = probe = elsewhere = None
        if action is not None and labelled is not None:
            base = float((labelled.action == action).mean())
        if action is not None and obeyed is not None:
            obedience = share(obeyed.read[v] == action, obeyed.episode)
            probe = obeyed.probe.get(action)
            others = obeyed.read[reads != action]
            elsewhere = float((others == action).mean()) if len(others) else None
        card = CodeCard(
            budget=in_use.keep,
            ids=tuple(ids),
            slots=tuple(map(tuple, in_use.slots[v, : in_use.keep].tolist())),
            share=float(in_use.share[v]),
            action="" if action is None else names[action],
            reliability=right.get(v),
            labels=int((code == v).sum()),
            base=base,
            obedience=obedience,
            probe=probe,
            validated=False,
            why="",
            elsewhere=elsewhere,
        )
        why = refusal(card, thresholds)
        cards.append(dataclasses.replace(card, validated=not why, why=why))
    return cards


def refusal(card: CodeCard, thresholds: Thresholds) -> str:
    """Why a code is not validated as its action, the first reason in words; "" if it is."""
    if not card.action:
        return "nobody knows which action it reads as: there are no labels"
    if card.labels < thresholds.labels or card.reliability is None or card.base is None:
        return f"{card.labels} held-out labelled transitions have it, and {thresholds.labels} are needed"
    right = card.reliability
    if right.mean < thresholds.reliability:
        return (
            f"{card.action} is the action in {right.mean:.2f} of its transitions, and "
            f"{thresholds.reliability:.2f} is needed"
        )
    if right.low <= card.base:
        return (
            f"the interval of its reliability, {right.low:.2f} to {right.high:.2f}, is not above "
            f"{card.base:.2f}, the share of {card.action} in all transitions"
        )
    if card.obedience is None or card.probe is None:
        return f"it was not measured whether the world does {card.action} under it"
    if card.probe.low <= 0:
        return f"the probe reads too little of real {card.action} to tell whether the world does it"
    needed = thresholds.obedience * card.probe.mean
    if card.obedience.mean < needed:
        return (
            f"{card.action} is read from {card.obedience.mean:.2f} of the steps under it, and "
            f"{needed:.2f} is needed, {thresholds.obedience:.2f} of what is read from real ones"
        )
    if card.elsewhere is None:
        return f"no code of another action shows that the world would not do {card.action} anyway"
    if card.obedience.low <= card.elsewhere:
        return (
            f"the interval of its obedience, {card.obedience.low:.2f} to {card.obedience.high:.2f}, is "
            f"not above {card.elsewhere:.2f}, the share of steps under codes of other actions that "
            f"read as {card.action}"
        )
    return ""


def write_card(checkpoint: Any, card: ActionCard) -> str:
    """Writes the card beside a checkpoint, whole or not at all, and gives its path.

    Raises:
      UserError: it cannot be written.
    """
    path = card_path(checkpoint)
    write_atomically(path, json.dumps(sealed(card), indent=1, allow_nan=False) + "\n")
    return str(path)

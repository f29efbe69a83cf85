"""What each code of a world does and means: rows of a table, and the cards of a card.

Dimension keys: V codes, S starts, P transitions, K slots.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments.evaluate_world.measure import Probe
from experiments.progress_bar import progress
from flexlam_jax.evaluation.action_card import (
    Labelled,
    Obeyed,
    code_cards,
    read_by_dictionary,
    read_by_translator,
)
from flexlam_jax.evaluation.collect import Split
from flexlam_jax.evaluation.world.clips import Clips
from flexlam_jax.evaluation.world.code_motion import code_rows, motion_of, separation
from flexlam_jax.evaluation.world.effects import Effects, InUse, code_effects, codes_in_use
from flexlam_jax.evaluation.world.generation import Sampling
from flexlam_jax.evaluation.world.obedience import Commanded, balanced, recalls, relative
from flexlam_jax.loading.action_card import CodeCard, Thresholds
from flexlam_jax.reports.results import Number
from flexlam_jax.world.typed_codes import codes_of_actions
from flexlam_jax.world.world import World


@dataclasses.dataclass(frozen=True)
class Codes:
    """The codes of one budget.

    Attributes:
      cards: one each.      motion: {dx, dy, spread} each, {} where all clips are of one episode.
      separation: see `code_motion.separation`, {} likewise.
      typed: see `typed_obedience`, {} without actions.
      shown: effects and displacements (V, S, 2), for pictures.
    """

    keep: int
    cards: list[CodeCard]
    motion: list[dict[str, Number]]
    separation: dict[str, Number]
    typed: dict[str, Any]
    effects: Effects
    displacements: np.ndarray


@dataclasses.dataclass(frozen=True)
class Reading:
    """By what codes read as actions.

    Attributes:
      names: of the actions; () where none are known.
      translator: None for the commonest action of train transitions.
      train: transitions whose codes are in use.      test: held-out ones, with actions or without.
    """

    names: tuple[str, ...]
    translator: Any
    train: Split
    test: Split

    def reads(self, in_use: InUse, null: np.ndarray) -> np.ndarray | None:
        """The action of every code, int (V,); None where no action is known."""
        if not self.names:
            return None
        if self.translator is not None:
            return read_by_translator(self.translator, in_use, null)
        return read_by_dictionary(in_use, self.train["action"])

    def labelled(self) -> Labelled | None:
        """The held-out transitions, None without labels."""
        if not self.names or self.test["action"] is None:
            return None
        return Labelled(self.test["codes"]["ids"], self.test["action"], self.test.episode)


def measure_codes(
    world: World,
    clips: Clips,
    reading: Reading,
    null: np.ndarray,
    budgets: Sequence[int],
    most: int,
    probe: Probe | None,
    sampling: Sampling,
    thresholds: Thresholds,
) -> list[Codes]:
    """The `most` most frequent codes of every budget from 1."""
    recalled = recalls(probe.read, probe.real, probe.classes) if probe else {}
    slots, ids = (reading.train["codes"][name] for name in ("slots", "ids"))
    found = []
    for k in budgets:
        in_use = codes_in_use(slots, ids, k, most)
        tick = progress(f"codes of {k} slots", len(in_use.ids) * len(clips))
        effects = code_effects(world, clips, in_use, sampling, tick)
        obeyed = read = None
        if probe is not None:
            read = probe.reader(effects.pairs()).reshape(effects.after.shape[:2])
            obeyed = Obeyed(read, effects.episode, recalled)
        cards = code_cards(
            in_use,
            reading.names,
            reading.reads(in_use, null),
            reading.labelled(),
            obeyed,
            thresholds,
        )
        motion = motion_of(effects)
        several = len(np.unique(effects.episode)) > 1
        found.append(
            Codes(
                k,
                cards,
                code_rows(motion, effects.episode) if several else [{} for _ in cards],
                separation(motion, effects.episode) if several else {},
                {} if probe is None else typed_obedience(cards, read, effects.episode, probe),
                effects,
                motion,
            )
        )
    return found


def typed_obedience(
    cards: Sequence[CodeCard], read: np.ndarray, episode: np.ndarray, probe: Probe
) -> dict[str, Any]:
    """Whether keys of actions do them: obedience where every action that occurs is commanded by the one
    code that plays it, the most reliable of those that read as it, and not by codes of transitions.

    An action that no code reads as is not obeyed. Reliability is of real transitions, so that the choice
    does not look at what is scored.

    Args:
      read: int (V, S), what the probe reads of a step under each code.      episode: int (S,).

    Returns:
      {"actions": how many have a code, "of": how many occur, "obedience"}, and "relative" where it can
      be told.
    """
    number = {name: action for action, name in enumerate(probe.names)}
    reads = np.array([number.get(card.action, -1) for card in cards], np.int64)
    right = {v: card.reliability for v, card in enumerate(cards) if card.reliability is not None}
    chosen = codes_of_actions(reads, np.array([card.share for card in cards]), right)
    occur = np.unique(probe.real.action)
    made = np.stack([read[chosen[a]] if a in chosen else np.full(len(episode), -1) for a in occur])
    wanted = Commanded(action=np.repeat(occur, len(episode)), episode=np.tile(episode, len(occur)))
    found = {
        "actions": sum(int(action) in chosen for action in occur),
        "of": len(occur),
        "obedience": balanced(made.reshape(-1), wanted.action, wanted.episode, probe.classes),
    }
    of_real = relative((made.reshape(-1), wanted), (probe.read, probe.real), probe.classes)
    return found if of_real is None else {**found, "relative": of_real}

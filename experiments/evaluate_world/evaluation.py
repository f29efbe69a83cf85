"""Reads the data once and measures every world on the same clips."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments.evaluate_world.card import leakage_of
from experiments.evaluate_world.codes import Codes, Reading, measure_codes
from experiments.evaluate_world.measure import Probe, measure
from experiments.evaluate_world.players import LATENT, Player
from experiments.evaluate_world.report import Evaluation
from experiments.evaluate_world.transitions import check_episodes, clips, transitions
from experiments.exogenous_truth import truth_of
from experiments.lam_inputs import Source
from flexlam_jax.evaluation.collect import Split
from flexlam_jax.evaluation.world.clips import Clips
from flexlam_jax.evaluation.world.generation import Sampling
from flexlam_jax.evaluation.world.obedience import Pairs, fit_reader, real_pairs
from flexlam_jax.evaluation.world.usage import usage_rows
from flexlam_jax.loading.action_card import Thresholds
from flexlam_jax.loading.lam import LoadedLam
from flexlam_jax.loading.translator import LoadedTranslator
from flexlam_jax.reports.results import Number


@dataclasses.dataclass(frozen=True)
class Options:
    """What the flags ask for.

    Attributes:
      budgets: prefix lengths k of the latent action model.
      clips, horizon: how many, and their steps.      codes: of each budget to look at.
      probe_pairs, generated_pairs, probe_steps: transitions that the probes are fitted on, and for
        how many steps.
      names: of the actions; () for none, for the reason `no_actions`.
      leakage: whether to measure it where the data allow.
    """

    split: str
    budgets: tuple[int, ...]
    clips: int
    horizon: int
    codes: int
    probe_pairs: int
    generated_pairs: int
    probe_steps: int
    names: tuple[str, ...]
    no_actions: str
    leakage: bool
    sampling: Sampling
    thresholds: Thresholds = Thresholds()  # noqa: RUF009, it is frozen.


@dataclasses.dataclass(frozen=True)
class _Read:
    """What was read of the data: every transition of both splits, and clips.

    Attributes:
      clips: held-out ones, that all is measured on.
      starts: of train, None without actions.
    """

    train: Split
    test: Split
    clips: Clips
    starts: Clips | None


def evaluate(
    players: Sequence[Player],
    lam: LoadedLam,
    source: Source,
    translator: LoadedTranslator | None,
    asked: Options,
) -> Evaluation:
    """Of the first of the players also what its codes mean.

    Raises:
      UserError: clips longer than every episode, or a split without a row.
    """
    truth = truth_of(source, source)
    leaks = asked.leakage and bool(truth.exogenous_state)
    context = max(player.world.history for player in players)
    read = _read(lam, source, context, asked, state=leaks)
    probe = None
    if read.starts is not None:
        probe = _probe(read.train, read.clips, read.starts, asked)
    worlds = {
        player.name: measure(player, read.clips, probe, asked.sampling, asked.names)
        for player in players
    }
    codes, no_codes = _codes(players[0], lam, read, translator, probe, asked)
    leakage: dict[str, Number] = {}
    if leaks:
        actions = len(asked.names) or None
        leakage = leakage_of(lam, read.train, read.test, truth, asked.budgets, actions)
    return Evaluation(
        worlds,
        codes,
        no_codes,
        _usage(lam, read.test, asked.budgets),
        leakage,
        truth.why if asked.leakage else "--noleakage was given",
        _data(source, read, asked),
        asked.names,
        asked.no_actions,
        asked.thresholds,
    )


def _read(lam: LoadedLam, source: Source, context: int, asked: Options, *, state: bool) -> _Read:
    """Each split is encoded once, and neither where an episode is missing that is long enough."""
    labelled = bool(asked.names)
    check_episodes(source, asked.split, context, asked.horizon)
    if labelled:
        check_episodes(source, "train", context, 1)
    fields = {"actions": labelled, "state": state}
    test = transitions(lam, source, asked.split, **fields)
    train = transitions(lam, source, "train", **fields, frames=asked.probe_pairs if labelled else 0)
    held_out = clips(
        lam,
        source,
        asked.split,
        test,
        count=asked.clips,
        context=context,
        horizon=asked.horizon,
        actions=labelled,
    )
    starts = None
    if labelled:
        starts = clips(
            lam,
            source,
            "train",
            train,
            count=-(-asked.generated_pairs // len(asked.names)),
            context=context,
            horizon=1,
            actions=True,
        )
    return _Read(train, test, held_out, starts)


def _probe(train: Split, held_out: Clips, starts: Clips, asked: Options) -> Probe:
    fitted = Pairs(
        frames=train["frames"],
        action=train["action"][train.rows],
        episode=train.episode[train.rows],
    )
    steps = asked.probe_steps
    reader = fit_reader(fitted, len(asked.names), asked.sampling.seed, steps)
    real = real_pairs(held_out)
    return Probe(asked.names, reader, real, reader(real.frames), starts, steps)


def _codes(
    player: Player,
    lam: LoadedLam,
    read: _Read,
    translator: LoadedTranslator | None,
    probe: Probe | None,
    asked: Options,
) -> tuple[list[Codes], str]:
    """(The codes of every budget, why there are none)."""
    if lam.codebook_size is None:
        return [], "the slots of the latent action model are continuous"
    if player.takes != LATENT:
        return [], f"the world takes {player.takes}"
    found = measure_codes(
        player.world,
        read.clips,
        Reading(asked.names, translator, read.train, read.test),
        lam.null,
        [k for k in asked.budgets if k],
        asked.codes,
        probe,
        asked.sampling,
        asked.thresholds,
    )
    return found, ""


def _usage(lam: LoadedLam, test: Split, budgets: Sequence[int]) -> list[dict[str, Any]]:
    """Rows of the codes in use; none of continuous slots."""
    if lam.codebook_size is None:
        return []
    return usage_rows(test["codes"]["ids"], lam.codebook_size, budgets, test.episode)


def _data(source: Source, read: _Read, asked: Options) -> dict[str, Any]:
    """What it was measured on; `actions` are those that occur in the clips."""
    held_out = read.clips
    return {
        "datasets": list(source.names),
        "split": asked.split,
        "gap": source.gap,
        "clips": len(held_out),
        "context": held_out.context,
        "horizon": held_out.horizon,
        "episodes": len(np.unique(held_out.episode)),
        "actions": 0 if held_out.action is None else len(np.unique(held_out.action)),
        "test_transitions": len(read.test),
        "train_transitions": len(read.train),
        "seed": asked.sampling.seed,
    }

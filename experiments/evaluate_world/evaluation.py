"""Reads the data once and measures every world on the same clips."""

import dataclasses
from collections.abc import Sequence

from experiments.evaluate_world.card import leakage_of
from experiments.evaluate_world.codes import Reading, measure_codes
from experiments.evaluate_world.measure import Probe, measure
from experiments.evaluate_world.players import LATENT, Player
from experiments.evaluate_world.report import Evaluation
from experiments.evaluate_world.transitions import clips, transitions
from experiments.lam_inputs import Source
from flexlam_jax.evaluation.collect import Split
from flexlam_jax.evaluation.world.clips import Clips
from flexlam_jax.evaluation.world.generation import Sampling
from flexlam_jax.evaluation.world.obedience import Pairs, fit_reader, real_pairs
from flexlam_jax.evaluation.world.usage import usage_rows
from flexlam_jax.loading.action_card import Thresholds
from flexlam_jax.loading.lam import LoadedLam
from flexlam_jax.loading.translator import LoadedTranslator


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
    names, labelled, split = asked.names, bool(asked.names), asked.split
    context = max(player.world.history for player in players)
    test = transitions(lam, source, split, actions=labelled)
    held_out = clips(
        lam,
        source,
        split,
        test,
        count=asked.clips,
        context=context,
        horizon=asked.horizon,
        actions=labelled,
    )
    pairs = asked.probe_pairs if labelled else 0
    train = transitions(lam, source, "train", actions=labelled, frames=pairs)
    probe = None
    if labelled:
        starts = clips(
            lam,
            source,
            "train",
            train,
            count=-(-asked.generated_pairs // len(names)),
            context=context,
            horizon=1,
            actions=True,
        )
        probe = _probe(train, held_out, starts, asked)
    worlds = {
        player.name: measure(player, held_out, probe, asked.sampling, names) for player in players
    }
    codes, usage, no_codes = [], [], ""
    if lam.codebook_size is None:
        no_codes = "the slots of the latent action model are continuous"
    else:
        usage = usage_rows(test["codes"]["ids"], lam.codebook_size, asked.budgets, test.episode)
        if players[0].takes == LATENT:
            codes = measure_codes(
                players[0].world,
                held_out,
                Reading(names, translator, train, test),
                lam.null,
                [k for k in asked.budgets if k],
                asked.codes,
                probe,
                asked.sampling,
                asked.thresholds,
            )
        else:
            no_codes = f"the world takes {players[0].takes}"
    leakage, no_leakage = {}, "--noleakage was given"
    if asked.leakage:
        leakage, no_leakage = leakage_of(lam, source, split, asked.budgets, names)
    data = {
        "datasets": list(source.names),
        "split": split,
        "gap": source.gap,
        "clips": len(held_out),
        "context": context,
        "horizon": held_out.horizon,
        "episodes": len(set(held_out.episode.tolist())),
        "test_transitions": len(test),
        "train_transitions": len(train),
        "seed": asked.sampling.seed,
    }
    return Evaluation(
        worlds,
        codes,
        no_codes,
        usage,
        leakage,
        no_leakage,
        data,
        names,
        asked.no_actions,
        asked.thresholds,
    )


def _probe(train: Split, held_out: Clips, starts: Clips, asked: Options) -> Probe:
    fitted = Pairs(train["frames"], train["action"][train.rows], train.episode[train.rows])
    steps = asked.probe_steps
    reader = fit_reader(fitted, len(asked.names), asked.sampling.seed, steps)
    real = real_pairs(held_out)
    return Probe(asked.names, reader, real, reader(real.frames), starts, steps)

"""The card of a world's actions, put together of what was measured."""

from collections.abc import Sequence
from typing import Any

from experiments import provenance
from experiments.evaluate_world.codes import Codes
from experiments.exogenous_truth import truth_of
from experiments.lam_inputs import Source as Datasets
from experiments.lam_inputs import model_name
from experiments.progress_bar import progress
from flexlam_jax.checkpoints.fingerprint import parameters_hash
from flexlam_jax.checkpoints.params import saved_fingerprint
from flexlam_jax.evaluation import evaluator
from flexlam_jax.evaluation.lam.fields import FIELDS
from flexlam_jax.evaluation.lam.leakage import LEAKAGE
from flexlam_jax.evaluation.lam.settings import Settings
from flexlam_jax.loading.action_card import FORMAT, ActionCard, Source, Thresholds
from flexlam_jax.loading.actions import newest_step
from flexlam_jax.loading.lam import LoadedLam
from flexlam_jax.loading.translator import LoadedTranslator
from flexlam_jax.reports.results import Number


def card_of(
    checkpoint: str,
    world: Any,
    lam: LoadedLam,
    translator: tuple[str, LoadedTranslator] | None,
    names: Sequence[str],
    codes: Sequence[Codes],
    thresholds: Thresholds,
    data: dict[str, Any],
    leakage: dict[str, Number],
) -> ActionCard:
    """Args:
    translator: (where it lies, the translator).      names: of the actions, () for none.
    data: what it was measured on.      leakage: see `leakage_of`.
    """
    step = getattr(world, "step_number", None)
    step = newest_step(checkpoint) if step is None else step
    made_by = getattr(world, "lam", {}).get("checkpoint") or checkpoint
    read_by = None
    if translator is not None:
        path, loaded = translator
        read_by = Source(model_name(path), 0, parameters_hash(loaded.variables))
    return ActionCard(
        format=FORMAT,
        world=Source(model_name(checkpoint), step, str(saved_fingerprint(checkpoint, step))),
        lam=Source(model_name(str(made_by)), lam.step, lam.fingerprint()),
        translator=read_by,
        slots=lam.slots,
        null=tuple(lam.null.tolist()),
        action_names=tuple(names),
        thresholds=thresholds,
        data=data,
        codes=tuple(card for one in codes for card in one.cards),
        leakage=leakage,
        run=provenance.made_by("experiments.evaluate_world"),
    )


def leakage_of(
    lam: LoadedLam, source: Datasets, split: str, budgets: Sequence[int], names: Sequence[str]
) -> tuple[dict[str, Number], str]:
    """({k as text: R^2 of what the agent does not control, read from the prefix}, why there is none).

    By the probes of `evaluation.lam.leakage`, where the data say what the agent does not control.
    """
    truth = truth_of(source, source)
    if not truth.exogenous_state:
        return {}, truth.why
    given = {"actions": bool(names), "state": True}
    measured = evaluator.evaluate(
        [LEAKAGE],
        {"lam": lam},
        {name: FIELDS[name] for name in LEAKAGE.reads},
        source.batches(split, **given),
        source.batches("train", **given),
        Settings(
            budgets=tuple(budgets),
            num_actions=len(names) or None,
            state_names=truth.state_names,
            exogenous_state=truth.exogenous_state,
        ),
        stage=progress,
    )
    rows = measured["leakage"]["lam"].rows
    found = {str(row["k"]): row["exogenous"] for row in rows if {"k", "exogenous"} <= row.keys()}
    return found, ""

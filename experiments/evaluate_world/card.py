"""The card of a world's actions, put together of what was measured."""

from collections.abc import Sequence
from typing import Any

from experiments import provenance
from experiments.evaluate_world.codes import Codes
from experiments.exogenous_truth import Truth
from experiments.lam_inputs import model_name
from experiments.progress_bar import progress
from flexlam_jax.checkpoints.fingerprint import parameters_hash
from flexlam_jax.checkpoints.params import saved_fingerprint
from flexlam_jax.evaluation import evaluator
from flexlam_jax.evaluation.collect import Split
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
    lam: LoadedLam,
    train: Split,
    test: Split,
    truth: Truth,
    budgets: Sequence[int],
    num_actions: int | None,
) -> dict[str, Number]:
    """{k as text: R^2 of the change that the agent does not control, read from the prefix}.

    By the probes of `evaluation.lam.leakage`, fitted on train.

    Args:
      train, test: transitions with the fields that LEAKAGE reads.
      truth: what of the state is exogenous.      num_actions: None without discrete actions.
    """
    settings = Settings(
        budgets=tuple(budgets),
        num_actions=num_actions,
        state_names=truth.state_names,
        exogenous_state=truth.exogenous_state,
    )
    data = evaluator.Data(test, train, settings, progress)
    rows = evaluator.run([LEAKAGE], {"lam": lam}, data)["leakage"]["lam"].rows
    return {str(row["k"]): row["exogenous"] for row in rows if {"k", "exogenous"} <= row.keys()}

"""The evaluators of latent action models in training: the rows that they read, and their model.

They measure `eval.batches` shuffled batches of the validation split, the same at every evaluation;
probes are fitted on as many of the split that is trained on. After training,
`experiments.evaluate_lam` runs the same evaluators on whole splits.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from data_pipelines.loading.loader import training_batches
from flexlam_jax.errors import ConfigError
from flexlam_jax.evaluation.evaluator import Evaluator, chosen
from flexlam_jax.evaluation.in_training import training_evaluation
from flexlam_jax.evaluation.lam.evaluators import EVALUATORS
from flexlam_jax.evaluation.lam.fields import FIELDS
from flexlam_jax.evaluation.lam.settings import ALL, Settings
from flexlam_jax.loading.lam import LoadedLam
from flexlam_jax.training.loop import Evaluate

SETTINGS = Settings(label_counts=(ALL,), draws=2)  # Training waits for them.
# What reads more of the data than training does.
AFTERWARDS = ("leakage", "leakage_baselines", "exogenous_region")


def asked_for(config: Any) -> list[Evaluator]:
    """The evaluators that `eval.evaluators` names.

    Raises:
      ConfigError: one that does not exist or is of AFTERWARDS, or `eval.batches` is 0, so that they
        have no rows.
    """
    names = config.eval.get("evaluators", ())
    if names and not config.eval.batches:
        raise ConfigError(
            f"config.eval.evaluators={tuple(names)} measure config.eval.batches batches, which is "
            "0; raise it, or leave out config.eval.evaluators"
        )
    later = [name for name in names if name in AFTERWARDS]
    if later:
        raise ConfigError(
            f"config.eval.evaluators names {', '.join(later)}, which read the state and masks: they are "
            "measured after training, by experiments.evaluate_lam; leave them out"
        )
    return chosen(EVALUATORS, names)


def in_training(
    evaluators: Sequence[Evaluator],
    config: Any,
    model: Any,
    test: Mapping,
    train: Mapping,
    *,
    rows: int,
) -> Evaluate:
    """What `fit` calls. Opens the data now and reads it at the first evaluation.

    Args:
      model: the Flax module that is trained.
      test, train: loader options of the measured split and of the one that probes are fitted on.
      rows: of a batch.

    Raises:
      DataError: probes are asked for and the data hold no actions.
    """
    plain = json.loads(config.to_json())
    fits = any(one.fits for one in evaluators)
    labels = ("action",) if fits else ()
    return training_evaluation(
        evaluators,
        FIELDS,
        lambda variables, step: LoadedLam(model, variables, plain, step),
        _batches(test, rows, config.eval.batches, labels),
        _batches(train, rows, config.eval.batches, labels) if fits else None,
        SETTINGS,
    )


def _batches(data: Mapping, rows: int, count: int, fields: tuple[str, ...]):
    """Gives batches of transitions, all rows of each, in every process."""
    data = {**data, "clip_length": 2, "pairs_per_clip": 1, "fields": fields}
    batches = training_batches(data, seed=0, batch_size=rows)

    def draw() -> Iterator[Mapping]:
        for _ in range(count):
            yield next(batches)
        batches.close()

    return draw

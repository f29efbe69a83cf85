"""Evaluators: small, named, composable. The same ones run after training and inside it.

    GAIN = Evaluator("gain", run=gain, reads=("codes", "frames"))
    measured = evaluate([GAIN], {"mine": model}, FIELDS, test=batches)
    measured["gain"]["mine"]                     # {"psnr": Number(...)}

An evaluator says what it reads; one pass over each split collects what all of them read. Adding one
is a function and an entry in its family's table.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from flexlam_jax.errors import ConfigError
from flexlam_jax.evaluation.collect import Field, Split, collect
from flexlam_jax.reports.results import Results

Batches = Iterable[Mapping[str, np.ndarray]]
# Progress: called with a stage's name and its number of ticks, returns the stage's tick function.
Stage = Callable[[str, int | None], Callable[..., None]]


def silent(name: str, total: int | None) -> Callable[..., None]:
    """The progress of those who want none."""
    del name, total
    return lambda *count: None


@dataclasses.dataclass(frozen=True)
class Data:
    """What evaluators are given beside the model.

    Attributes:
      test: the split that is measured.      train: what probes are fitted on, or None.
      settings: the family's own settings.   stage: progress.
    """

    test: Split
    train: Split | None
    settings: Any
    stage: Stage = silent

    def of(self, model: str) -> "Data":
        """The same with the fields of one model."""
        train = None if self.train is None else self.train.of(model)
        return dataclasses.replace(self, test=self.test.of(model), train=train)


@dataclasses.dataclass(frozen=True)
class Evaluator:
    """One thing to measure.

    Attributes:
      name: in tables, flags, configs and metrics.
      run: (model, data) -> Number, Table, Curve or {key: one of these}.
      reads: fields of the measured split that it reads.
      fits: fields of the train split that it reads; with some, it is left out where there are none.
      once: a baseline, which needs no model or the first one alone.
    """

    name: str
    run: Callable[[Any, Data], Results]
    reads: Sequence[str]
    fits: Sequence[str] = ()
    once: bool = False


Measured = Mapping[str, Mapping[str, Results]]  # evaluator -> model -> results


def evaluate(
    evaluators: Sequence[Evaluator],
    models: Mapping[str, Any],
    fields: Mapping[str, Field],
    test: Batches,
    train: Batches | None = None,
    settings: Any = None,
    *,
    every: int = 1,
    stage: Stage = silent,
) -> Measured:
    """Runs evaluators on models side by side; a baseline runs with the first model.

    Args:
      models: name -> model, in the order of the tables.
      fields: what can be read, by name.
      test, train: batches of the measured split and of the one that probes are fitted on, or None.
      settings: handed to the evaluators.
      every: sparse fields are kept of every n-th row of the measured split.

    Raises:
      UserError: a split without a row.
      ValueError: an evaluator reads a field that is not in `fields`.
    """
    return run(
        evaluators,
        models,
        gather(evaluators, models, fields, test, train, settings, every=every, stage=stage),
    )


def gather(
    evaluators: Sequence[Evaluator],
    models: Mapping[str, Any],
    fields: Mapping[str, Field],
    test: Batches,
    train: Batches | None = None,
    settings: Any = None,
    *,
    every: int = 1,
    fit_every: int = 1,
    stage: Stage = silent,
) -> Data:
    """One pass over each split, which collects what the union of the evaluators reads.

    Sparse fields are kept of every n-th row: `every` of the measured split, `fit_every` of the
    other.
    """
    fitted = None
    if train is not None:
        wanted = _union(fields, (one.fits for one in evaluators))
        fitted = collect(
            models,
            train,
            wanted,
            every=fit_every,
            name="the train split",
            tick=stage("encode train", None),
        )
    usable = [one for one in evaluators if fitted is not None or not one.fits]
    measured = collect(
        models,
        test,
        _union(fields, (one.reads for one in usable)),
        every=every,
        name="the evaluated split",
        tick=stage("encode test", None),
    )
    return Data(measured, fitted, settings, stage)


def run(evaluators: Sequence[Evaluator], models: Mapping[str, Any], data: Data) -> Measured:
    """Every evaluator on what was gathered; those that fit are left out without a train split."""
    return {
        one.name: {
            name: one.run(model, data.of(name))
            for name, model in list(models.items())[: 1 if one.once else None]
        }
        for one in evaluators
        if data.train is not None or not one.fits
    }


def chosen(table: Mapping[str, Evaluator], names: Sequence[str]) -> list[Evaluator]:
    """The evaluators of a family by name.

    Raises:
      ConfigError: a name that the table lacks; the message lists those that exist.
    """
    unknown = [name for name in names if name not in table]
    if unknown:
        raise ConfigError(
            f"eval.evaluators names {', '.join(map(repr, unknown))}; there are {', '.join(table)}"
        )
    return [table[name] for name in names]


def _union(fields: Mapping[str, Field], wanted: Iterable[Sequence[str]]) -> dict[str, Field]:
    names = {name for one in wanted for name in one}
    if unknown := sorted(names - set(fields)):
        raise ValueError(f"evaluators read {', '.join(unknown)}; there are {', '.join(fields)}")
    return {name: field for name, field in fields.items() if name in names}

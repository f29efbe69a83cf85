"""Results of an evaluator as they are shown when nobody chose words for them."""

import dataclasses
from collections.abc import Iterator, Mapping

from flexlam_jax.reports.results import Column, Curve, Number, Result, Results, Table


def tables_of(name: str, by_model: Mapping[str, Results]) -> list[Table]:
    """The tables of every model, after one of all plain numbers with a row per model."""
    numbers = [
        {"model": model, **{key: one for key, one in _named(name, results) if _is_number(one)}}
        for model, results in by_model.items()
    ]
    keys = dict.fromkeys(key for row in numbers for key in row if key != "model")
    shown = [Column("model", "model"), *(Column(key, key, 3) for key in keys)]
    tables = [Table(name, numbers, shown, index=("model",))] if keys else []
    for model, results in by_model.items():
        for _, one in _named(name, results):
            if isinstance(one, Table):
                tables.append(dataclasses.replace(one, title=f"{one.title}: {model}"))
    return tables


def curves_of(name: str, by_model: Mapping[str, Results]) -> list[Curve]:
    """The curves of every model."""
    return [
        dataclasses.replace(one, title=f"{one.title}: {model}")
        for model, results in by_model.items()
        for _, one in _named(name, results)
        if isinstance(one, Curve)
    ]


def _named(name: str, results: Results) -> Iterator[tuple[str, Result]]:
    """(key, result) of all; one that stands alone goes by the evaluator's name."""
    yield from results.items() if isinstance(results, Mapping) else [(name, results)]


def _is_number(result: Result) -> bool:
    return isinstance(result, Number)

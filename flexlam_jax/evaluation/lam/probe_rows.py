"""The probes of a report as a flat table for other programs, one line per number."""

from collections.abc import Iterator, Mapping
from typing import Any

from flexlam_jax.reports.csv_rows import csv_of
from flexlam_jax.reports.results import Number

COLUMNS = ("model", "k", "probe", "labels", "labels_name", "dataset") + (
    "mean",
    "low",
    "high",
    "n",
    "unit",
    "over",
)


def as_csv(report: Mapping) -> str:
    """COLUMNS of every score of models and baselines; without `k` and `probe` for baselines.

    `dataset` is empty for all transitions together, and "mean" for the mean of the datasets.
    """
    return csv_of(_every_line(report), COLUMNS)


def _every_line(report: Mapping) -> Iterator[dict[str, Any]]:
    for model in report["models"]:
        for row in model["probes"]:
            yield from _lines({"model": model["name"], "k": row["k"]}, row)
    for row in report["baselines"]["probes"]:
        yield from _lines({"model": row["name"]}, row)


def _lines(named: Mapping[str, Any], row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    about = {key: row.get(key, "") for key in ("probe", "labels", "labels_name")}
    numbers: dict[str, Number] = {"": row["score"], **row.get("by_dataset", {})}
    for dataset, number in numbers.items():
        yield {
            **named,
            **about,
            "dataset": dataset,
            **{key: getattr(number, key) for key in ("n", "unit", "over")},
            **{key: f"{getattr(number, key):.6g}" for key in ("mean", "low", "high")},
        }

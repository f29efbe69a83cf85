"""What the finished pieces of a sweep found, as rows of results.csv."""

import csv
import dataclasses
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.budget_sweep.pieces import ACCURACY, REPORT, RETURNS
from experiments.pieces.piece import Piece
from flexlam_jax.loading.translator import translator_config
from flexlam_jax.typed_json import read_json

MEAN = "mean"  # of tasks, each counting the same
NORMALISED, PSNR, GAIN = "normalised return", "PSNR", "gain over copying"
_AGAIN = "remove its folder and its marker in finished/, and it is made again"


@dataclasses.dataclass(frozen=True)
class Row:
    """A number of a piece.

    Attributes:
      model, seed, protocol, labels, draw, k: whose it is; see pieces.Cell.
      task: played, or the dataset that was measured; MEAN for all.
      metric, value, low, high: the number and its 95 % interval.
      n, over: how many of what it is taken over.
      each: normalised return of every episode by seed, NaN for one that was lost; not in the file.
    """

    piece: str
    model: str
    seed: int | None
    protocol: str
    labels: str
    draw: int | None
    k: int | None
    task: str
    metric: str
    value: float
    low: float
    high: float
    n: int
    over: str
    each: tuple[float, ...] = ()


COLUMNS = tuple(field.name for field in dataclasses.fields(Row) if field.name != "each")


def collect(pieces: Iterable[Piece], out: Path) -> list[Row]:
    """The rows of finished pieces. Raises UserError for a result that is damaged."""
    return [row for piece in pieces for row in rows_of(piece, read_result(piece, out))]


def read_result(piece: Piece, out: Path) -> Mapping[str, Any]:
    """What a piece wrote, {} for one that gives nothing. Raises UserError if it is damaged."""
    folder = out / piece.name
    if piece.gives == ACCURACY:
        config = translator_config(folder)
        return config.data if config else {}
    file = {RETURNS: "returns.json", REPORT: "report.json"}.get(piece.gives)
    return read_json(folder / file, dict[str, Any], remedy=_AGAIN) if file else {}


def rows_of(piece: Piece, result: Mapping[str, Any]) -> list[Row]:
    """The rows of one piece, from what it wrote."""
    if piece.gives == ACCURACY:
        return _of_translator(piece, result)
    if piece.gives == RETURNS:
        return _of_rollout(piece, result)
    return _of_report(piece, result) if piece.gives == REPORT else []


def as_csv(rows: Sequence[Row]) -> str:
    """The file; None is an empty field."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([getattr(row, name) for name in COLUMNS] for row in rows)
    return text.getvalue()


def _of_translator(piece: Piece, data: Mapping[str, Any]) -> list[Row]:
    """Of every prefix length and dataset."""
    by_dataset = data.get("validation_by_dataset", {})
    rows = []
    for k, score in data["validation"].items():
        of = by_dataset.get(k, {MEAN: score})
        rows += [_row(piece, number, task=task, k=int(k)) for task, number in of.items()]
    return rows


def _of_rollout(piece: Piece, returns: Mapping[str, Any]) -> list[Row]:
    rows = []
    for task, one in returns["tasks"].items():
        if one["return"]:
            rows.append(_row(piece, one["return"], task=task))
        if one["normalised"]:
            row = _row(piece, one["normalised"], task=task)
            rows.append(dataclasses.replace(row, each=_scores(one)))
    if returns["mean"]:
        rows.append(_row(piece, returns["mean"], task=MEAN))
    return rows


def _scores(of_task: Mapping[str, Any]) -> tuple[float, ...]:
    """Of every episode, in the order of their seeds."""
    low, high = of_task["random_return"], of_task["expert_return"]
    earned = {one["seed"]: one["return"] for one in of_task["episodes"]}
    earned |= {one["seed"]: np.nan for one in of_task["lost"]}
    return tuple(float((earned[seed] - low) / (high - low)) for seed in sorted(earned))


def _of_report(piece: Piece, report: Mapping[str, Any]) -> list[Row]:
    """How good pictures are, and the accuracies of what is no latent action."""
    rows = []
    for model in report["models"]:
        for of_k in model["reconstruction"]:
            for metric, key in ((PSNR, "psnr"), (GAIN, "gain")):
                rows.append(
                    _row(
                        piece,
                        of_k[key],
                        metric=metric,
                        model=model["name"],
                        protocol="",
                        k=of_k["k"],
                    )
                )
    for probe in report["baselines"]["probes"]:
        of = probe.get("by_dataset", {MEAN: probe["score"]})
        rows += [
            _row(piece, number, task=task, model=probe["name"], labels=probe["labels_name"])
            for task, number in of.items()
        ]
    return rows


def _row(piece: Piece, number: Mapping[str, Any], *, task: str = MEAN, **changes: Any) -> Row:
    """changes: of what the piece's cell and the number say."""
    told = dataclasses.asdict(piece.cell) | {"metric": number["unit"]} | changes
    return Row(
        piece.name,
        task=task,
        value=number["mean"],
        low=number["low"],
        high=number["high"],
        n=number["n"],
        over=number["over"],
        **told,
    )

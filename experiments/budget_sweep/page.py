"""The figure and the tables of a sweep: a page in HTML, one in Markdown."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from experiments.budget_sweep.pieces import EXPERT, FLEX
from experiments.budget_sweep.rows import GAIN, MEAN, NORMALISED, PSNR
from experiments.budget_sweep.settings import JOINT
from experiments.budget_sweep.summary import (
    ALL_BUDGETS,
    DIFFERENCE,
    FIXED,
    Point,
    find,
    number_of,
)
from flexlam_jax.evaluation.lam.report_tables import BASELINE_NAMES
from flexlam_jax.reports.figure import figure
from flexlam_jax.reports.page import Charts, Facts, Section, Text, page
from flexlam_jax.reports.results import Column, Curve, Level, Series, Table
from flexlam_jax.reports.tables import as_markdown

TITLE = "FlexLAM and Fixed-K by token budget"
ABOUT = (
    "One FlexLAM, used at every budget k, beside a Fixed-K model for each: K slots, all of them kept. "
    "Equal steps, architecture, data, labels and episodes."
)
_NAMES = {FLEX: "FlexLAM", FIXED: "Fixed-K, a model for each k", DIFFERENCE: "difference"}
INTERVALS = (
    "± is half of a 95 % bootstrap interval over training seeds, label draws and, of returns, "
    "episodes; with one seed, seeds are not in it. The difference is taken run by run and episode "
    "by episode."
)


def html(points: Sequence[Point], made: Mapping[str, str], times: Table) -> str:
    """The figure and all tables as one page without network access."""
    sections: list[Section] = [Text(ABOUT, "about")]
    sections += [Charts(title, curves, INTERVALS) for title, curves in figures(points)]
    sections += [*tables(points), times, Facts("How this was made", made)]
    return page(TITLE, sections)


def markdown(points: Sequence[Point], made: Mapping[str, str], times: Table) -> str:
    """The tables for docs/results, where figure.svg lies beside them."""
    told = "\n".join(f"- {name}: {text}" for name, text in made.items())
    parts = [f"# {TITLE}", ABOUT, told, f"![{TITLE}](figure.svg)"]
    for table in [*tables(points), times]:
        parts += [f"## {table.title}", as_markdown(table)]
    return "\n\n".join(parts) + "\n"


def figures(points: Sequence[Point]) -> Iterator[tuple[str, list[Curve]]]:
    """(heading, curves): a curve for each protocol and number of labels, and for pictures."""
    for metric in _metrics(points):
        curves = [
            curve
            for protocol, labels in _alignments(points, metric)
            if (curve := _curve(points, protocol, labels, metric))
        ]
        if curves:
            yield f"{metric[0].upper()}{metric[1:]} by budget", curves


def svg(points: Sequence[Point]) -> str:
    """All curves as one picture."""
    return figure([curve for _, curves in figures(points) for curve in curves])


def tables(points: Sequence[Point]) -> list[Table]:
    """Of each metric: FlexLAM, Fixed-K and their difference by budget; returns also by task."""
    return [
        *(_comparison(points, metric) for metric in _metrics(points)),
        *_by_task(points),
    ]


def _comparison(points: Sequence[Point], metric: str) -> Table:
    rows: list[dict[str, Any]] = []
    for protocol, labels in _alignments(points, metric):
        of = dict(protocol=protocol, labels=labels, metric=metric, task=MEAN)
        for k in _budgets(points, of):
            numbers = {
                model: number_of(points, model=model, k=k, **of)
                for model in (FLEX, FIXED, DIFFERENCE)
            }
            shown = "mean" if k == ALL_BUDGETS else k
            rows.append({"protocol": protocol, "labels": labels, "k": shown, **numbers})
        for point in find(points, k=None, **of):
            named = {"protocol": protocol, "labels": labels, "k": _baseline(point)}
            rows.append({**named, FLEX: point.number})
    digits = 2 if metric in (PSNR, GAIN) else 3
    return Table(
        f"{metric[0].upper()}{metric[1:]}",
        rows,
        [
            Column("protocol", "protocol"),
            Column("labels", "labels"),
            Column("k", "k or baseline"),
            Column(FLEX, "FlexLAM, or the baseline", digits),
            Column(FIXED, "Fixed-K, K = k", digits),
            Column(DIFFERENCE, "difference", digits),
        ],
        index=("protocol", "labels", "k"),
        caption=f"Mean of all tasks. {INTERVALS}",
    )


def _by_task(points: Sequence[Point]) -> Iterator[Table]:
    of_tasks = find(points, metric=NORMALISED)
    tasks = [task for task in dict.fromkeys(one.task for one in of_tasks) if task != MEAN]
    rows = []
    for shown in _players(of_tasks):
        numbers = {task: number_of(of_tasks, task=task, **shown) for task in (MEAN, *tasks)}
        named = {"model": _NAMES.get(shown["model"], shown["model"])}
        k = {None: "", ALL_BUDGETS: "mean"}.get(shown["k"], shown["k"])
        rows.append({**shown, **named, "k": k, **numbers})
    if rows:
        columns = [Column(name, name) for name in ("protocol", "labels", "model", "k")]
        yield Table(
            "Normalised return by task",
            rows,
            [*columns, *(Column(task, task) for task in (MEAN, *tasks))],
            index=("protocol", "labels", "model", "k"),
            caption=INTERVALS,
        )


def _players(points: Sequence[Point]) -> Iterator[dict[str, Any]]:
    """Protocol, labels, model and k of all whose returns are told by task, baselines last."""
    for protocol, labels in _alignments(points, NORMALISED):
        of = dict(protocol=protocol, labels=labels)
        for model in (FLEX, FIXED):
            for k in _budgets(points, dict(of, model=model)):
                yield dict(of, model=model, k=k)
    baselines = [point for point in points if not point.protocol]
    for labels, model in dict.fromkeys((point.labels, point.model) for point in baselines):
        yield dict(protocol="", labels=labels, model=model, k=None)


def _curve(points: Sequence[Point], protocol: str, labels: str, metric: str) -> Curve | None:
    of = dict(protocol=protocol, labels=labels, metric=metric, task=MEAN)
    series = []
    for model in (FLEX, FIXED):
        numbers = {k: number_of(points, model=model, k=k, **of) for k in _budgets(points, of) if k}
        if found := [(k, number) for k, number in numbers.items() if number]:
            series.append(Series(_NAMES[model], found, joined=model == FLEX))
    if not series:
        return None
    return Curve(
        _title(protocol, labels, metric),
        series,
        list(_levels(points, of)),
        x_label="token budget k",
        y_label=metric,
        x_name="k",
        digits=2,
    )


def _title(protocol: str, labels: str, metric: str) -> str:
    kind, _, source = protocol.partition(":")
    told = [JOINT if kind == JOINT else "", labels and f"{labels} labels", metric]
    if source:
        told[1] += f" of {source}"
    return ", ".join(filter(None, told))


def _levels(points: Sequence[Point], of: Mapping[str, Any]) -> Iterator[Level]:
    """Baselines, but not the expert, which is 1."""
    found = [point for point in find(points, k=None, **of) if point.model != EXPERT]
    for style, point in enumerate(found):
        yield Level(_baseline(point), point.number.mean, style % 4)


def _baseline(point: Point) -> str:
    return BASELINE_NAMES.get(point.model, point.model)


def _metrics(points: Sequence[Point]) -> list[str]:
    return list(dict.fromkeys(point.metric for point in points if point.model == FLEX))


def _alignments(points: Sequence[Point], metric: str) -> list[tuple[str, str]]:
    """(protocol, labels) that a metric was measured for."""
    compared = (FLEX, FIXED)
    return list(
        dict.fromkeys(
            (point.protocol, point.labels)
            for point in points
            if point.metric == metric and point.model in compared
        )
    )


def _budgets(points: Sequence[Point], of: Mapping[str, Any]) -> list[int]:
    """Budgets in order, then their mean."""
    found = {point.k for point in find(points, **of) if point.k is not None}
    return [*sorted(found - {ALL_BUDGETS}), *(found & {ALL_BUDGETS})]

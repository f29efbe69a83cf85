"""report.html: one self-contained file, rendered from the same dict as report.json."""

import html
from collections.abc import Mapping
from importlib import resources

from flexlam_jax.evaluation.lam.evaluation import Pictures
from flexlam_jax.evaluation.lam.report_pictures import picture_section
from flexlam_jax.evaluation.lam.report_summary import explanation
from flexlam_jax.evaluation.lam.report_table import (
    BASELINE_NAMES,
    Table,
    all_tables,
    label_counts,
    metric_name,
)
from flexlam_jax.reports.svg import Level, Series, line_chart


def render(report: Mapping, pictures: Pictures) -> str:
    """The page of a report of `evaluate` with `title`, `summary` [str], `run` {name: text}."""
    main = report["models"][0]
    data = report["data"]
    tables = all_tables(report)
    parts = [
        f"<h1>{html.escape(report['title'])}</h1>",
        f'<p class="about">{html.escape(explanation(report))}</p>',
        f'<section class="findings"><h2>What this shows</h2><ul>'
        f"{''.join(f'<li>{html.escape(line)}</li>' for line in report['summary'])}</ul></section>",
        *[f'<p class="note">{html.escape(note)}</p>' for note in report["notes"]],
        "<h2>Look at it</h2>",
        picture_section(pictures, main["slots"], data.get("action_names") or ()),
        "<h2>Reconstruction by prefix length</h2>",
        _charts(reconstruction_charts(report)),
    ]
    if report["metric"]:
        parts += [
            f"<h2>True action by prefix length, {metric_name(report)}</h2>",
            _charts(probe_charts(report)),
            '<p class="caption">Each translator reads the null-filled prefix and was fitted on '
            "that many labelled transitions of the train split; the pixel baselines got the same "
            "labels."
            "</p>",
        ]
    parts += [_table(table) for table in tables]
    parts.append(_footer(report))
    return _PAGE.format(
        title=html.escape(report["title"]),
        css=_asset("report.css"),
        js=_asset("report.js"),
        body="\n".join(parts),
    )


_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="data:,">
<style>
{css}</style>
</head>
<body>
<main>
{body}
</main>
<script>
{js}</script>
</body>
</html>
"""


def reconstruction_charts(report: Mapping) -> list[tuple[str, str]]:
    """(title, svg) of PSNR and SSIM against k."""
    copy = report["baselines"]["copy"]
    charts = []
    for key, title, digits in (("psnr", "PSNR, dB", 2), ("ssim", "SSIM", 3)):
        if key not in copy:
            continue
        series = [
            Series(
                model["name"],
                [_point(row["k"], row[key]) for row in model["reconstruction"]],
                i % 6,
            )
            for i, model in enumerate(report["models"])
        ]
        charts.append(
            (
                title,
                line_chart(
                    f"{title} against prefix length",
                    series,
                    [Level("copy o_t", copy[key]["mean"], 0)],
                    "slots kept, k",
                    title,
                    digits,
                ),
            )
        )
    return charts


def probe_charts(report: Mapping) -> list[tuple[str, str]]:
    """(title, svg) of translator scores against k, one chart per label count."""
    charts, name = [], metric_name(report)
    for labels, label in label_counts(report):
        series = [
            Series(
                model["name"],
                [
                    _point(row["k"], row["score"])
                    for row in model["probes"]
                    if row["probe"] == "translator" and row["labels"] == labels
                ],
                i % 6,
            )
            for i, model in enumerate(report["models"])
        ]
        levels = [
            Level(
                BASELINE_NAMES[row["name"]],
                row["score"]["mean"],
                list(BASELINE_NAMES).index(row["name"]),
            )
            for row in report["baselines"]["probes"]
            if row["labels"] == labels
        ]
        title = f"{label} labels" if label != "all" else f"all {labels:,} labels"
        charts.append(
            (
                title,
                line_chart(
                    f"{name} with {title} against prefix length",
                    series,
                    levels,
                    "slots kept, k",
                    name,
                    3,
                ),
            )
        )
    return charts


def _point(k: int, number: Mapping) -> tuple[float, float, float, float]:
    return k, number["mean"], number["low"], number["high"]


def _charts(charts: list[tuple[str, str]]) -> str:
    cards = "".join(
        f'<figure class="chart"><h3>{html.escape(title)}</h3>{svg}</figure>'
        for title, svg in charts
    )
    return f'<div class="charts">{cards}</div>'


def _table(table: Table) -> str:
    head = "".join(f'<th scope="col">{html.escape(column)}</th>' for column in table.columns)
    body, previous = [], None
    for row in table.rows:
        cells = "".join(f"<td{_tooltip(cell.number)}>{html.escape(cell.text)}</td>" for cell in row)
        body.append(f"<tr{' class=first' if row[0].text != previous else ''}>{cells}</tr>")
        previous = row[0].text
    return (
        f"<h2>{html.escape(table.title)}</h2>"
        f'<div class="scroll" tabindex="0" role="region" aria-label="{html.escape(table.title)}">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table></div>"
        f'<p class="caption">{html.escape(table.caption)}</p>'
    )


def _tooltip(number: Mapping | None) -> str:
    if number is None:
        return ""
    text = (
        f"{number['mean']:.4g} [{number['low']:.4g}, {number['high']:.4g}] {number['unit']}, "
        f"n = {number['n']} {number['over']}"
    )
    return f' title="{html.escape(text)}"'


def _footer(report: Mapping) -> str:
    rows = "".join(
        f"<dt>{html.escape(name)}</dt><dd>{html.escape(str(text))}</dd>"
        for name, text in report["run"].items()
    )
    return f"<footer><h2>How this was made</h2><dl>{rows}</dl></footer>"


def _asset(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")

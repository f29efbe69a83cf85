"""A report as one self-contained HTML page: a title and a list of sections.

    page("gain of two models", [Findings("What this shows", lines), Charts("Gain", [curve]), table])

Tables are sections as they are. The page needs no network and follows the
reader's light or dark theme.
"""

import dataclasses
import html
from collections.abc import Mapping, Sequence
from importlib import resources

from flexlam_jax.reports.bars import Bars, bar_chart
from flexlam_jax.reports.clip import Clip, clip_figure
from flexlam_jax.reports.film import Film, film_figure
from flexlam_jax.reports.pictures import picture_figure
from flexlam_jax.reports.results import Curve, Number, PictureGrid, Table
from flexlam_jax.reports.svg import line_chart
from flexlam_jax.reports.tables import cells


@dataclasses.dataclass(frozen=True)
class Text:
    """A paragraph; `kind` is "about" for what introduces the page, or "note"."""

    text: str
    kind: str = "note"


@dataclasses.dataclass(frozen=True)
class Findings:
    """Sentences in a box."""

    title: str
    lines: Sequence[str]


@dataclasses.dataclass(frozen=True)
class Pictures:
    """A picture grid under a heading."""

    title: str
    grid: PictureGrid


@dataclasses.dataclass(frozen=True)
class Charts:
    """Curves and bars side by side under a heading."""

    title: str
    curves: Sequence[Curve | Bars]
    caption: str = ""


@dataclasses.dataclass(frozen=True)
class Video:
    """A video file beside the page: `source` is its relative address."""

    source: str
    caption: str


@dataclasses.dataclass(frozen=True)
class Videos:
    """Videos side by side under a heading."""

    title: str
    videos: Sequence[Video]


@dataclasses.dataclass(frozen=True)
class Films:
    """Films, whose frames lie in the page, side by side under a heading."""

    title: str
    films: Sequence[Film]
    caption: str = ""


@dataclasses.dataclass(frozen=True)
class Clips:
    """Clips, whose frames lie in the page, one below the other under a heading."""

    title: str
    clips: Sequence[Clip]
    caption: str = ""


@dataclasses.dataclass(frozen=True)
class Inset:
    """Another page of ours under a heading: `source` is its address, relative to this page."""

    title: str
    source: str


@dataclasses.dataclass(frozen=True)
class Facts:
    """Names and texts at the foot of the page: how it was made."""

    title: str
    facts: Mapping[str, str]


Section = Text | Findings | Pictures | Charts | Videos | Films | Clips | Table | Inset | Facts


def page(title: str, sections: Sequence[Section]) -> str:
    """The page as HTML."""
    body = [f"<h1>{html.escape(title)}</h1>"]
    body += [_RENDER[type(section)](section) for section in sections]
    return _PAGE.format(
        title=html.escape(title),
        css=_asset("page.css"),
        js=_asset("page.js"),
        body="\n".join(body),
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


def _text(section: Text) -> str:
    return f'<p class="{section.kind}">{html.escape(section.text)}</p>'


def _findings(section: Findings) -> str:
    lines = "".join(f"<li>{html.escape(line)}</li>" for line in section.lines)
    return f'<section class="findings">{_heading(section.title)}<ul>{lines}</ul></section>'


def _pictures(section: Pictures) -> str:
    return f"{_heading(section.title)}\n{picture_figure(section.grid)}"


def _charts(section: Charts) -> str:
    cards = "".join(
        f'<figure class="chart"><h3>{html.escape(curve.title)}</h3>'
        f"{bar_chart(curve) if isinstance(curve, Bars) else line_chart(curve)}</figure>"
        for curve in section.curves
    )
    caption = _caption(section.caption) if section.caption else ""
    return f'{_heading(section.title)}\n<div class="charts">{cards}</div>{caption}'


def _videos(section: Videos) -> str:
    cards = "".join(
        f'<figure class="chart"><video controls loop muted playsinline preload="metadata" '
        f'src="{html.escape(video.source)}"></video>'
        f"<figcaption>{html.escape(video.caption)}</figcaption></figure>"
        for video in section.videos
    )
    return f'{_heading(section.title)}\n<div class="charts">{cards}</div>'


def _films(section: Films) -> str:
    films = "".join(film_figure(film, number) for number, film in enumerate(section.films))
    caption = _caption(section.caption) if section.caption else ""
    return f'{_heading(section.title)}{caption}\n<div class="films">{films}</div>'


def _clips(section: Clips) -> str:
    clips = "".join(clip_figure(clip, number) for number, clip in enumerate(section.clips))
    caption = _caption(section.caption) if section.caption else ""
    return f"{_heading(section.title)}{caption}\n{clips}"


def _table(table: Table) -> str:
    titles = [html.escape(column.title) for column in table.columns]
    head = "".join(f'<th scope="col">{title}</th>' for title in titles)
    body, previous = [], None
    for row in cells(table):
        shown = "".join(f"<td{_tooltip(cell.number)}>{html.escape(cell.text)}</td>" for cell in row)
        body.append(f"<tr{' class=first' if row[0].text != previous else ''}>{shown}</tr>")
        previous = row[0].text
    return (
        f"{_heading(table.title)}"
        f'<div class="scroll" tabindex="0" role="region" aria-label="{html.escape(table.title)}">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table></div>"
        f"{_caption(table.caption)}"
    )


def _inset(section: Inset) -> str:
    source, title = html.escape(section.source), html.escape(section.title)
    frame = f'<iframe src="{source}" title="{title}" style="width:100%;height:40rem;border:0">'
    return f'{_heading(section.title)}<p><a href="{source}">{source}</a></p>{frame}</iframe>'


def _facts(section: Facts) -> str:
    rows = "".join(
        f"<dt>{html.escape(name)}</dt><dd>{html.escape(str(text))}</dd>"
        for name, text in section.facts.items()
    )
    return f"<footer>{_heading(section.title)}<dl>{rows}</dl></footer>"


_RENDER = {
    Text: _text,
    Findings: _findings,
    Pictures: _pictures,
    Charts: _charts,
    Videos: _videos,
    Films: _films,
    Clips: _clips,
    Table: _table,
    Inset: _inset,
    Facts: _facts,
}


def _heading(title: str) -> str:
    return f"<h2>{html.escape(title)}</h2>"


def _caption(text: str) -> str:
    return f'<p class="caption">{html.escape(text)}</p>'


def _tooltip(number: Number | None) -> str:
    if number is None:
        return ""
    text = (
        f"{number.mean:.4g} [{number.low:.4g}, {number.high:.4g}] {number.unit}, "
        f"n = {number.n} {number.over}"
    )
    return f' title="{html.escape(text)}"'


def _asset(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")

"""Curves as one SVG file of its own, for pages that show pictures but no HTML."""

import html
from collections.abc import Sequence
from importlib import resources

from flexlam_jax.reports.results import Curve
from flexlam_jax.reports.svg import COLORS, HEIGHT, LEFT, WIDTH, marks

COLUMNS = 2
TITLE, LINE, GAP = (
    30,
    20,
    16,
)  # Heights of a title, a line of a legend, and what lies between charts.


def figure(curves: Sequence[Curve]) -> str:
    """The charts side by side, each with its title and legend; colours follow the reader's theme."""
    lines = max(len(curve.series) + len(curve.levels) for curve in curves)
    high = TITLE + HEIGHT + LINE * lines + GAP
    columns, rows = min(COLUMNS, len(curves)), -(-len(curves) // COLUMNS)
    parts = [
        f'<g transform="translate({number % COLUMNS * (WIDTH + GAP)} {number // COLUMNS * high})">'
        f"{_chart(curve)}</g>"
        for number, curve in enumerate(curves)
    ]
    css = resources.files(__package__).joinpath("page.css").read_text(encoding="utf-8")
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" font-family="system-ui, sans-serif" '
        f'viewBox="0 0 {columns * (WIDTH + GAP)} {rows * high}"><style>{css}'
        "text { fill: var(--ink); }</style>"
        f'<rect width="100%" height="100%" fill="var(--paper)"/>{"".join(parts)}</svg>\n'
    )


def _chart(curve: Curve) -> str:
    place = f'x="{LEFT}" y="{TITLE - 10}" font-size="14" font-weight="600"'
    title = f"<text {place}>{html.escape(curve.title)}</text>"
    return f'{title}<g transform="translate(0 {TITLE})">{marks(curve)}</g>{_legend(curve)}'


def _legend(curve: Curve) -> str:
    entries = [
        (
            f'<circle class="dot c{i % COLORS}" cx="13" cy="-4" r="3.5"/>'
            + (f'<path class="line c{i % COLORS}" d="M1 -4H25"/>' if one.joined else ""),
            one.name,
        )
        for i, one in enumerate(curve.series)
    ]
    entries += [
        (
            f'<path class="level l{level.style}" d="M1 -4H25"/>',
            f"{level.name} {level.value:.{curve.digits}f}",
        )
        for level in curve.levels
    ]
    return "".join(
        f'<g transform="translate({LEFT} {TITLE + HEIGHT + LINE * (number + 1)})">{mark}'
        f'<text x="34" font-size="13">{html.escape(name)}</text></g>'
        for number, (mark, name) in enumerate(entries)
    )

"""Bar charts as SVG text, in the size and colours of svg.py."""

import dataclasses
import html
from collections.abc import Sequence

from flexlam_jax.reports.svg import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, nice_ticks


@dataclasses.dataclass(frozen=True)
class Bars:
    """(label, value) of each bar, none below zero; `color` is a class of page.css."""

    title: str
    bars: Sequence[tuple[str, float]]
    x_label: str
    y_label: str
    color: int = 0


def bar_chart(chart: Bars) -> str:
    """An <svg> whose bars tell their values when they are pointed at."""
    ticks = nice_ticks(0.0, max(value for _, value in chart.bars))
    step = (WIDTH - LEFT - RIGHT) / len(chart.bars)
    floor, high = HEIGHT - BOTTOM, HEIGHT - BOTTOM - TOP
    parts = []
    for tick in ticks:
        y = floor - high * tick / ticks[-1]
        parts.append(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text class="tick" x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>'
        )
    for i, (label, value) in enumerate(chart.bars):
        left, tall = LEFT + step * i, high * value / ticks[-1]
        name = html.escape(label)
        parts.append(
            f'<rect class="dot c{chart.color}" x="{left + 0.1 * step:.1f}" y="{floor - tall:.1f}" '
            f'width="{0.8 * step:.1f}" height="{tall:.1f}"><title>{name}: {value:.3g}</title></rect>'
            f'<text class="tick" x="{left + step / 2:.1f}" y="{floor + 16}" text-anchor="middle">'
            f"{name}</text>"
        )
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(
        f'<text class="axis" x="{middle}" y="{HEIGHT - 6}" text-anchor="middle">'
        f"{html.escape(chart.x_label)}</text>"
        f'<text class="axis" transform="translate(12 {(floor + TOP) / 2}) rotate(-90)" '
        f'text-anchor="middle">{html.escape(chart.y_label)}</text>'
    )
    words = ", ".join(f"{label}: {value:.3g}" for label, value in chart.bars)
    told = html.escape(f"{chart.y_label} by {chart.x_label}: {words}")
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{told}">{"".join(parts)}</svg>'
    )

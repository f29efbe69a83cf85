"""Line charts as SVG text. Colours are the page's CSS variables, so charts follow its theme."""

import dataclasses
import html
import math
from collections.abc import Sequence

WIDTH, HEIGHT = 460, 300
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 12, 40


@dataclasses.dataclass(frozen=True)
class Series:
    """points: (x, mean, low, high); one point alone is drawn as a marker with its interval."""

    name: str
    points: Sequence[tuple[float, float, float, float]]
    color: int


@dataclasses.dataclass(frozen=True)
class Level:
    """A horizontal line: a baseline that has no x."""

    name: str
    value: float
    style: int


def line_chart(
    title: str,
    series: Sequence[Series],
    levels: Sequence[Level],
    x_label: str,
    y_label: str,
    digits: int,
) -> str:
    """An <svg> with bands for intervals, markers with tooltips, and a legend below it."""
    x_values = sorted({point[0] for one in series for point in one.points})
    bounds = [y for one in series for point in one.points for y in point[1:]]
    bounds += [level.value for level in levels]
    ticks = nice_ticks(min(bounds), max(bounds))
    low, high = min(ticks[0], min(bounds)), max(ticks[-1], max(bounds))

    def x_position(
        x: float,
    ) -> float:  # prefix lengths are spaced evenly, as powers of two would be
        step = (WIDTH - LEFT - RIGHT) / max(1, len(x_values))
        return LEFT + step * (x_values.index(x) + 0.5)

    def y_position(y: float) -> float:
        return HEIGHT - BOTTOM - (y - low) / (high - low) * (HEIGHT - TOP - BOTTOM)

    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{html.escape(title)}">']
    for tick in ticks:
        y = y_position(tick)
        parts.append(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text class="tick" x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">'
            f"{tick:.{_tick_digits(ticks)}f}</text>"
        )
    for x in x_values:
        parts.append(
            f'<text class="tick" x="{x_position(x):.1f}" y="{HEIGHT - BOTTOM + 16}" '
            f'text-anchor="middle">{x:g}</text>'
        )
    parts.append(
        f'<text class="axis" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 6}" '
        f'text-anchor="middle">{html.escape(x_label)}</text>'
        f'<text class="axis" transform="translate(12 {(HEIGHT - BOTTOM + TOP) / 2}) rotate(-90)" '
        f'text-anchor="middle">{html.escape(y_label)}</text>'
    )
    for level in levels:
        y = y_position(level.value)
        parts.append(
            f'<line class="level l{level.style}" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" '
            f'y2="{y:.1f}"><title>{html.escape(level.name)}: {level.value:.{digits}f}</title>'
            "</line>"
        )
    lone = [one for one in series if len(one.points) == 1]
    for one in series:  # lone markers stand beside the lines, or they would cover each other
        shift = 9 * (1 + lone.index(one)) if one in lone and len(series) > 1 else 0
        parts.append(_draw(one, lambda x, shift=shift: x_position(x) + shift, y_position, digits))
    return "".join([*parts, "</svg>", legend(series, levels, digits)])


def _draw(one: Series, x_position, y_position, digits: int) -> str:
    points = [(x_position(x), *map(y_position, ys)) for x, *ys in one.points]
    parts = []
    if len(points) > 1:
        upper = " ".join(f"{x:.1f},{high:.1f}" for x, _, _, high in points)
        lower = " ".join(f"{x:.1f},{low:.1f}" for x, _, low, _ in reversed(points))
        middle = " ".join(f"{x:.1f},{mean:.1f}" for x, mean, _, _ in points)
        parts.append(
            f'<polygon class="band c{one.color}" points="{upper} {lower}"/>'
            f'<polyline class="line c{one.color}" points="{middle}"/>'
        )
    else:
        parts += [
            f'<line class="whisker c{one.color}" x1="{x:.1f}" x2="{x:.1f}" y1="{low:.1f}" '
            f'y2="{high:.1f}"/>'
            for x, _, low, high in points
        ]
    for (x, y, _, _), (k, mean, low, high) in zip(points, one.points):
        parts.append(
            f'<circle class="dot c{one.color}" cx="{x:.1f}" cy="{y:.1f}" r="4"><title>'
            f"{html.escape(one.name)}, k = {k:g}: {mean:.{digits}f} "
            f"[{low:.{digits}f}, {high:.{digits}f}]</title></circle>"
        )
    return "".join(parts)


def legend(series: Sequence[Series], levels: Sequence[Level], digits: int) -> str:
    """Names beside their marks, as HTML, so that they wrap on a narrow screen."""
    items = [
        f'<li><svg viewBox="0 0 26 10"><line class="line c{one.color}" x1="1" x2="25" y1="5" '
        f'y2="5"/><circle class="dot c{one.color}" cx="13" cy="5" r="3.5"/></svg>'
        f"{html.escape(one.name)}</li>"
        for one in series
    ]
    items += [
        f'<li><svg viewBox="0 0 26 10"><line class="level l{level.style}" x1="1" x2="25" y1="5" '
        f'y2="5"/></svg>{html.escape(level.name)} {level.value:.{digits}f}</li>'
        for level in levels
    ]
    return f'<ul class="legend">{"".join(items)}</ul>'


def nice_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """About `count` round numbers from just below `low` to just above `high`."""
    span = max(high - low, abs(high) * 1e-3, 1e-6)
    raw = span / (count - 1)
    power = 10 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 10) for i in range(first, max(last, first + 1) + 1)]


def _tick_digits(ticks: Sequence[float]) -> int:
    return next(
        (digits for digits in range(4) if all(abs(round(t, digits) - t) < 1e-9 for t in ticks)), 4
    )

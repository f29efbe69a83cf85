"""Line charts as SVG text. Colours are the page's CSS variables, so charts follow its theme."""

import html
import math

from flexlam_jax.reports.results import Curve, Level, Series

WIDTH, HEIGHT = 460, 300
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 12, 40
COLORS = 6  # Classes c0 to c5 of page.css.
BESIDE = 9  # Lone markers stand beside the lines, or they would cover each other.


class _Scales:
    """Where values of a curve lie in the picture."""

    def __init__(self, curve: Curve):
        self.x_values = sorted({x for one in curve.series for x, _ in one.points})
        self._counts = all(float(x).is_integer() for x in self.x_values)
        # Round numbers that a few values lie between, or each value where they are counts.
        self.x_ticks = (
            self.x_values if self._counts else nice_ticks(self.x_values[0], self.x_values[-1])
        )
        numbers = [number for one in curve.series for _, number in one.points]
        bounds = [y for one in numbers for y in (one.mean, one.low, one.high)]
        bounds += [level.value for level in curve.levels]
        self.ticks = nice_ticks(min(bounds), max(bounds))
        self.low = min(self.ticks[0], min(bounds))
        self.high = max(self.ticks[-1], max(bounds))

    def x(self, x: float) -> float:
        """Counts are spaced evenly, as powers of two would be on a logarithmic axis; other values
        lie where they are.
        """
        if not self._counts:
            low, high = self.x_ticks[0], self.x_ticks[-1]
            return LEFT + (WIDTH - LEFT - RIGHT) * (x - low) / (high - low)
        step = (WIDTH - LEFT - RIGHT) / max(1, len(self.x_values))
        return LEFT + step * (self.x_values.index(x) + 0.5)

    def y(self, y: float) -> float:
        share = (y - self.low) / (self.high - self.low)
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)


def line_chart(curve: Curve) -> str:
    """An <svg> with bands for intervals, markers with tooltips, and a legend below it."""
    of = "" if curve.title == curve.y_label else f"{curve.title}: "
    words = html.escape(f"{of}{curve.y_label} against {curve.x_label}")
    head = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{words}">'
    return f"{head}{marks(curve)}</svg>{legend(curve)}"


def marks(curve: Curve) -> str:
    """What is in the <svg>, WIDTH x HEIGHT: axes, levels, lines, bands and markers."""
    scales = _Scales(curve)
    parts = [_axes(curve, scales), *(_draw_level(one, curve, scales) for one in curve.levels)]
    lone = [one for one in curve.series if _is_lone(one)]
    for i, one in enumerate(curve.series):
        beside = one in lone and len(curve.series) > 1
        shift = BESIDE * (1 + lone.index(one)) if beside else 0
        parts.append(_draw(one, i % COLORS, shift, curve, scales))
    return "".join(parts)


def _is_lone(one: Series) -> bool:
    return len(one.points) == 1 or not one.joined


def _axes(curve: Curve, scales: _Scales) -> str:
    parts = []
    for tick in scales.ticks:
        y = scales.y(tick)
        parts.append(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text class="tick" x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">'
            f"{tick:.{_tick_digits(scales.ticks)}f}</text>"
        )
    for x in scales.x_ticks:
        parts.append(
            f'<text class="tick" x="{scales.x(x):.1f}" y="{HEIGHT - BOTTOM + 16}" '
            f'text-anchor="middle">{x:g}</text>'
        )
    parts.append(
        f'<text class="axis" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 6}" '
        f'text-anchor="middle">{html.escape(curve.x_label)}</text>'
        f'<text class="axis" transform="translate(12 {(HEIGHT - BOTTOM + TOP) / 2}) rotate(-90)" '
        f'text-anchor="middle">{html.escape(curve.y_label)}</text>'
    )
    return "".join(parts)


def _draw_level(level: Level, curve: Curve, scales: _Scales) -> str:
    y = scales.y(level.value)
    return (
        f'<line class="level l{level.style}" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" '
        f'y2="{y:.1f}"><title>{html.escape(level.name)}: {level.value:.{curve.digits}f}</title>'
        "</line>"
    )


def _draw(one: Series, color: int, shift: float, curve: Curve, scales: _Scales) -> str:
    points = [
        (scales.x(x) + shift, scales.y(number.mean), scales.y(number.low), scales.y(number.high))
        for x, number in one.points
    ]
    parts = []
    if not _is_lone(one):
        upper = " ".join(f"{x:.1f},{high:.1f}" for x, _, _, high in points)
        lower = " ".join(f"{x:.1f},{low:.1f}" for x, _, low, _ in reversed(points))
        middle = " ".join(f"{x:.1f},{mean:.1f}" for x, mean, _, _ in points)
        parts.append(
            f'<polygon class="band c{color}" points="{upper} {lower}"/>'
            f'<polyline class="line c{color}" points="{middle}"/>'
        )
    else:
        parts += [
            f'<line class="whisker c{color}" x1="{x:.1f}" x2="{x:.1f}" y1="{low:.1f}" '
            f'y2="{high:.1f}"/>'
            for x, _, low, high in points
        ]
    digits = curve.digits
    for (x, y, _, _), (value, number) in zip(points, one.points, strict=True):
        parts.append(
            f'<circle class="dot c{color}" cx="{x:.1f}" cy="{y:.1f}" r="4"><title>'
            f"{html.escape(one.name)}, {html.escape(curve.x_name)} = {value:g}: "
            f"{number.mean:.{digits}f} [{number.low:.{digits}f}, {number.high:.{digits}f}]"
            "</title></circle>"
        )
    return "".join(parts)


def legend(curve: Curve) -> str:
    """Names beside their marks, as HTML, so that they wrap on a narrow screen."""
    items = [
        f'<li><svg viewBox="0 0 26 10"><line class="line c{i % COLORS}" x1="1" x2="25" y1="5" '
        f'y2="5"/><circle class="dot c{i % COLORS}" cx="13" cy="5" r="3.5"/></svg>'
        f"{html.escape(one.name)}</li>"
        for i, one in enumerate(curve.series)
    ]
    items += [
        f'<li><svg viewBox="0 0 26 10"><line class="level l{level.style}" x1="1" x2="25" y1="5" '
        f'y2="5"/></svg>{html.escape(level.name)} {level.value:.{curve.digits}f}</li>'
        for level in curve.levels
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


def _tick_digits(ticks: list[float]) -> int:
    return next(
        (digits for digits in range(4) if all(abs(round(t, digits) - t) < 1e-9 for t in ticks)), 4
    )

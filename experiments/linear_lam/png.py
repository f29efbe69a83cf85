"""Curves as one PNG, drawn by Pillow, for readers that show no SVG. Light colours of page.css."""

import io
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from flexlam_jax.reports.results import Curve, Number
from flexlam_jax.reports.svg import nice_ticks

COLORS = ("#1a5fb4", "#c64600", "#26802f", "#8b3db3", "#a1640a", "#0a7d83")
PAPER, INK, SOFT, RULE = "#fbfbf9", "#1d2126", "#5c6570", "#d9dce0"
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM, LINE = 620, 400, 64, 20, 44, 52, 22
BESIDE = 5  # Arms stand beside one another: many have the same values.
_SCALE = 2  # Drawn larger and made smaller: smooth lines.


def png(curves: Sequence[Curve], columns: int = 2) -> bytes:
    """The charts side by side, each with its legend below.

    Series come in twos: markers of what was trained, and the line of its closed form, in one color.
    """
    legends = max(len(curve.series) // 2 for curve in curves)
    high = HEIGHT + LINE * (legends + 1) + 12
    rows, columns = -(-len(curves) // columns), min(columns, len(curves))
    image = Image.new("RGB", (_SCALE * WIDTH * columns, _SCALE * high * rows), PAPER)
    for number, curve in enumerate(curves):
        place = (number % columns * WIDTH, number // columns * high)
        _Chart(ImageDraw.Draw(image), place, curve).draw()
    stream = io.BytesIO()
    small = image.resize((WIDTH * columns, high * rows), Image.Resampling.LANCZOS)
    small.quantize(128, method=Image.Quantize.MAXCOVERAGE).save(stream, format="PNG", optimize=True)
    return stream.getvalue()


class _Chart:
    """One chart at `place` of a picture _SCALE times as large."""

    def __init__(self, draw: ImageDraw.ImageDraw, place: tuple[int, int], curve: Curve):
        self._pen, self._place, self._curve = draw, place, curve
        points = [point for one in curve.series for point in one.points]
        xs = [x for x, _ in points]
        ys = [y for _, number in points for y in (number.mean, number.low, number.high)]
        self._xs, self._ys = nice_ticks(min(xs), max(xs)), nice_ticks(min(0.0, *ys), max(1.0, *ys))

    def draw(self) -> None:
        curve = self._curve
        self._text((LEFT, 8), curve.title, 17, INK)
        for tick in self._ys:
            y = self._y(tick)
            self._line([(LEFT, y), (WIDTH - RIGHT, y)], RULE, 1)
            self._text((LEFT - 8, y), f"{tick:g}", 13, SOFT, "rm")
        for tick in self._xs:
            self._text((self._x(tick), HEIGHT - BOTTOM + 8), f"{tick:g}", 13, SOFT, "ma")
        self._text(((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 22), curve.x_label, 13, SOFT, "ma")
        pairs = list(zip(curve.series[::2], curve.series[1::2], strict=True))
        for number, (trained, closed) in enumerate(pairs):
            color, aside = COLORS[number % len(COLORS)], BESIDE * (number - (len(pairs) - 1) / 2)
            line = [(self._x(x) + aside, self._y(value.mean)) for x, value in closed.points]
            self._line(line, color, 2)
            for x, value in trained.points:
                self._marker(self._x(x) + aside, value, color)
            y = HEIGHT + LINE * number + 8
            self._line([(LEFT, y), (LEFT + 26, y)], color, 2)
            self._dot(LEFT + 13, y, color)
            self._text((LEFT + 36, y), trained.name.removesuffix(", trained"), 14, INK, "lm")
        told = "markers: trained, with 95 % intervals over seeds; lines: closed form"
        self._text((LEFT, HEIGHT + LINE * len(pairs) + 8), told, 13, SOFT, "lm")

    def _x(self, x: float) -> float:
        low, high = self._xs[0], self._xs[-1]
        return LEFT + (WIDTH - LEFT - RIGHT) * (x - low) / (high - low)

    def _y(self, y: float) -> float:
        low, high = self._ys[0], self._ys[-1]
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (y - low) / (high - low)

    def _marker(self, x: float, value: Number, color: str) -> None:
        self._line([(x, self._y(value.low)), (x, self._y(value.high))], color, 2)
        self._dot(x, self._y(value.mean), color)

    def _dot(self, x: float, y: float, color: str) -> None:
        left, top = (_SCALE * (of + at) for of, at in zip((x, y), self._place, strict=True))
        radius = 4.5 * _SCALE
        box = (left - radius, top - radius, left + radius, top + radius)
        self._pen.ellipse(box, fill=color, outline=PAPER, width=_SCALE)

    def _line(self, points: Sequence[tuple[float, float]], color: str, width: int) -> None:
        across, down = self._place
        scaled = [(_SCALE * (x + across), _SCALE * (y + down)) for x, y in points]
        self._pen.line(scaled, fill=color, width=_SCALE * width, joint="curve")

    def _text(
        self, at: tuple[float, float], text: str, size: int, color: str, anchor: str = "la"
    ) -> None:
        place = tuple(_SCALE * (of + by) for of, by in zip(at, self._place, strict=True))
        font = ImageFont.load_default(size * _SCALE)
        self._pen.text(place, text, fill=color, font=font, anchor=anchor)

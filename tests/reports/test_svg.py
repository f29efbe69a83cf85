import re

import pytest

from flexlam_jax.reports.results import Curve, Level, Number, Series
from flexlam_jax.reports.svg import line_chart, nice_ticks


def number(mean, half=0.5):
    return Number(mean, mean - half, mean + half, 3, "dB", "episodes")


@pytest.mark.parametrize("low, high", [(0, 1), (21.8, 25.6), (0.21, 0.213), (5, 5), (-3, -1)])
def test_ticks_are_few_round_and_around_the_data(low, high):
    ticks = nice_ticks(low, high)
    assert ticks[0] <= low + 1e-9 and ticks[-1] >= high - 1e-9 and 2 <= len(ticks) <= 7


def test_points_carry_their_numbers_and_lie_in_the_picture():
    curve = Curve(
        "gain",
        [
            Series("<mine>", [(1, number(2.0)), (4, number(3.0))]),
            Series("alone", [(4, number(2.5))]),
        ],
        [Level("base", 1.0)],
        x_label="slots",
        x_name="k",
        digits=1,
    )
    drawn = line_chart(curve)
    assert "&lt;mine&gt;, k = 4: 3.0 [2.5, 3.5]" in drawn and "<mine>" not in drawn
    assert drawn.count("<polyline") == 1 and drawn.count('class="whisker c1"') == 1
    heights = [float(y) for y in re.findall(r'cy="([\d.]+)" r="4"', drawn)]
    assert heights[0] > heights[2] > heights[1] > 0  # Larger is higher, and y points down.
    assert "base 1.0" in drawn


def test_points_of_a_series_that_is_not_joined_are_markers():
    points = [(1, number(2.0)), (4, number(3.0))]
    joined, apart = Series("one", points), Series("each its own", points, joined=False)
    drawn = line_chart(Curve("gain", [joined, apart]))
    assert drawn.count("<polyline") == 1 and drawn.count('class="whisker c1"') == 2
    xs = [float(x) for x in re.findall(r'cx="([\d.]+)" cy="[\d.]+" r="4"', drawn)]
    assert xs[2] > xs[0] and xs[3] > xs[1]  # Beside the line, or they would cover it.


def test_values_that_are_no_counts_lie_where_they_are():
    drawn = line_chart(Curve("gain", [Series("one", [(x, number(2.0)) for x in (1, 1.5, 4)])]))
    first, second, third = (float(x) for x in re.findall(r'cx="([\d.]+)" cy="[\d.]+" r="4"', drawn))
    assert (second - first) / (third - first) == pytest.approx(0.5 / 3, abs=1e-3)
    assert ">1.5<" not in drawn and ">4<" in drawn

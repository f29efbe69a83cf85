import json
import re

import numpy as np

from flexlam_jax.reports.page import Charts, Pictures, Text, page
from flexlam_jax.reports.pictures import png_uri
from flexlam_jax.reports.results import (
    Curve,
    Number,
    Picture,
    PictureGrid,
    Sample,
    Series,
    Slider,
)

DARK, LIGHT = np.zeros((4, 4, 3), np.uint8), np.full((4, 4), 255, np.uint8)


def grid(positions):
    images = [DARK, LIGHT][:positions]
    picture = Picture("made_{x}", images, [f"<made> {i}" for i in range(positions)])
    sample = Sample(
        "first", [Picture("given", [DARK], ["given"]), picture], ["1 m", "2 m"][:positions]
    )
    return PictureGrid([sample], Slider("size", "n", [3, 9][:positions], ["n = 3", "n = 9"]), "end")


def test_a_slider_changes_the_pictures_that_have_one_per_position():
    shown = page("two", [Pictures("Look", grid(2))])
    data = json.loads(re.search(r'<script type="application/json">(.*?)</script>', shown).group(1))
    assert data["name"] == "n" and data["values"] == [3, 9] and data["samples"] == [["1 m", "2 m"]]
    (changing,) = data["pictures"]
    assert changing == {
        "images": [png_uri(DARK), png_uri(LIGHT)],
        "alts": ["<made> 0", "<made> 1"],
    }
    assert f'<img data-picture="0" src="{png_uri(LIGHT)}" alt="&lt;made&gt; 1">' in shown
    assert f'<img src="{png_uri(DARK)}" alt="given">' in shown
    assert "made<sub>x</sub>" in shown and "n = 9</output>" in shown


def test_one_position_needs_no_slider():
    shown = page("one", [Pictures("Look", grid(1))])
    assert "<input" not in shown and "<img data-picture" not in shown and shown.count("<img") == 2


def test_sections_come_in_order_and_follow_the_theme():
    number = Number(1.0, 0.5, 1.5, 3, "m", "runs")
    curve = Curve("Error", [Series("a", [(1, number), (2, number)])], y_label="m")
    shown = page(
        "<t>", [Text("first & best", "about"), Charts("Curves", [curve], "why"), Text("n")]
    )
    places = [
        shown.index(part)
        for part in (
            "<h1>&lt;t&gt;</h1>",
            '<p class="about">first &amp; best</p>',
            "<h2>Curves</h2>",
            "Error: m against x",
            '<ul class="legend">',
            '<p class="caption">why</p>',
            '<p class="note">n</p>',
        )
    ]
    assert places == sorted(places)
    assert "prefers-color-scheme: dark" in shown and "color-scheme: light dark" in shown

import base64
import io
import json
import re

import numpy as np
from PIL import Image

from flexlam_jax.reports.bars import Bars, bar_chart
from flexlam_jax.reports.film import Film, Lane, Span, film_figure
from flexlam_jax.reports.page import Charts, Films, page

FRAMES, SIDE = 20, 8
LANE = Lane("stage 1", [Span(0, 1, "B", 1), Span(1, 25, "A", 0), Span(25, 40, "C", 2)])
PHASES = Lane("stages", [Span(0, 40, "open <it>", 0)])


def film():
    """Frames of one grey each, 10 more from one to the next; every second step of 40."""
    greys = np.arange(FRAMES, dtype=np.uint8)[:, None, None, None] * 10
    frames = np.broadcast_to(greys, (FRAMES, SIDE, SIDE, 3))
    return Film("first & last", frames, list(range(0, 40, 2)), 40, [LANE, PHASES], LANE, 5.0)


def data_of(shown):
    return json.loads(re.search(r'<script type="application/json">(.*?)</script>', shown).group(1))


def test_every_frame_is_where_the_page_looks_for_it():
    shown = film_figure(film(), 3)
    sheet = base64.b64decode(re.search(r"data:image/jpeg;base64,([^)]*)\)", shown).group(1))
    sheet = np.asarray(Image.open(io.BytesIO(sheet)).convert("L"))
    columns, rows = (int(n) // 100 for n in re.search(r"size:(\d+)% (\d+)%", shown).groups())
    assert sheet.shape == (rows * SIDE, columns * SIDE)
    places = data_of(shown)["places"]
    assert len(places) == FRAMES
    for frame, place in enumerate(places):
        # A background at p % lies so that p % of what is left of it, is left of what is seen.
        x, y = (float(part.rstrip("%")) / 100 for part in place.split())
        left, top = round(x * (columns - 1) * SIDE), round(y * (rows - 1) * SIDE)
        seen = sheet[top : top + SIDE, left : left + SIDE]
        np.testing.assert_allclose(seen, 10 * frame, atol=2)


def test_steps_are_told_in_words_and_spans_lie_at_their_share():
    shown = film_figure(film(), 3)
    data = data_of(shown)
    assert data["steps"][:3] == [0, 2, 4] and (data["length"], data["fps"]) == (40, 5.0)
    assert data["texts"][1] == ["step 2 of 40", "stage 1: A (1–24); stages: open <it> (0–39)"]
    assert 'title="A: 1–24" style="left:2.500%;width:60.000%">A</span>' in shown
    assert "open &lt;it&gt;</span>" in shown and "first &amp; last" in shown
    stills = re.findall(r'class="still c(\d)" data-frame="(\d+)">.*?</span>([^<]*)<', shown)
    # The first frame that is not before the span.
    assert stills == [("1", "0", "B 0"), ("0", "1", "A 1–24"), ("2", "13", "C 25–39")]


def test_labels_are_left_out_where_there_is_no_room():
    thin = Lane("stage", [Span(0, 1, "A", 0), Span(1, 200, "B", 1)])
    shown = film_figure(Film("", film().frames, list(range(20)), 200, [thin], thin), 0)
    assert 'width:0.500%"></span>' in shown and '99.500%">B</span>' in shown


def test_films_of_a_page_have_names_of_their_own_and_one_reel_of_frames_each():
    shown = page("look", [Films("Episodes", [film(), film()], "words")])
    assert shown.index("<h2>Episodes</h2>") < shown.index("words") < shown.index("film-0{")
    assert shown.count('id="film-1"') == 1 and shown.count("data:image/jpeg") == 2
    assert 'class="control" hidden' in shown and "http" not in shown


def test_bars_are_as_high_as_their_values():
    chart = Bars("Lengths", [("1", 25.0), ("2–4", 50.0), ("<8", 0.0)], "steps", "share, %", 2)
    shown = bar_chart(chart)
    heights = [float(h) for h in re.findall(r'<rect class="dot c2".*?height="([\d.]+)"', shown)]
    np.testing.assert_allclose(heights[1], 2 * heights[0], atol=0.2)
    assert heights[0] > 0 == heights[2]
    assert "<title>2–4: 50</title>" in shown and "&lt;8: 0" in shown
    assert 'aria-label="share, % by steps: 1: 25, 2–4: 50' in shown
    assert shown in page("", [Charts("All", [chart])])

"""Curves as a picture of its own."""

from xml.etree import ElementTree

from flexlam_jax.reports.figure import figure
from flexlam_jax.reports.results import Curve, Level, Number, Series


def test_charts_titles_and_legends_are_one_picture():
    points = [(k, Number(k, k - 1, k + 1, 3, "dB", "runs")) for k in (1, 4)]
    series = [Series("a & b", points), Series("apart", points, joined=False)]
    curves = [Curve(f"chart {i}", series, [Level("base", 1.0)]) for i in range(3)]
    root = ElementTree.fromstring(figure(curves))  # XML, as a picture must be
    texts = [one.text for one in root.iter("{http://www.w3.org/2000/svg}text")]
    assert texts.count("a & b") == texts.count("apart") == texts.count("base 1.00") == 3
    assert {"chart 0", "chart 1", "chart 2"} <= set(texts)
    _, _, width, height = map(float, root.get("viewBox").split())
    places = [one.get("transform") for one in root if one.tag.endswith("}g")]
    assert len(set(places)) == 3 and width > 900 and height > 700

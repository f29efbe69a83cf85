from flexlam_jax.reports.results import (
    Column,
    Curve,
    Number,
    PictureGrid,
    Sample,
    Series,
    Slider,
    Table,
    plain,
)
from flexlam_jax.reports.sections import curves_of, tables_of
from flexlam_jax.reports.tables import cells

SPEED = Number(1.0, 0.5, 1.5, 3, "m/s", "runs")
TABLE = Table("By bin", [{"bin": 1, "speed": SPEED}], [Column("bin", "bin")])
CURVE = Curve("Over time", [Series("mine", [(0.5, SPEED)])])


def test_numbers_share_a_table_and_tables_and_curves_name_their_model():
    measured = {"a": {"top": SPEED, "bins": TABLE}, "b": {"mean": SPEED, "time": CURVE}}
    numbers, bins = tables_of("speed", measured)
    assert numbers.title == "speed"
    assert [[cell.text for cell in row] for row in cells(numbers)] == [
        ["a", "1.000 ±0.500", "–"],
        ["b", "–", "1.000 ±0.500"],
    ]
    assert bins.title == "By bin: a" and bins.rows == TABLE.rows
    assert [curve.title for curve in curves_of("speed", measured)] == ["Over time: b"]
    assert tables_of("speed", {"a": TABLE})[0].title == "By bin: a"


def test_results_become_json():
    number = {"mean": 1.0, "low": 0.5, "high": 1.5, "n": 3, "unit": "m/s", "over": "runs"}
    grid = PictureGrid([Sample("first", [], ["1"])], Slider("size", "n", [1], ["n = 1"]), "")
    assert plain({"n": SPEED, "t": TABLE, "c": CURVE, "p": grid}) == {
        "p": ["first"],
        "n": number,
        "t": [{"bin": 1, "speed": number}],
        "c": {"mine": [[0.5, number]]},
    }

from flexlam_jax.reports.results import Cell, Column, Number, Table, used
from flexlam_jax.reports.tables import as_markdown, as_text, cells, format_number


def test_numbers_are_printed_without_negative_zero():
    assert format_number(Number(-0.0001, -0.0002, 0.0, 3, "dB", "episodes"), 2) == "0.00 ±0.00"
    assert format_number(Number(2.0, 2.0, 2.0, 3, "dB", "episodes"), 1) == "2.0"
    assert format_number(None, 2) == "–"


def test_columns_choose_and_align_what_rows_hold():
    gain = Number(1.5, 1.0, 2.0, 4, "dB", "episodes")
    rows = [
        {"model": "a", "gain": gain, "hidden": [1, 2]},
        {"model": "long name", "gain": Cell("none", gain)},
        {"model": "b"},
    ]
    table = Table("Gains", rows, [Column("model", "model"), Column("gain", "gain dB", 1)])
    assert [[cell.text for cell in row] for row in cells(table)] == [
        ["a", "1.5 ±0.5"],
        ["long name", "none"],
        ["b", "–"],
    ]
    assert [row[1].number for row in cells(table)] == [gain, gain, None]
    assert as_text(table).splitlines()[2:] == [
        "model       gain dB",
        "-" * 19,
        "a          1.5 ±0.5",
        "long name      none",
        "b                 –",
        "-" * 19,
    ]


def test_a_table_for_a_page_in_markdown():
    table = Table("Gains", [{"model": "a|b"}], [Column("model", "model"), Column("gain", "dB")])
    assert as_markdown(table) == "| model | dB |\n| --- | --- |\n| a&#124;b | – |"


def test_columns_that_no_row_has_are_not_used():
    columns = [Column("a", "A"), Column("b", "B"), Column("c", "C")]
    assert [one.key for one in used(columns, [{"c": 1}, {"a": None}])] == ["a", "c"]
    assert used(columns, []) == []

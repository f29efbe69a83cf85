"""Tables as people have them: one clear message, or what was lost by number and reason."""

import gzip

import numpy as np
import pytest

from data_pipelines.errors import DataError
from data_pipelines.prepare import main
from data_pipelines.readers.table import recipe
from data_pipelines.registry import recipe_options
from tests.data_pipelines.readers.table.table_files import csv_text, episodes, log, made, write

ROLES = ("--time=t", "--actions=valve")
LINES = csv_text(log(count=500)).splitlines(keepends=True)


def put(tmp_path, text, name="a.csv"):
    folder = tmp_path / "in"
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


def planned(source, *arguments):
    return recipe.plan(recipe_options("table", f"--source={source}", *arguments))


def with_column(name, cell):
    """The log with a further column; cell: row -> text."""
    rows = [f"{line.rstrip()},{cell(i)}\n" for i, line in enumerate(LINES[1:])]
    return "".join([f"{LINES[0].rstrip()},{name}\n", *rows])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty file"),
        ("t,level,flow,valve\n", "no rows below its header"),
        ("t,level,flow,valve", "no rows"),
        ("".join(LINES[1:]), r"first row holds numbers \(0.0, .*--names"),
        (
            "".join(LINES).replace(",", ";"),
            r"one column, 't;level;flow;valve'; give --delimiter=';'",
        ),
        ("<!DOCTYPE html><html></html>", "web page"),
        (np.random.default_rng(0).bytes(5000), "no utf8 text"),
        (b"a,b\n\0,1\n", "zero bytes"),
        ("".join(LINES).replace("flow", "°C").encode("latin1"), "--encoding, e.g. latin1"),
        ("".join(LINES).replace("flow", "level"), "two columns are called 'level'"),
        ("".join(LINES).replace("\n5.0,", "\nfive,"), r"'five' in row 6, .*--time-format"),
        (
            "".join([*LINES[:100], *LINES[300:400], *LINES[100:300]]),
            "times run back, the first in row",
        ),
        (
            "".join([LINES[0], *(line for line in LINES[1:] for _ in (0, 1))]),
            "500 of 1000 rows .*--episode",
        ),
    ],
)
def test_one_message_says_why_a_table_cannot_be_used(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        planned(put(tmp_path, text), *ROLES)


def test_files_that_are_no_tables(tmp_path):
    with pytest.raises(DataError, match="no such file or folder"):
        planned(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"no tables \(.csv"):
        planned(put(tmp_path, "hello", "readme.txt"))
    for name, text in (
        ("a.csv.gz", b"no gzip"),
        ("b.csv.gz", gzip.compress("".join(LINES).encode())[:800]),
    ):
        with pytest.raises(DataError, match=f"{name}: damaged, or not a gzipped CSV"):
            planned(put(tmp_path, text, name))
        (tmp_path / "in" / name).unlink()
    with pytest.raises(DataError, match="not a Parquet file"):
        planned(put(tmp_path, b"PAR1 and no more", "a.parquet"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--time=time",), "no column 'time'; its first table has: t, level, flow, valve"),
        ((*ROLES, "--drop=valve"), "'valve' is given two roles"),
        ((*ROLES, "--columns=level", "--hidden=level"), "'level' is given two roles"),
        ((*ROLES, "--exogenous=valve"), "'valve', which is no column of the state"),
        (("--actions=level,valve", "--action-kind=discrete"), "categories must be one column"),
        (("--drop=t,level,flow,valve",), "no column is left"),
        (("--gap-factor=0.5",), "--gap-factor is 0.5"),
        (("--cut=4",), "--cut is 4, less than --min-length"),
        (("--columns=level,level",), "names 'level' twice"),
        (("--encoding=klingon",), "--encoding is 'klingon'"),
        ((*ROLES, "--split=series"), "--split=time"),
        ((*ROLES, "--margin=200"), "too few rows for blocks"),
    ],
)
def test_options_that_make_no_sense(tmp_path, arguments, message):
    with pytest.raises(DataError, match=message):
        planned(put(tmp_path, "".join(LINES)), *arguments)


def test_words_are_refused_by_name_unless_they_are_actions_or_missing(tmp_path):
    source = put(tmp_path, with_column("mode", lambda i: "auto" if i % 2 else "hand"))
    with pytest.raises(DataError, match=r"'mode' \('hand' in row 1 of a.csv\)\. .*--drop=mode"):
        planned(source, *ROLES)
    assert planned(source, *ROLES, "--drop=mode").items
    assert planned(source, "--time=t", "--actions=mode").specs[0].action.names == ("auto", "hand")
    source = put(tmp_path, with_column("heat", lambda i: "ERR" if i == 7 else i * i))
    with pytest.raises(DataError, match=r"'heat' \('ERR' in row 8 of a.csv\)\. .*--missing=WORD"):
        planned(source, *ROLES)
    (entry, *_) = planned(source, *ROLES, "--missing=ERR").skipped
    assert "row 8" in entry.detail and "heat 1" in entry.detail


def test_constant_and_empty_columns_are_left_out_and_lose_no_rows(tmp_path):
    source = put(tmp_path, with_column("k,e", lambda i: f"{'' if i % 3 else 5},"))
    plan = planned(source, *ROLES)
    assert plan.specs[0].state_names == ("level", "flow")
    assert plan.sources["constant_columns"] == ["k", "e"]
    assert "columns left out, they never change: k, e" in plan.sources["notes"]
    assert [entry.reason for entry in plan.skipped] == ["between splits"]
    source = put(tmp_path, with_column("k", lambda i: 5))
    kept = planned(source, *ROLES, "--constant=keep").specs[0].state_names
    assert kept == ("level", "flow", "k")
    with pytest.raises(DataError, match=r"no observed column ever changes \(k\)"):
        planned(source, *ROLES, "--columns=k")


def test_missing_and_infinite_values_end_episodes_and_are_counted(tmp_path):
    columns = log(count=1000)
    columns["flow"][300:302] = np.nan
    columns["level"][302] = np.inf
    write(tmp_path / "in/a.csv", columns)
    info = made(tmp_path / "in", tmp_path / "out", *ROLES)
    reasons = {reason: detail for _, reason, detail in info.manifest["skipped_items"]}
    assert "3 rows, the first is row 301" in reasons["missing values"]
    assert "(cells: flow 2, level 1; 1 of them infinite)" in reasons["missing values"]
    train = [state for split, state, _ in episodes(info).values() if split == "train"]
    assert sorted(map(len, train))[0] == 300 and len(train) == 2


def test_too_many_missing_rows_stop_the_build(tmp_path, capsys):
    for i in range(4):
        columns = log(i, count=200)
        columns["flow"][50:100] = np.nan
        write(tmp_path / f"in/{i}.csv", columns)
    command = ["table", f"--source={tmp_path / 'in'}", f"--out={tmp_path / 'out'}", *ROLES]
    assert main([*command, "--workers=1"]) == 1
    assert (
        "more than --max-failures=0.1 allows; first: 0.csv: missing values"
        in capsys.readouterr().err
    )
    assert main([*command, "--workers=1", "--max-failures=0.4"]) == 0


def test_files_that_differ_are_skipped_or_told(tmp_path):
    for i in range(4):
        write(tmp_path / f"in/{i}.csv", log(i))
    other = log(5)
    other["heat"] = other.pop("flow")
    write(tmp_path / "in/other.csv", other)
    write(tmp_path / "in/more.csv", log(6) | {"heat": log(7)["flow"]})
    words = log(8)
    words["level"] = words["level"].astype(object)
    words["level"][3] = "ERR"
    write(tmp_path / "in/words.csv", words)
    slow = log(9)
    slow["t"] = slow["t"] * 60
    write(tmp_path / "in/slow.csv", slow)
    plan = planned(tmp_path / "in", *ROLES)
    skipped = {entry.name: entry.detail for entry in plan.skipped}
    assert "has no column 'flow'; it has t, level, valve, heat" in skipped["other.csv"]
    assert "holds 'ERR' in row 4, and numbers in other files" in skipped["words.csv"]
    assert [item.name for item in plan.items] == [
        "0.csv",
        "1.csv",
        "2.csv",
        "3.csv",
        "more.csv",
        "slow.csv",
    ]
    assert plan.specs[0].fps == 0.0
    assert plan.sources["notes"] == [
        "columns left out, the first table has none: heat",
        "files differ in their rate: 1 to 60 s between rows",
    ]


def test_rows_of_another_width_are_counted_where_times_show_them(tmp_path):
    source = put(tmp_path, "".join([*LINES[:200], "1,2\n", *LINES[201:]]))
    plan = planned(source, *ROLES)
    ragged = next(entry for entry in plan.skipped if entry.reason == "ragged rows")
    assert "1 rows have more or fewer cells than the header, the first in line 201" in ragged.detail
    assert plan.sources["gaps"] == 1
    with pytest.raises(DataError, match="line 201; mend them, or name the column of times"):
        planned(source, "--drop=t")


def test_numbers_that_float32_cannot_hold_are_refused_or_told(tmp_path):
    source = put(tmp_path, with_column("x", lambda i: 1e8 + 0.01 * i))
    with pytest.raises(DataError, match="column 'x' runs from 100000000.0 .*subtract an offset"):
        planned(source, *ROLES)
    source = put(tmp_path, with_column("x", lambda i: 1e6 + 0.01 * i))
    assert "float32 rounds by more than a thousandth" in planned(source, *ROLES).sources["notes"][0]


def test_uneven_steps_are_told(tmp_path):
    columns = log(count=500)
    columns["t"] = columns["t"] + 0.3 * (np.arange(500) % 2)
    write(tmp_path / "in/a.csv", columns)
    (note,) = [n for n in planned(tmp_path / "in", *ROLES).sources["notes"] if "steps differ" in n]
    assert note.startswith("a.csv: 50% of the steps differ by more than a tenth")


def test_a_file_that_changes_after_the_plan_is_no_shorter_dataset(tmp_path):
    source = put(tmp_path, "".join(LINES))
    options = recipe_options("table", f"--source={source}", *ROLES)
    (item,) = recipe.plan(options).items
    put(tmp_path, "".join(LINES[:-50]))
    with pytest.raises(DataError, match="has 450 rows, it had 500"):
        list(recipe.read(item, options))


def test_the_same_log_in_two_splits_is_a_leak(tmp_path):
    for name in ("a", "b", "c"):
        write(tmp_path / f"in/{name}.csv", log(0))
    with pytest.raises(DataError, match="split leakage"):
        made(tmp_path / "in", tmp_path / "out", *ROLES)


def test_too_few_rows(tmp_path):
    with pytest.raises(DataError, match="no 8 rows in a row can be used"):
        planned(put(tmp_path, "".join(LINES[:6])), *ROLES)

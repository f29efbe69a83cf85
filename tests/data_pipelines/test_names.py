"""Names from files never lead out of a folder."""

import pathlib

import pytest

from data_pipelines.errors import DataError
from data_pipelines.names import check_name, child, plain_name


@pytest.mark.parametrize("name", ["doom", "libero_10", "a-b.c+d", "_x", "7", "x" * 200])
def test_words_are_names(name):
    assert child(pathlib.Path("/data"), name) == pathlib.Path("/data") / name


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../x",
        "/x",
        "a/b",
        "a\\b",
        "a\0b",
        "a\n",
        ".hidden",
        "-rf",
        "é",
        "x" * 201,
        3,
        None,
    ],
)
def test_everything_else_is_refused(name):
    with pytest.raises(DataError, match="is no name"):
        check_name(name, "dataset")
    with pytest.raises(DataError, match="is no name"):
        child(pathlib.Path("/data"), "good", name)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Bridge V2", "bridge_v2"),
        ("/../x", "x"),
        ("7 up", "d_7_up"),
        ("日本", "d"),
        ("a__b", "a_b"),
    ],
)
def test_any_text_becomes_a_name(text, name):
    assert check_name(plain_name(text), "dataset") == name

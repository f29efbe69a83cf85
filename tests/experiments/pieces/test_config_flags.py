"""Presets and lists as flags take them."""

import pytest

from experiments.pieces.config_flags import listed, with_variants


@pytest.mark.parametrize(
    "preset, variants, expected",
    [
        ("a.py", [], "a.py"),
        ("a.py", [""], "a.py"),
        ("a.py", ["fixed=2"], "a.py:fixed=2"),
        ("a.py:debug", ["fixed=2", "of=b"], "a.py:debug,fixed=2,of=b"),
    ],
)
def test_variants_come_after_those_of_the_preset(preset, variants, expected):
    assert with_variants(preset, variants) == expected


def test_a_list_is_a_tuple_in_python():
    assert listed(["a"]) == "('a',)" and listed([]) == "()"

"""JSON that is read again: what does not fit names file, field and value."""

import dataclasses
from typing import Any

import pytest

from flexlam_jax.errors import CheckpointError, DamagedFile
from flexlam_jax.typed_json import as_type, read_json


@dataclasses.dataclass(frozen=True)
class Inner:
    sizes: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Outer:
    name: str
    inner: Inner
    parts: list[Inner]
    rate: float = 1.0


GOOD = b'{"name": "a\xe2\x80\xa8b", "inner": {"sizes": [1, 2]}, "parts": [], "rate": NaN, "new": 1}'


def test_what_fits_is_typed(tmp_path):
    (tmp_path / "file").write_bytes(GOOD)
    value = read_json(tmp_path / "file", Outer, remedy="")
    assert value.name == "a\u2028b" and value.inner == Inner((1, 2)) and value.rate != value.rate
    assert read_json(tmp_path / "file", dict[str, Any], remedy="")["new"] == 1


@pytest.mark.parametrize(
    "old, new, told",
    [
        (
            b"[1, 2]",
            b'[1, "2"]',
            r"file is damaged: inner.sizes\[1\]: expected `int`, got `str`, it is "
            r'"2"; REMEDY',
        ),
        (b'"parts": []', b'"parts": [{"sizes": [1.5]}]', r"parts\[0\].sizes\[0\]: .* it is 1.5"),
        (b'"rate"', b'"r\\udce9"', "a field's name is no text"),
        (b"NaN", b"null", "rate: expected `float`, got `null`, it is null"),
        (b'"rate"', b'"name"', "name: expected `str`, got `float`, it is NaN"),
        (b'"name"', b'"nom"', "the whole: object missing required field `name`, it is {"),
        (GOOD, b"[]", "the whole: expected `object`, got `array`"),
        (GOOD, b"\x89PNG\x00\xff", "not JSON"),
        (GOOD, b"", "not JSON"),
        (GOOD, b"[" * 100_000, "not JSON"),
        (GOOD, b"1" * 5000, "not JSON"),
        (b"}", b"", "not JSON"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, old, new, told):
    (tmp_path / "file").write_bytes(GOOD.replace(old, new))
    with pytest.raises(DamagedFile, match=told):
        read_json(tmp_path / "file", Outer, remedy="REMEDY")


def test_a_missing_file_and_another_error(tmp_path):
    with pytest.raises(CheckpointError, match="none cannot be read .No such file"):
        read_json(tmp_path / "none", Outer, remedy="REMEDY", error=CheckpointError)
    with pytest.raises(CheckpointError, match="row 3 is damaged"):
        as_type([], dict[str, int], where="row 3", remedy="", error=CheckpointError)

"""JSON that is read again names what does not fit."""

import dataclasses
import json

import pytest

from data_pipelines.errors import DataError
from data_pipelines.typed_json import parse_json, read_json, read_json_lines


@dataclasses.dataclass
class Shard:
    file: str
    records: int


@dataclasses.dataclass
class Listing:
    name: str
    shards: dict[str, list[Shard]]
    rate: float = 0.0


def test_reads_its_type_and_ignores_newer_fields(tmp_path):
    file = tmp_path / "a.json"
    file.write_text(
        '\ufeff{"name": "x", "rate": 3, "new": 1, "shards": {"train": [{"file": "a", "records": 2}]}}'
    )
    assert read_json(file, Listing) == Listing("x", {"train": [Shard("a", 2)]}, 3.0)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"name": "x", "shards": {"train": [{"file": "a", "records": "two"}]}}', "'two'"),
        ('{"name": "x", "shards": [1]}', "field `shards`"),
        ('{"name": "x"}', "shards"),
        ('{"name": "x", "shards": {}, "n\\udce9": 1}', r"a field is called 'n\udce9': no UTF-8"),
        ("[1, 2]", "the whole"),
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
    ],
)
def test_what_does_not_fit_is_named(text, told):
    with pytest.raises(DataError, match="m.json") as caught:
        parse_json(text, Listing, where="m.json", remedy="make it again")
    assert told in str(caught.value)
    assert str(caught.value).endswith("make it again")


def test_lines_end_at_newlines_only(tmp_path):
    texts = ["open\u2028the drawer", "close \u0085 it", "caf\udce9.mp4", "\x0b\x0c\x1c"]
    file = tmp_path / "episodes.jsonl"
    file.write_text("\n\n".join(json.dumps(text) for text in texts[2:]) + "\n")
    with file.open("a", encoding="utf-8") as stream:
        stream.writelines(json.dumps(text, ensure_ascii=False) + "\n" for text in texts[:2])
    assert list(read_json_lines(file, str)) == texts[2:] + texts[:2]


def test_a_damaged_line_is_named_by_number(tmp_path):
    file = tmp_path / "episodes.jsonl"
    file.write_text('{"a": 1}\n{"a": NaN}\n{"a": \n')
    with pytest.raises(DataError, match="episodes.jsonl, line 3: is not JSON"):
        list(read_json_lines(file))


def test_bytes_that_are_not_utf8_are_kept():
    assert parse_json(b'"caf\xe9"', str, where="x") == "caf\udce9"


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match="gone.json: cannot be read"):
        read_json(tmp_path / "gone.json")

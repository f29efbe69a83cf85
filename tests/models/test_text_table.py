"""The table of sentences: what is written is read, and what is something else is refused."""

import dataclasses

import numpy as np
import pytest

from flexlam_jax.errors import ConfigError, DamagedFile, UserError
from flexlam_jax.files import write_atomically
from flexlam_jax.models.baku import build_text
from flexlam_jax.models.text_table_file import (
    SentenceTable,
    plain_sentence,
    read_table,
    write_table,
)

SENTENCES = ("open the drawer", "close the drawer", "schließe die schublade")
VECTORS = np.random.default_rng(0).standard_normal((3, 8)).astype(np.float32)
TABLE = SentenceTable(SENTENCES, VECTORS, "tiny", "f" * 64, "some library 1")


@pytest.fixture
def file(tmp_path):
    write_table(tmp_path / "a.npz", TABLE)
    return tmp_path / "a.npz"


def test_what_is_written_is_read(file):
    table = read_table(file)
    np.testing.assert_array_equal(table.vectors, VECTORS)
    told = (table.sentences, table.encoder, table.fingerprint, table.versions, table.width)
    assert told == (SENTENCES, "tiny", "f" * 64, "some library 1", 8)
    before = file.read_bytes()
    write_table(file, table)
    assert file.read_bytes() == before


def test_a_sentence_is_found_whatever_its_case_and_spaces():
    assert plain_sentence(" Open  the\nDrawer. ") == "open the drawer"
    given = TABLE.features(["Close the DRAWER .", "", "open the drawer", " . "])
    np.testing.assert_array_equal(given, [VECTORS[1], np.zeros(8), VECTORS[0], np.zeros(8)])
    assert given.dtype == np.float32 and TABLE.features([]).shape == (0, 8)


def test_sentences_that_it_lacks_are_named_with_the_command_that_adds_them(file):
    with pytest.raises(UserError) as error:
        read_table(file).features(
            ["open the drawer", "Push the button", "pull it", "push the button"]
        )
    told = str(error.value)
    assert f"{file} has no vector of the sentence 'push the button' and 1 more; `python" in told
    assert f"embed_text --encoder=tiny --out={file}`" in told
    more = TABLE.with_rows(["push the button", "pull it"], 2 * VECTORS[:2])
    np.testing.assert_array_equal(more.features(["pull it"])[0], 2 * VECTORS[1])
    np.testing.assert_array_equal(more.vectors[:3], VECTORS)


def test_a_hash_is_of_the_sentences_that_are_meant_alone():
    more = TABLE.with_rows(["push the button"], VECTORS[:1])
    assert more.hash_of(SENTENCES[:2]) == TABLE.hash_of([*SENTENCES[1::-1], "Open the drawer"])
    assert TABLE.hash_of(SENTENCES[:2]) != TABLE.hash_of(SENTENCES)
    other = dataclasses.replace(TABLE, vectors=VECTORS + np.eye(3, 8, dtype=np.float32))
    assert other.hash_of(SENTENCES[:2]) != TABLE.hash_of(SENTENCES[:2])


def written(file, **arrays):
    write_atomically(file, lambda stream: np.savez(stream, **arrays))


def with_arrays(file, change):
    with np.load(file) as held:
        written(file, **(dict(held) | change(dict(held))))


def packed(file):
    with np.load(file) as held:
        arrays = dict(held)
    np.savez_compressed(file, **{**arrays, "vectors": np.zeros((3, 4096), np.float32)})


def renamed(arrays):
    return {"about": np.frombuffer(arrays["about"].tobytes().replace(b"tiny", b"tinx"), np.uint8)}


@pytest.mark.parametrize(
    "damage, message",
    [
        (lambda file: with_arrays(file, lambda a: {"vectors": a["vectors"] + 1}), "does not hold what"),
        (lambda file: with_arrays(file, renamed), "does not hold what was written"),
        (lambda file: with_arrays(file, lambda a: {"vectors": VECTORS[:2]}), r"\(2, 8\), of 3 sent"),
        (lambda file: with_arrays(file, lambda a: {"about": a["about"][:9]}), "it is not JSON"),
        (lambda file: written(file, about=np.array([{}], object), vectors=VECTORS), "allow_pickle"),
        (lambda file: written(file, slots=VECTORS), "about"),
        (packed, "its arrays are packed"),
        (lambda file: file.write_bytes(b"hello"), "no table of sentences, or a damaged one"),
        (lambda file: file.write_bytes(file.read_bytes()[:-40]), "no table of sentences, or a"),
    ],
)  # fmt: skip
def test_another_or_a_damaged_file(file, damage, message):
    damage(file)
    with pytest.raises(DamagedFile, match=message):
        read_table(file)


def test_a_newer_format(file):
    def newer(arrays):
        text = arrays["about"].tobytes().replace(b'"format": 1', b'"format": 2')
        return {"about": np.frombuffer(text, np.uint8)}

    with_arrays(file, newer)
    with pytest.raises(DamagedFile, match="of format 2, this program reads 1; update flexlam_jax"):
        read_table(file)


def test_a_kind_of_text(file):
    assert build_text({"text": {"kind": "table"}}).width == 384  # on paper
    text = build_text({"text": {"kind": "table", "path": str(file), "encoder": "f" * 64}})
    np.testing.assert_array_equal(text.features(["open the drawer"]), VECTORS[:1])
    with pytest.raises(
        ConfigError, match="needs config.model.text.path, a file that `python -m exp"
    ):
        build_text({"text": {"kind": "table"}}).features(["a"])
    with pytest.raises(
        UserError, match=r"another encoder \(tiny, ffffffffffff\) than .* \(aaaaaaaaaaaa"
    ):
        dataclasses.replace(text, encoder="a" * 64).features(["a"])
    with pytest.raises(UserError, match="b.npz cannot be read .No such file.*embed_text --out="):
        dataclasses.replace(text, path=str(file.with_name("b.npz"))).features(["a"])

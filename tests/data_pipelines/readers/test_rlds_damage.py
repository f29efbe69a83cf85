"""RLDS folders that are damaged, incomplete, linked or made to do harm."""

import gzip
import json
import os
import zlib

import numpy as np
import pytest

from data_pipelines.errors import DataError
from data_pipelines.readers.recordings import ItemError, Recording, Skipped
from data_pipelines.readers.tfds.episodes import decode
from data_pipelines.readers.tfds.features import Leaf
from tests.data_pipelines.readers.rlds_files import (
    SHARD,
    episode,
    features,
    one_camera,
    options,
    png,
    read_all,
    tensor,
    write_set,
)

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"


@pytest.fixture
def source(tmp_path):
    """Two shards of three and two episodes."""
    schema, made = one_camera(5)
    return write_set(tmp_path / "toy", schema, made[:3], made[3:])


def shard(folder, number=0):
    return folder / SHARD.format(number, 2)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_what_lies_before_a_cut_is_kept_and_the_rest_is_counted(tmp_path, pack):
    schema, made = one_camera(6)
    write_set(tmp_path, schema, made, pack=pack)
    path = tmp_path / SHARD.format(0, 1)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 5])
    _, results = read_all(options(tmp_path))
    kept = [result for result in results if isinstance(result, Recording)]
    assert 1 <= len(kept) < 6 and isinstance(results[-1], Skipped)
    assert results[-1].reason == "truncated file"
    assert results[-1].episodes == 6 - len(kept)
    assert f"{6 - len(kept)} of the 6 episodes" in results[-1].detail


def test_a_shard_shorter_than_announced_loses_the_difference(tmp_path):
    schema, made = one_camera(2)
    _, results = read_all(options(write_set(tmp_path, schema, made, announced=[9])))
    assert [type(result) for result in results] == [Recording, Recording, Skipped]
    assert results[-1].episodes == 7


def test_a_damaged_record_loses_one_episode(source):
    data = bytearray(shard(source).read_bytes())
    data[40] ^= 255
    shard(source).write_bytes(data)
    plan, results = read_all(options(source))
    assert [item.episodes for item in plan.items] == [3, 2]
    (lost,) = (result for result in results if isinstance(result, Skipped))
    assert (lost.reason, lost.episodes, len(results)) == ("corrupt record", 1, 5)


def replace(path, content):
    path.unlink()
    if content == "pipe":
        os.mkfifo(path)
    elif content == "folder":
        path.mkdir()
    elif content == "broken link":
        path.symlink_to("../blobs/0123")
    elif content is not None:
        path.write_bytes(content)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (POINTER, "git-lfs pointer"),
        (b"", "empty file"),
        (b"<!DOCTYPE html><html>", "other format"),
        (b"\x00\x05\x16\x07" + bytes(60), "other format"),
        ("pipe", "not a file"),
        ("folder", "not a file"),
        ("broken link", "broken link"),
        (None, "missing shard"),
    ],
)
def test_a_shard_that_is_none_loses_what_it_should_hold(source, content, reason):
    replace(shard(source), content)
    plan, results = read_all(options(source))
    assert [(entry.reason, entry.episodes) for entry in plan.skipped] == [(reason, 3)]
    assert shard(source).name in plan.skipped[0].name and len(results) == 2
    replace(shard(source, 1), POINTER)
    with pytest.raises(DataError, match="none of its 2 shards can be read: .*toy-train"):
        read_all(options(source))


def cached(source, root):
    """As hubs keep it: names that are links to a store of contents."""
    (root / "blobs").mkdir(parents=True)
    (root / "snapshots" / "abc").mkdir(parents=True)
    for number, path in enumerate(sorted(source.iterdir())):
        (root / "blobs" / str(number)).write_bytes(path.read_bytes())
        (root / "snapshots" / "abc" / path.name).symlink_to(f"../../blobs/{number}")
    return root


def test_folders_made_of_links(source, tmp_path):
    root = cached(source, tmp_path / "hub")
    assert len(read_all(options(root))[1]) == 5
    with pytest.raises(DataError, match="not followed as --no-follow-links says"):
        read_all(options(root, "--no-follow-links"))


def test_a_linked_shard_of_a_source_that_is_not_trusted(source, tmp_path):
    shard(source).rename(tmp_path / "far")
    shard(source).symlink_to(tmp_path / "far")
    assert len(read_all(options(source))[1]) == 5
    plan, results = read_all(options(source, "--no-follow-links"))
    assert [entry.reason for entry in plan.skipped] == ["link"] and len(results) == 2


def test_what_file_managers_leave_is_ignored_and_the_rest_named(source):
    for name in ("._features.json", f"._{shard(source).name}", ".DS_Store"):
        (source / name).write_bytes(b"\x00\x05\x16\x07")
    (source / "README.md").write_text("about")
    (source / SHARD.format(7, 9)).write_bytes(b"another set's")
    plan, results = read_all(options(source.parent))
    assert len(results) == 5 and not plan.skipped
    assert sorted(plan.passed_over) == [".md", ".tfrecord-00007-of-00009"]


def test_several_versions_are_listed(source):
    for version in ("1.0.0", "0.1.0"):
        (source / version).mkdir()
        for path in source.glob("*.*"):
            if path.is_file():
                (source / version / path.name).write_bytes(path.read_bytes())
    assert len(read_all(options(source))[1]) == 5  # named by itself
    (source / "features.json").unlink()
    with pytest.raises(DataError, match=r"found 2: 0\.1\.0, 1\.0\.0\. Name one of them"):
        read_all(options(source))


def test_a_file_is_no_source(source):
    with pytest.raises(DataError, match="is a file"):
        read_all(options(shard(source)))


def splits(value):
    return {"name": "toy", "splits": value}


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("dataset_info.json", [], "expected `object`, got `array`"),
        ("dataset_info.json", splits({"train": 1}), "field `splits`"),
        ("dataset_info.json", splits([{"name": 3}]), "name`.*: 3"),
        ("dataset_info.json", splits([{"name": "a", "shardLengths": [1.5]}]), "shardLengths"),
        ("dataset_info.json", splits([{"name": "a", "shardLengths": ["x"]}]), "'x', not a whole"),
        ("dataset_info.json", splits([{"name": "a", "shardLengths": ["9" * 99]}]), "not a whole"),
        ("dataset_info.json", splits([{"name": "a"}]), "lists no shards"),
        ("dataset_info.json", splits([{"name": "/etc/x", "shardLengths": [1]}]), "no plain file"),
        ("dataset_info.json", splits([{"name": "a\0b", "shardLengths": [1]}]), "no plain file"),
        ("dataset_info.json", splits([{"name": "a" * 2000, "shardLengths": [1]}]), "characters"),
        ("dataset_info.json", {"name": ["toy"]}, "field `name`"),
        ("dataset_info.json", splits([{"name": "a", "shardLengths": [1]}] * 2), "same name"),
        ("features.json", {"featuresDict": []}, "field `featuresDict`"),
        ("features.json", {"featuresDict": {"features": {"steps": 3}}}, "features"),
        ("features.json", {"sequence": {}}, "feature"),
        ("features.json", {"featuresDict": {"features": {"a": tensor("int32", "many")}}}, "many"),
        ("features.json", 'b"\xff', "not JSON"),
        ("features.json", '{"featuresDict": NaN}', "field `featuresDict`"),
        ("features.json", '{"sequence":{"feature":' * 40 + "{}" + "}}" * 40, "features within"),
        ("features.json", POINTER.decode(), "Git LFS pointer"),
        ("features.json", "", "zero bytes"),
    ],
)
def test_metadata_of_another_form_name_file_and_field(source, file, content, message):
    text = content if isinstance(content, str) else json.dumps(content)
    (source / file).write_text(text, encoding="latin-1")
    with pytest.raises(DataError, match=message) as caught:
        read_all(options(source))
    assert file in str(caught.value)


def test_metadata_with_a_byte_order_mark(source):
    for file in ("dataset_info.json", "features.json"):
        (source / file).write_bytes(b"\xef\xbb\xbf" + (source / file).read_bytes())
    assert len(read_all(options(source))[1]) == 5


@pytest.mark.parametrize(
    ("leaf", "raw", "message"),
    [
        (Leaf("k", "tensor", "uint8", sequences=1), {"k": [1, 300]}, "300, which does not fit"),
        (Leaf("k", "tensor", "int32", sequences=1), {"k": [1.5]}, "1.5, which does not fit"),
        (Leaf("k", "tensor", "bool", sequences=1), {"k": [2]}, "does not fit"),
        (Leaf("k", "tensor", "float32", sequences=1), {"k": [b"1.5"]}, "byte strings"),
        (Leaf("k", "tensor", "V9", sequences=1), {"k": [1]}, "'V9' is not one"),
        (Leaf("k", "tensor", "object_", sequences=1), {"k": [1]}, "is not one"),
        (Leaf("k", "image", "uint8", (2, 2, 3), sequences=1), {"k": [7]}, "not byte strings"),
        (Leaf("k", "text", "string", sequences=1), {"k": [7]}, "not byte strings"),
        (
            Leaf("k", "tensor", "int32", sequences=2),
            {"k/ragged_flat_values": [1, 2], "k/ragged_row_lengths_0": [3, -1]},
            "no whole numbers from 0 on",
        ),
        (
            Leaf("k", "tensor", "uint8", (None, None), "bytes", 1),
            {"k/value": [b"abcd"], "k/shape": [-1, 2]},
            "no whole numbers from 0 on",
        ),
        (
            Leaf("k", "tensor", "uint8", (None, None), "bytes", 1),
            {"k/value": [b"abcd"], "k/shape": [1 << 40, 1 << 40]},
            "cannot reshape|too large|too big",
        ),
        (
            Leaf("k", "tensor", "uint8", (4,), "zlib", 1),
            {"k": [zlib.compress(bytes(1 << 20))]},
            "more than 4 bytes",
        ),
        (
            Leaf("k", "tensor", "uint8", (4,), "zlib", 1),
            {"k": [zlib.compress(bytes(4))[:-3]]},
            "ends early",
        ),
    ],
)
def test_values_that_do_not_fit_the_schema_are_corrupt(leaf, raw, message):
    with pytest.raises(ItemError, match=message) as caught:
        decode(leaf, raw)
    assert caught.value.reason == "corrupt record"


def test_metadata_of_an_episode_that_are_odd_cost_no_episode(tmp_path):
    """Texts by the dozen, a vector of unknown length, a field that is promised and absent, NaN."""
    names = {"dimensions": ["-1"]}
    outside = {
        "names": {"tensor": {"dtype": "string", "shape": names}},
        "vector": tensor("float32", "-1"),
        "gone": tensor("int64"),
        "score": tensor("float32"),
    }
    values = {
        "episode_metadata__names": [b"a", b"b"],
        "episode_metadata__vector": [1.0, 2.0, 3.0],
        "episode_metadata__score": [float("nan")],
    }
    pictures = {"image": [png(16, 16, t) for t in range(3)]}
    schema = features({"image": (16, 16, 3)}, metadata=outside)
    _, (found,) = read_all(options(write_set(tmp_path, schema, [episode(3, pictures, **values)])))
    assert found.metadata == {"episode_metadata/score": "nan"}
    json.loads(json.dumps(found.metadata, allow_nan=False))


def test_an_absurd_number_of_actions_is_no_action(tmp_path):
    schema = features({"image": (16, 16, 3)}, huge=tensor("float32", str(1 << 40)))
    write_set(tmp_path, schema, [episode(3, {"image": [png(16, 16, t) for t in range(3)]})])
    with pytest.raises(DataError, match="huge, which is no numeric field"):
        read_all(options(tmp_path, "--action-key=huge"))
    with pytest.raises(DataError, match="--action-count from 0 to"):
        options(tmp_path, f"--action-count={1 << 40}")
    assert np.isfinite(read_all(options(tmp_path))[1][0].action).all()

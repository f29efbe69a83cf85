"""What a folder says about itself is checked when it is opened: types, names, numbers."""

import os

import numpy as np
import pytest

from data_pipelines.errors import DataError
from data_pipelines.format.layout import dataset_folder, episodes_file, index_file, shard_file
from data_pipelines.format.manifest import open_dataset
from data_pipelines.format.spec import ActionSpec, DatasetSpec
from data_pipelines.loading.loader import ordered_batches
from tests.data_pipelines.damage import change_dataset, change_manifest, shard


def set_at(document, path, value):
    for key in path[:-1]:
        document = document[key]
    document[path[-1]] = value


SPEC = ("datasets", "square", "spec")
SHARD = ("datasets", "square", "shards", "train", 0)


@pytest.mark.parametrize(
    "path, value, message",
    [
        (("splits",), 7, "manifest.json: field `splits`: expected `object`, got `int`: 7"),
        (("splits", "train", "episodes"), "many", "splits, train: field `episodes`.*'many'"),
        (("options",), None, "field `options`.*None"),
        (("datasets",), [], "field `datasets` holds none"),
        (("datasets",), {}, "field `datasets` holds none"),
        (("datasets", "square"), "x", "dataset 'square': the whole: expected `object`.*'x'"),
        (("skipped_items",), [3], r"field `skipped_items\[0\]`.*3"),
        (("datasets", "square", "splits", "train", "records"), -1, "train: field `records`.*-1"),
        (("datasets", "square", "splits"), {}, "counts of splits .., shards of .'test', 'train'"),
        ((*SHARD, "bytes"), "7", r"shards, train: field `.0..bytes`: expected `int`.*'7'"),
        ((*SHARD, "records"), -3, r"train: field `.0..records`: expected `int` >= 0: -3"),
        ((*SHARD, "records"), 10**30, r"field `.0..records`"),
        ((*SHARD, "sha256"), None, r"field `.0..sha256`.*None"),
        ((*SPEC, "image_shape"), [10**6, 10**6, 3], r"image_shape is \(1000000, 1000000, 3\)"),
        ((*SPEC, "image_shape"), [16, 16], "field `image_shape`.*length 3, got 2"),
        ((*SPEC, "image_shape"), [0, 16, 3], "image_shape is .0, 16, 3."),
        ((*SPEC, "codec"), "webm", "unknown frame codec 'webm'"),
        ((*SPEC, "clip_stride"), 0, "clip_stride is 0"),
        ((*SPEC, "max_span"), 2**31, "max_span is 2147483648"),
        ((*SPEC, "fps"), float("nan"), "fps is nan"),
        ((*SPEC, "fps"), -5, "fps is -5"),
        ((*SPEC, "fps"), 1e300, "fps is 1e.300"),
        (("missing",), {"episodes": 1}, "field `missing`.*`share`"),
        (("language",), {"recordings": 4, "empty": -1}, "field `language.empty`.*-1"),
        (("passed_over",), {".avi": 3}, "field `passed_over"),
        ((*SPEC, "action"), {"kind": "both", "names": ["a"]}, "action spec needs a kind and names"),
        ((*SPEC, "action"), {"kind": "discrete"}, "field `action`.*missing required field `names`"),
        ((*SPEC, "state_names"), "xy", "field `state_names`.*'xy'"),
        ((*SPEC, "exogenous_state"), ["z"], r"exogenous_state is .'z',.; name columns.*: x, y"),
        ((*SPEC, "exogenous_state"), ["x", "x"], r"exogenous_state is .'x', 'x'.; .* each once"),
        ((*SPEC, "exogenous_state"), 3, "field `exogenous_state`.*3"),
    ],
)
def test_what_does_not_fit_names_file_field_and_value(copy, path, value, message):
    change_manifest(copy, lambda manifest: set_at(manifest, path, value))
    with pytest.raises(DataError, match=message):
        open_dataset(copy)


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"null", b"[" * 100_000, b"\x89PNG\xff", b'{"format_version": 1}']
)
def test_a_manifest_that_is_none(copy, content):
    (copy / "manifest.json").write_bytes(content)
    with pytest.raises(DataError, match=f"{copy}/manifest.json: .*prepare the folder again"):
        open_dataset(copy)


def test_manifests_of_older_and_newer_versions_open(copy):
    def other(manifest):
        for key in ("mixture", "skipped", "skipped_items", "sources", "leakage_check"):
            del manifest[key]
        manifest["invented_later"] = [1]
        manifest["datasets"]["square"]["spec"]["invented_later"] = {}
        for field in ("frame_skip", "exogenous", "details"):
            del manifest["datasets"]["square"]["spec"][field]

    change_manifest(copy, other)
    assert open_dataset(copy).manifest["invented_later"] == [1]
    assert sum(len(batch["t"]) for batch in ordered_batches(copy, split="test")) == 26


def test_exogenous_columns_are_written_where_there_are_any(copy):
    assert "exogenous_state" not in (copy / "manifest.json").read_text()
    assert open_dataset(copy).datasets["square"].exogenous_state == ()
    change_manifest(copy, lambda manifest: set_at(manifest, (*SPEC, "exogenous_state"), ["y"]))
    spec = open_dataset(copy).datasets["square"]
    assert spec.exogenous_state == ("y",)
    assert DatasetSpec.from_json(spec.to_json()) == spec


BAD_NAMES = ["../x", "/etc/passwd", "a\0b", "a\nb", "..\\x", "a" * 300, "", ".hidden", "..", "-rf"]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_names_that_would_leave_the_folder(copy, name):
    outside = copy.parent / "x"
    outside.mkdir()
    (outside / "precious").write_text("mine")

    def renamed(manifest):
        entry = manifest["datasets"].pop("square")
        entry["spec"]["name"] = name
        manifest["datasets"][name] = entry

    manifest = (copy / "manifest.json").read_text()
    change_manifest(copy, renamed)
    with pytest.raises(DataError, match="is no name: use letters"):
        open_dataset(copy)
    (copy / "manifest.json").write_text(manifest)
    change_dataset(copy, lambda entry: set_at(entry, ("shards", "train", 0, "file"), name))
    with pytest.raises(DataError, match="split 'train': shard .* is no name"):
        open_dataset(copy)
    (copy / "manifest.json").write_text(manifest)

    def other_split(entry):
        for part in ("splits", "shards"):
            entry[part][name] = entry[part].pop("train")

    change_dataset(copy, other_split)
    with pytest.raises(DataError, match="split .* is no name"):
        open_dataset(copy)


@pytest.mark.parametrize("name", BAD_NAMES)
def test_no_path_is_made_of_such_a_name(tmp_path, name):
    with pytest.raises(DataError, match="is no name"):
        DatasetSpec(name=name, image_shape=(16, 16, 3), codec="raw")
    for place in (
        lambda: dataset_folder(tmp_path, name),
        lambda: index_file(tmp_path, name, "train"),
        lambda: episodes_file(tmp_path, name, "train"),
        lambda: shard_file(tmp_path, "square", name),
    ):
        with pytest.raises(DataError, match="is no name"):
            place()
    with pytest.raises(DataError, match="is no name"):
        index_file(tmp_path, "square", f"{name}/")


def test_a_spec_under_another_name(copy):
    change_dataset(copy, lambda entry: entry["spec"].update(name="circle"))
    with pytest.raises(DataError, match="dataset 'square': its spec is called 'circle'"):
        open_dataset(copy)


def test_bounds_of_actions_are_finite_and_ordered():
    for low, high in ((float("nan"), 1.0), (0.0, float("inf")), (1.0, -1.0)):
        with pytest.raises(DataError, match="finite bounds, low <= high"):
            ActionSpec("continuous", ("x",), low, high)
    for low, high in (((0.0,), 1.0), (0.0, "1")):
        with pytest.raises(DataError, match="one number as low and one as high, for all dim"):
            ActionSpec("continuous", ("x",), low, high)
    assert ActionSpec("continuous", ("x",), np.float32(0), 1).high == 1


def row(index, place, value):
    index[place] = value
    return index


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda index: row(index, (3, 0), -1), "row 3 is .'episode': -1"),
        (lambda index: row(index, (3, 1), 10**6), "'start': 1000000.*do not cover the episode"),
        (lambda index: row(index, (3, 1), -(2**31)), "do not cover the episode"),
        (lambda index: row(index, (3, 2), 2**31 - 1), "do not cover the episode"),
        (lambda index: row(index, (3, 3), 0), "do not cover the episode"),
        (lambda index: index[:-1], "index of shape .39, 4., the shards hold 40 records"),
        (lambda index: index.astype(np.int64), "is no index .an array of int64, expected int32"),
        (lambda index: np.array([{}], dtype=object), "is no index"),
    ],
)
def test_an_index_that_points_beside_its_records(copy, change, message):
    file = index_file(copy, "square", "train")
    np.save(file, change(np.load(file)))
    with pytest.raises(DataError, match=f"index-train.npy: .*{message}"):
        ordered_batches(copy, split="train")


def test_an_index_whose_header_has_no_end(copy):
    file = index_file(copy, "square", "train")
    file.write_bytes(file.read_bytes().replace(b"(40, 4)", b"(40, 4("))
    with pytest.raises(DataError, match="index-train.npy: is no index"):
        ordered_batches(copy, split="train")


def test_an_index_is_judged_by_its_header_before_it_is_mapped(copy):
    header = "{'descr': '<i4', 'fortran_order': False, 'shape': (%s, 4), }"
    file = index_file(copy, "square", "train")
    for shape, message in ((10**12, "index of shape .1000000000000, 4."), (40, "is cut off")):
        text = (header % shape).ljust(117) + "\n"
        file.write_bytes(b"\x93NUMPY\x01\x00\x76\x00" + text.encode() + bytes(100))
        with pytest.raises(DataError, match=message):
            ordered_batches(copy, split="train")
    file.write_bytes(b"hello")
    with pytest.raises(DataError, match="is no index"):
        ordered_batches(copy, split="train")


@pytest.mark.parametrize(
    "lines, message",
    [
        (b"", "it has 0 episodes, they have 10"),
        (b"[1]\n" * 10, "line 1: .*expected `object`, got `array`"),
        (b"{}\n" * 10, "entry 1: .*missing required field `episode`"),
        (b'{"episode": -1, "length": 9, "source": "", "episode_return": 0}', "`episode`.*-1"),
        (b'{"episode": 1, "length": "9", "source": "", "episode_return": 0}', "`length`.*'9'"),
        (b"\xff\xfe{", "line 1: is not JSON"),
    ],
)
def test_a_list_of_episodes_that_does_not_fit(copy, lines, message):
    episodes_file(copy, "square", "train").write_bytes(lines)
    with pytest.raises(DataError, match=f"episodes-train.jsonl.*{message}"):
        open_dataset(copy).episodes("square", "train")


def test_lines_of_a_list_of_episodes_end_at_line_feeds_only(copy):
    file = episodes_file(copy, "square", "test")
    line = file.read_bytes().rstrip()
    text = "pick\u2028it\u0085up"
    file.write_bytes(
        line[:-1] + f', "language": "{text}", "odd": "\udcff"}}'.encode("utf-8", "surrogateescape")
    )
    (facts,) = open_dataset(copy).episodes("square", "test")
    assert facts["language"] == text and facts["odd"] == "\udcff"


@pytest.mark.parametrize("what", ["index", "list of episodes", "shard"])
def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(copy, what):
    places = {
        "index": index_file(copy, "square", "test"),
        "list of episodes": episodes_file(copy, "square", "test"),
        "shard": shard(copy, "test"),
    }
    places[what].unlink()
    os.mkfifo(places[what])
    with pytest.raises(DataError, match=f"{what} is no regular file"):
        open_dataset(copy).episodes("square", "test")
        ordered_batches(copy, split="test")


def test_a_folder_that_the_system_refuses(copy):
    with pytest.raises(DataError, match="cannot be read from its disk .File name too long."):
        open_dataset(copy / ("x" * 300))


def test_too_many_open_files_are_told_as_such(copy, monkeypatch):
    def full(self, *arguments, **options):
        raise OSError(24, "Too many open files")

    info = open_dataset(copy)
    monkeypatch.setattr(type(copy), "stat", full)
    with pytest.raises(DataError, match="Too many open files, this process.*raise the limit with"):
        info.shard_paths("square", "test")

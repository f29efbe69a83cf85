"""Something-Something V2 in its published layout."""

import json
import os

import numpy as np
import pytest

from data_pipelines.conversion.build import prepare
from data_pipelines.errors import DataError
from data_pipelines.format.manifest import open_dataset
from data_pipelines.readers import ssv2
from data_pipelines.registry import recipe_options
from data_pipelines.tools.validation import validate
from tests.data_pipelines.readers.video_files import grey_frames, number, write_video

MODULE = "ssv2"
LABELS = {"Holding something": "0", "Putting something on something": "1"}


def row(identity, template="Holding [something]", **more):
    things = ["a cup", "a box"][: template.count("[")]
    label = template
    for thing in things:
        label = label.replace("[something]", thing, 1)
    row = {"id": identity, "label": label, "template": template, "placeholders": things}
    return row | more


def write_tables(root, pattern="something-something-v2-{}.json", **tables):
    root.mkdir(exist_ok=True)
    for name, table in tables.items():
        (root / pattern.format(name)).write_text(json.dumps(table))


def tables():
    put = "Putting [something] on [something]"
    return {
        "train": [row("10", put), row("9"), row("77")],
        "validation": [row("12")],
        "test": [{"id": "100"}, {"id": "../../etc/x"}],
        "labels": LABELS,
    }


@pytest.fixture
def source(tmp_path):
    root = tmp_path / "ssv2"
    (root / ssv2.VIDEOS).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for identity in (9, 10, 12, 100, 500):
        frames = grey_frames(18).copy()
        frames[:, :16, :16] = rng.integers(0, 255, 3)  # no two videos are equal
        path = root / ssv2.VIDEOS / f"{identity}.webm"
        write_video(path, frames, "libvpx-vp9", rate=12, codec_options={"b": "500k"})
    write_tables(root, **tables())
    return root


def options(source, *more):
    return recipe_options(MODULE, f"--source={source}", "--size=32", *more)


def test_items_splits_and_language(source):
    plan = ssv2.plan(options(source))
    assert [item.name.split("/")[1] for item in plan.items] == [
        "9.webm",
        "10.webm",
        "12.webm",
        "100.webm",
    ]
    assert [item.payload["split"] for item in plan.items] == ["train"] * 2 + ["validation", "test"]
    assert sorted((entry.name, entry.reason) for entry in plan.skipped) == [
        ("../../etc/x.webm", "unsafe path"),
        ("77.webm", "missing clip"),
    ]
    assert plan.sources["listed"] == {"train": 3, "validation": 1, "test": 2}
    found = [next(ssv2.read(item, options(source))) for item in plan.items]
    assert found[1].metadata == {
        "id": "10",
        "language": "Putting a cup on a box",
        "template": "Putting [something] on [something]",
        "placeholders": ["a cup", "a box"],
        "class": 1,
    }
    assert found[3].metadata == {"id": "100"} and found[3].split == "test"


def test_frames(source):
    chosen = options(source, "--fps=4")
    plan = ssv2.plan(chosen)
    assert plan.specs[0].fps == 4
    frames = list(next(ssv2.read(plan.items[0], chosen)).frames["ssv2"])
    shown = [number(frame[20:, 20:]) for frame in frames]
    assert shown == [0, 3, 6, 9, 12, 15] and frames[0].shape == (32, 32, 3)
    assert ssv2.plan(options(source, "--stride=2")).specs[0].fps == 6


@pytest.mark.parametrize("pattern", ["something-something-v2-{}.json", "{}.json"])
def test_tables_in_a_labels_folder(source, pattern):
    for path in source.glob("*.json"):
        path.unlink()
    write_tables(source / "labels", pattern, **tables())
    assert len(ssv2.plan(options(source)).items) == 4


def test_prepared_folder_keeps_the_published_split(source, tmp_path):
    out = tmp_path / "data"
    prepare(MODULE, out, options(source, "--max-failures=0.5"))
    manifest = open_dataset(out).manifest
    assert {name: split["episodes"] for name, split in manifest["splits"].items()} == {
        "train": 2,
        "validation": 1,
        "test": 1,
    }
    assert manifest["skipped"] == {"missing clip": 1, "unsafe path": 1}
    validate(out)


def test_links_are_followed_unless_told_otherwise(source, tmp_path):
    videos = source / ssv2.VIDEOS
    (videos / "12.webm").rename(tmp_path / "blob")
    (videos / "12.webm").symlink_to(tmp_path / "blob")
    (videos / "77.webm").symlink_to(tmp_path / "never_fetched")
    plan = ssv2.plan(options(source))
    assert "12.webm" in names(plan)
    assert ("77.webm", "broken link") in reasons(plan)
    plan = ssv2.plan(options(source, "--no-follow-links"))
    assert "12.webm" not in names(plan)
    assert {("12.webm", "link"), ("77.webm", "link")} <= reasons(plan)


def names(plan):
    return {item.name.split("/")[1] for item in plan.items}


def reasons(plan):
    return {(entry.name, entry.reason) for entry in plan.skipped}


def test_suffixes_in_upper_case_and_what_else_lies_there(source):
    videos = source / ssv2.VIDEOS
    (videos / "9.webm").rename(videos / "9.WEBM")
    (videos / "._9.WEBM").write_bytes(b"\x00\x05\x16\x07")
    (videos / "9.txt").write_text("")
    os.mkfifo(videos / "77.webm")
    plan = ssv2.plan(options(source))
    assert {"9.WEBM", "12.webm"} <= names(plan)
    assert ("77.webm", "not a file") in reasons(plan)
    assert plan.passed_over == {
        ".txt": {"files": 1, "example": "9.txt"},
        ".webm": {"files": 1, "example": f"{ssv2.VIDEOS}/500.webm"},  # in no table
    }


def test_rows_that_are_none_are_skipped_alone(source):
    rows = [row("9", "Eating [something]"), {"label": "x"}, "9", row("10", placeholders=3)]
    write_tables(source, train=[*rows, row("10", label="Holding \u2028 \x85")])
    plan = ssv2.plan(options(source))
    assert reasons(plan) >= {
        ("9.webm", "unknown label"),
        ("train row 1", "bad row"),
        ("train row 2", "bad row"),
        ("train row 3", "bad row"),
    }
    (found,) = (item for item in plan.items if item.name.endswith("/10.webm"))
    assert found.payload["metadata"]["language"] == "Holding \u2028 \x85"
    bad = next(entry.detail for entry in plan.skipped if entry.name == "train row 3")
    assert "train.json, row 3: field `placeholders`" in bad


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        (b"", "zero bytes"),
        (b'{"a": "b"}', "no number"),
        (b'{"a": 1e9}', "got `float`.*1000000000"),
        (b"\xff\xfe[", "not JSON"),
    ],
)
def test_tables_that_are_none(source, content, message):
    path = source / "something-something-v2-labels.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        ssv2.plan(options(source))
    assert path.name in str(caught.value)
    path.unlink()
    path.symlink_to("gone")
    with pytest.raises(DataError, match="its target gone is not there"):
        ssv2.plan(options(source))


def test_a_video_in_two_splits_is_refused(source):
    write_tables(source, validation=[row("9")])
    with pytest.raises(DataError, match="9.webm is in train and in validation"):
        ssv2.plan(options(source))


def test_sources_that_are_not_complete(source, tmp_path):
    with pytest.raises(DataError, match="expected the folder 20bn-something-something-v2/"):
        ssv2.plan(options(tmp_path))
    (source / "something-something-v2-test.json").unlink()
    assert len(ssv2.plan(options(source)).items) == 3
    (source / "something-something-v2-labels.json").write_text("[]")
    with pytest.raises(DataError, match="labels.json: .*expected `object`"):
        ssv2.plan(options(source))
    (source / "something-something-v2-labels.json").unlink()
    with pytest.raises(DataError, match="something-something-v2-labels.json is neither there"):
        ssv2.plan(options(source))
    (source / "something-something-v2-train.json").write_text("[{")
    (source / "something-something-v2-labels.json").write_text("{}")
    with pytest.raises(DataError, match="train.json: is not JSON"):
        ssv2.plan(options(source))

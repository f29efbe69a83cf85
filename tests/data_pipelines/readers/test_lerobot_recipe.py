"""`prepare lerobot`: sets of any robot."""

import json
import os
import shutil

import numpy as np
import pytest

from data_pipelines.conversion.build import prepare
from data_pipelines.errors import DataError
from data_pipelines.readers.lerobot import recipe
from data_pipelines.readers.libero import recipe as libero
from data_pipelines.readers.recordings import ItemError
from tests.data_pipelines.readers import lerobot_checks as lc
from tests.data_pipelines.readers import robot_files as rf

LAYOUTS = [("v3.0", True), ("v2.1", True), ("v2.0", False)]


@pytest.mark.parametrize("version, video", LAYOUTS)
def test_any_robot(tmp_path, version, video):
    root = lc.write(tmp_path, (lc.TOP, lc.HAND), version=version, video=video)
    lc.change_info(root, lambda info: info.update(codebase_version=version[1:], robot_type="so100"))
    plan = recipe.plan(lc.options(root))
    assert [spec.name for spec in plan.specs] == ["my_set_top", "my_set_hand"]
    spec = plan.specs[0]
    assert spec.action.names == tuple(f"action{i}" for i in range(6)) and spec.fps == rf.FPS
    assert spec.recording == "my_set" and not spec.has_reward and len(spec.state_names) == 6
    assert plan.sources["robot"] == "so100" and not plan.skipped
    for recording, length in zip(lc.recordings(root), lc.LENGTHS, strict=True):
        lc.check_frames(recording, "my_set_top", length)
        lc.check_frames(recording, "my_set_hand", length, 3)
        expected = [rf.action_value(t) for t in range(length - 1)]
        np.testing.assert_allclose(recording.action[:, 0], expected, atol=1e-6)
        np.testing.assert_array_equal(recording.state[:, 0], np.arange(length))
        assert recording.metadata["language"] == "open the drawer"


def test_prepared(tmp_path):
    root = lc.write(tmp_path, (lc.TOP, lc.HAND), video=True)
    lc.change_info(root, lambda info: info.update(splits={"train": "0:2", "val": "2:3"}))
    more = ("--leaks=report", "--name=arm", "--action=", "--state=")
    chosen = lc.options(root, "--cameras=hand", *more)
    assert [item.payload["split"] for item in recipe.plan(chosen).items] == ["train"] * 2 + [
        "validation"
    ]
    assert prepare("lerobot", tmp_path / "out", chosen)
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert list(manifest["datasets"]) == ["arm"] and manifest["episodes"] == 3
    assert manifest["datasets"]["arm"]["spec"]["action"] is None


def test_cameras_without_files(tmp_path):
    """Declared, but not there: named and left out; an error if it was asked for."""
    root = lc.write(tmp_path, (lc.TOP, lc.HAND), video=True)
    shutil.rmtree(root / "videos" / lc.HAND)
    more = {"wrist.rgb": {"dtype": "video", "shape": [8, 8, 3]}, "a/../../b": {"dtype": "image"}}
    more["wrist.depth"] = more["wrist.rgb"] | {"info": {"video.is_depth_map": True}}
    lc.change_info(root, lambda info: info["features"].update(more))
    plan = recipe.plan(lc.options(root))
    assert [spec.name for spec in plan.specs] == ["my_set"] and len(plan.items) == 3
    assert {(entry.name, entry.reason) for entry in plan.skipped} == {
        (lc.HAND, "camera without files"),
        ("wrist.rgb", "camera without files"),
        ("a/../../b", "camera without files"),
        ("wrist.depth", "depth camera"),
    }
    assert all(entry.expected and entry.episodes == 0 for entry in plan.skipped)
    lc.check_frames(lc.recordings(root)[1], "my_set", lc.LENGTHS[1])
    with pytest.raises(DataError, match=f"no pictures of {lc.HAND}.*file-000.mp4"):
        recipe.plan(lc.options(root, "--cameras=top,hand"))
    with pytest.raises(DataError, match=f"no camera; cameras are: {lc.TOP}"):
        recipe.plan(lc.options(root, "--cameras=front"))


def test_files_of_some_episodes_are_missing(tmp_path):
    root = lc.write(tmp_path, version="v2.1", video=True)
    (root / "data/chunk-000/episode_000000.parquet").unlink()
    (root / f"videos/chunk-000/{lc.TOP}/episode_000002.mp4").unlink()
    lc.change_info(root, lambda info: info.update(total_episodes=10))
    plan = recipe.plan(lc.options(root))
    assert [item.name for item in plan.items] == ["episode_000001"]
    assert [(e.name, e.reason, e.expected, e.episodes) for e in plan.skipped] == [
        ("episode_000000", "missing", False, 1),
        ("episode_000002", "missing", False, 1),
        ("meta", "not listed", True, 7),
    ]
    assert lc.TOP in plan.skipped[1].detail and "episode_000002.mp4" in plan.skipped[1].detail
    (root / "data/chunk-000/episode_000001.parquet").unlink()
    with pytest.raises(DataError, match="no episode can be used.*episode_000000.parquet"):
        recipe.plan(lc.options(root))


@pytest.mark.parametrize("frames", [-1, 1])
def test_end_that_is_a_frame_early_or_late(tmp_path, frames):
    """The frames decide, and every one of the episode is there."""
    root = lc.write(tmp_path, video=True)
    key = f"videos/{lc.TOP}/to_timestamp"

    def shift(rows):
        for row in rows:
            row[key] += frames / rf.FPS

    lc.change_table(lc.episode_table(root), shift)
    for recording, length in zip(lc.recordings(root), lc.LENGTHS, strict=True):
        lc.check_frames(recording, "my_set", length)
    rf.write_mp4(root / f"videos/{lc.TOP}/chunk-000/file-000.mp4", [rf.upright(0)] * 14)
    with pytest.raises(ItemError, match="5 frames, the metadata say 6"):
        list(lc.recordings(root)[2].frames["my_set"])


def shift_starts(root, frames):
    """frames: how many frames later each episode is said to begin."""

    def shift(rows):
        for row, later in zip(rows, frames, strict=True):
            row[f"videos/{lc.TOP}/from_timestamp"] += later / rf.FPS

    lc.change_table(lc.episode_table(root), shift)


@pytest.mark.parametrize("frames", [(0, 1, 0), (0, -1, 0), (1, 1, 1), (0, -1, -1)])
def test_beginnings_that_are_a_frame_early_or_late(tmp_path, frames):
    """The file holds just the frames of its episodes, so their lengths tell where each begins."""
    root = lc.write(tmp_path, video=True)
    shift_starts(root, frames)
    for recording, length in zip(lc.recordings(root), lc.LENGTHS, strict=True):
        lc.check_frames(recording, "my_set", length)


def test_beginning_that_is_further_off_costs_its_episode(tmp_path):
    root = lc.write(tmp_path, video=True)
    shift_starts(root, (0, 2, 0))
    (lost,) = recipe.plan(lc.options(root)).skipped
    assert (lost.name, lost.reason) == ("episode_000001", "frame count")
    assert "file-000.mp4: episode 1 is said to begin at" in lost.detail
    first, last = lc.recordings(root)
    lc.check_frames(first, "my_set", 5)
    lc.check_frames(last, "my_set", 6)


def test_files_that_hold_more_than_the_table_says_are_taken_at_its_word(tmp_path):
    """A set of which some episodes were taken out of the table, and not out of the videos."""
    root = lc.write(tmp_path, video=True)
    lc.change_table(lc.episode_table(root), lambda rows: rows[1:])
    for recording, length in zip(lc.recordings(root), lc.LENGTHS[1:], strict=True):
        lc.check_frames(recording, "my_set", length)


def test_links_of_the_hub(tmp_path):
    real = lc.write(tmp_path)
    cache = tmp_path / "datasets--me--arm"
    blobs, snapshot = cache / "blobs", cache / "snapshots/1a"
    blobs.mkdir(parents=True)
    for number, file in enumerate(path for path in real.rglob("*") if path.is_file()):
        target = snapshot / file.relative_to(real)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.rename(file, blobs / str(number))
        target.symlink_to(os.path.relpath(blobs / str(number), target.parent))
    (recording, *_) = lc.recordings(snapshot)
    lc.check_frames(recording, "arm", lc.LENGTHS[0])
    with pytest.raises(DataError, match="--no-follow-links"):
        recipe.plan(lc.options(snapshot, "--no-follow-links"))


@pytest.mark.parametrize(
    "names, expected",
    [
        ([["x", "y", "z", "a", "b", "c"]], "xyzabc"),
        ({"axes": list("xyzabc")}, "xyzabc"),
        ({"left": list("xyz"), "right": list("abc")}, "xyzabc"),
        ({name: place for place, name in enumerate("xyzabc")}, "xyzabc"),
        ({"l": list("xyz"), "r": list("xyz")}, ["l_x", "l_y", "l_z", "r_x", "r_y", "r_z"]),
        (None, [f"action_{i}" for i in range(6)]),
        ([{"deep": [["x"]]}, 3], [f"action_{i}" for i in range(6)]),
    ],
)
def test_names_of_dimensions(tmp_path, names, expected):
    root = lc.write(tmp_path)
    lc.change_info(root, lambda info: info["features"]["action"].update(names=names))
    assert recipe.plan(lc.options(root)).specs[0].action.names == tuple(expected)


def test_joined_actions_choices_and_rewards(tmp_path):
    vectors = (("actions.arm", 2), ("actions.hand", 1), ("button", 1), ("next.reward", 1))
    root = lc.write(tmp_path, vectors=vectors)
    lc.change_info(root, lambda info: info["features"]["button"].update(dtype="int64"))
    (recording, *_) = lc.recordings(root, "--action=actions.arm,actions.hand")
    assert recording.action.shape == (4, 3) and recording.state is None
    np.testing.assert_array_equal(recording.reward, np.arange(4))
    assert recording.episode_return == 10
    (recording, *_) = lc.recordings(root, "--action=button", "--action-count=9")
    np.testing.assert_array_equal(recording.action, np.arange(4))
    assert recording.action.dtype == np.int32
    for arguments, words in (
        ((), "--action names action.*actions.arm, actions.hand, button"),
        (("--action=actions.arm", "--action-count=2"), "one integer per row"),
        (("--action=button", "--state=observation.state"), "--state names observation.state"),
    ):
        with pytest.raises(DataError, match=words):
            recipe.plan(lc.options(root, *arguments))


def test_features_that_nobody_uses_may_be_odd(tmp_path):
    root = lc.write(tmp_path)
    odd = {"empty": {"dtype": "float32", "shape": [0]}, "blob": {"dtype": "audio", "names": 3}}
    lc.change_info(root, lambda info: info["features"].update(odd))
    assert len(lc.recordings(root)) == 3
    with pytest.raises(DataError, match="features.empty.shape"):
        recipe.plan(lc.options(root, "--state=empty"))


def test_other_commands_name_this_one(tmp_path):
    root = lc.write(tmp_path, ("observation.images.image", "observation.images.image2"))
    with pytest.raises(DataError, match="has 6 numbers.*prepare lerobot"):
        libero.plan(rf.parsed(libero, f"--source={root}"))
    with pytest.raises(DataError, match="no meta/info.json"):
        recipe.plan(lc.options(root / "data"))

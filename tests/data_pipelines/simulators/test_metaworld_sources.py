"""Meta-World folders as users have them: links, odd files, names and numbers of strangers."""

import os

import h5py
import numpy as np
import pytest

from data_pipelines.errors import DataError
from data_pipelines.readers.cameras import camera_datasets
from data_pipelines.readers.files import npz
from data_pipelines.readers.recordings import ItemError
from data_pipelines.simulators.metaworld import recipe
from tests.data_pipelines.readers import robot_files as rf
from tests.data_pipelines.simulators.test_metaworld import episode, options, write_hdf5, write_npz

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"


def write(path, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npz":
        write_npz(path, episode(5, seed))
    else:
        write_hdf5(path, [episode(5, seed)])


def outcome(source, *more):
    """(items, reasons of what was left out, what was passed over)."""
    chosen = options(source, *more)
    plan = recipe.plan(chosen)
    items, reasons = [], [entry.reason for entry in plan.skipped]
    for item in plan.items:
        try:
            list(recipe.read(item, chosen))
            items.append(item.name)
        except ItemError as error:
            reasons.append(error.reason)
    return items, reasons, plan.passed_over


FORMATS = pytest.mark.parametrize("suffix", [".hdf5", ".npz"])


@FORMATS
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (POINTER, "git-lfs pointer"),
        (b"", "empty file"),
        (b"<html>not found</html>" + bytes(99), "other format"),
        (b"\x93NUMPY" + bytes(99), "other format"),
        (b"some text" * 99, "unreadable"),
        ("pipe", "not a file"),
        ("broken link", "broken link"),
    ],
)
def test_files_that_are_something_else_are_named(tmp_path, suffix, content, reason):
    write(tmp_path / f"a{suffix}")
    path = tmp_path / f"b{suffix}"
    if content == "pipe":
        os.mkfifo(path)
    elif content == "broken link":
        path.symlink_to("gone")
    else:
        path.write_bytes(content)
    items, reasons, _ = outcome(tmp_path)
    assert len(items) == 1 and reasons == [reason]


@FORMATS
def test_links_junk_and_suffixes_in_upper_case(tmp_path, suffix):
    write(tmp_path / f"blob{suffix}", seed=1)
    source = tmp_path / "source"
    write(source / f"a{suffix}")
    (source / f"a{suffix}").rename(source / f"a{suffix.upper()}")
    (source / f"._a{suffix}").write_bytes(b"\x00\x05\x16\x07" + bytes(50))
    (source / "notes.txt").write_text("about")
    (source / f"b{suffix}").symlink_to(tmp_path / f"blob{suffix}")
    items, reasons, passed_over = outcome(source)
    assert len(items) == 2 and reasons == []
    assert passed_over == {".txt": {"files": 1, "example": "notes.txt"}}
    items, reasons, _ = outcome(source, "--no-follow-links")
    assert len(items) == 1 and reasons == ["link"]


def test_cameras_of_strangers_stay_names(tmp_path):
    arrays = episode(5)
    values = {"frames_/../x": arrays["corner"], "frames_my cam": arrays["wrist"]}
    labels = {name: arrays[name] for name in ("action", "reward", "state")}
    np.savez(tmp_path / "0.npz", **values, **labels)
    plan = recipe.plan(options(tmp_path))
    assert [spec.name for spec in plan.specs] == ["metaworld_x", "metaworld_my_cam"]
    (recording,) = recipe.read(plan.items[0], options(tmp_path))
    assert set(recording.frames) == {"metaworld_x", "metaworld_my_cam"}


def test_names_of_camera_datasets():
    assert camera_datasets("set", ["topView", "2"]) == {"topView": "set_topView", "2": "set_2"}
    assert camera_datasets("set", ["/../x"]) == {"/../x": "set"}
    with pytest.raises(DataError, match="another one has the dataset set_a_b"):
        camera_datasets("set", ["a b", "a/b"])


def test_messages_list_what_is_there_instead(tmp_path):
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file["episode_0/rgb"] = np.zeros((4, 8, 8, 3), np.uint8)
    with pytest.raises(DataError, match="has no frames/<camera>; it has rgb"):
        recipe.plan(options(tmp_path))
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file["data/demo_0/actions"] = np.zeros(4)
    with pytest.raises(DataError, match="no groups episode_<n>; it has data"):
        recipe.plan(options(tmp_path))
    np.savez(tmp_path / "b.npz", images=np.zeros(3), action=np.zeros(3))
    (tmp_path / "a.hdf5").unlink()
    with pytest.raises(DataError, match="no arrays frames_<camera>; it has images, action"):
        recipe.plan(options(tmp_path))


@pytest.mark.parametrize(
    "vectors",
    [
        (("action", 7), ("observation.environment_state", 39)),
        (("action", 4), ("observation.state", 4)),
    ],
)
def test_a_set_of_another_robot_names_the_command(tmp_path, vectors):
    rf.write_lerobot(tmp_path, [5], ("observation.image",), video=False, vectors=vectors)
    with pytest.raises(DataError, match="`prepare lerobot`, which reads sets of any robot"):
        recipe.plan(options(tmp_path))


@pytest.mark.parametrize("fps", ["fast", -1.0, float("nan"), 1e9])
def test_a_rate_that_is_none(tmp_path, fps):
    write_hdf5(tmp_path / "a.hdf5", [episode(5)], fps=fps)
    with pytest.raises(DataError, match="fps is .*expected frames per second"):
        recipe.plan(options(tmp_path))


def test_odd_attributes(tmp_path):
    """Texts that are not UTF-8, numbers as tasks, NaN, arrays."""
    odd = {"task": 3, "note": b"caf\xe9", "score": float("nan"), "table": np.zeros(9)}
    write_hdf5(tmp_path / "a.hdf5", [episode(5)], **odd)
    chosen = options(tmp_path)
    (recording,) = recipe.read(recipe.plan(chosen).items[0], chosen)
    assert recording.metadata["task"] == "3" and recording.metadata["language"] == "3"
    assert recording.metadata["note"] == "caf\ufffd" and recording.metadata["score"] == "nan"
    assert "table" not in recording.metadata


def test_npz_that_is_larger_than_memory(tmp_path, monkeypatch):
    write(tmp_path / "a.npz")
    monkeypatch.setattr(npz, "MAX_BYTES", 1000)
    with pytest.raises(DataError, match="bytes unpacked, at most 1000"):
        recipe.plan(options(tmp_path))

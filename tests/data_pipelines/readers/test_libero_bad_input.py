"""LIBERO: bad demonstrations, damaged files and files that name others."""

import json

import h5py
import numpy as np
import pytest

from data_pipelines.errors import DataError
from data_pipelines.readers.libero import recipe
from data_pipelines.readers.recordings import ItemError
from tests.data_pipelines.readers import robot_files as rf
from tests.data_pipelines.readers.libero_checks import options, recordings


def change(file, what):
    """Spoils demo_1 of an HDF5 file."""
    with h5py.File(file, "a") as opened:
        demo = opened["data/demo_1"]
        if what == "no images":
            del demo["obs/agentview_rgb"]
        elif what == "grey images":
            del demo["obs/agentview_rgb"]
            demo["obs/agentview_rgb"] = np.zeros((13, 8, 8), np.uint8)
        elif what == "action out of range":
            demo["actions"][3, 2] = 1.5
        elif what == "action is NaN":
            demo["actions"][3, 2] = np.nan
        elif what == "fewer actions":
            values = demo["actions"][:-2]
            del demo["actions"]
            demo["actions"] = values
        elif what == "no states":
            del demo["robot_states"]


@pytest.mark.parametrize(
    "what, reason",
    [
        ("no images", "no images"),
        ("grey images", "no images"),
        ("action out of range", "action out of range"),
        ("action is NaN", "action out of range"),
        ("fewer actions", "wrong shape"),
        ("no states", "missing labels"),
    ],
)
def test_bad_demo_alone_is_refused(tmp_path, what, reason):
    change(rf.write_libero(tmp_path / "libero_goal/a_demo.hdf5", 3, 12), what)
    chosen = options(tmp_path)
    good, bad, other = recipe.plan(chosen).items
    with pytest.raises(ItemError) as caught:
        list(recipe.read(bad, chosen))
    assert caught.value.reason == reason
    assert len(list(recipe.read(good, chosen))) == len(list(recipe.read(other, chosen))) == 1


def test_truncated_file_is_skipped(tmp_path):
    rf.write_libero(tmp_path / "libero_goal/a_demo.hdf5", 1)
    cut = rf.write_libero(tmp_path / "libero_goal/b_demo.hdf5", 1)
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    (tmp_path / "libero_goal/c_demo.hdf5").write_bytes(b"no HDF5")
    plan = recipe.plan(options(tmp_path))
    assert len(plan.items) == 1
    # nobody knows how many demonstrations are lost with them
    assert [(entry.name, entry.reason, entry.episodes) for entry in plan.skipped] == [
        ("libero_goal/b_demo.hdf5", "unreadable", None),
        ("libero_goal/c_demo.hdf5", "unreadable", None),
    ]


def test_first_demo_that_is_damaged_costs_itself_only(tmp_path):
    file = rf.write_libero(tmp_path / "libero_goal/a_demo.hdf5", 3, follows=False)
    with h5py.File(file, "a") as opened:
        del opened["data/demo_0"]
        opened["data/demo_0"] = np.zeros(3)
    chosen = options(tmp_path)
    plan = recipe.plan(chosen)
    assert plan.sources["decided_by"] == {"simulator states": 1}  # by the next one
    with pytest.raises(ItemError, match="demo_0"):
        list(recipe.read(plan.items[0], chosen))
    assert len([list(recipe.read(item, chosen)) for item in plan.items[1:]]) == 2


def test_other_cameras_are_named(tmp_path):
    file = rf.write_libero(tmp_path / "libero_goal/a_demo.hdf5", 1)
    with h5py.File(file, "a") as opened:
        opened.move("data/demo_0/obs/agentview_rgb", "data/demo_0/obs/front_image")
    chosen = options(tmp_path)
    (item,) = recipe.plan(chosen).items
    words = "a_demo.hdf5.*agentview_rgb.*pictures there: eye_in_hand_rgb, front_image.*robomimic"
    with pytest.raises(ItemError, match=words):
        list(recipe.read(item, chosen))


def test_suffixes_in_capitals_and_files_of_a_mac(tmp_path):
    rf.write_libero(tmp_path / "libero_goal/a_demo.HDF5", 1)
    rf.write_libero(tmp_path / "libero_goal/b_demo.H5", 1)
    (tmp_path / "libero_goal/._a_demo.hdf5").write_bytes(b"\0\5\x16\7" + bytes(300))
    (tmp_path / "libero_goal/notes.txt").write_text("x")
    plan = recipe.plan(options(tmp_path))
    assert len(plan.items) == 2 and not plan.skipped
    assert plan.passed_over == {".txt": {"files": 1, "example": "libero_goal/notes.txt"}}
    assert len(recordings(tmp_path)) == 2


@pytest.mark.parametrize("attribute", ["problem_info", "bddl_file_name"])
def test_attributes_that_are_no_text(tmp_path, attribute):
    file = rf.write_libero(tmp_path / "libero_goal/a_demo.hdf5", 1)
    texts = ("[1, 2", "5", "[" * 100_000, '{"language_instruction": {"a": 1}}')
    for value in (np.arange(3), b"caf\xe9", *texts):
        with h5py.File(file, "a") as opened:
            opened["data"].attrs[attribute] = value
        (recording,) = recordings(tmp_path)
        assert recording.metadata["language"] == "a"
        json.dumps(recording.metadata).encode()


def point_outside(file, kind, secret):
    with h5py.File(file, "a") as opened:
        demo = opened["data/demo_0"]
        if kind == "link in the demo":
            del demo["actions"]
            demo["actions"] = h5py.ExternalLink(str(secret), "/data/demo_0/actions")
        elif kind == "link elsewhere":
            opened["other"] = h5py.ExternalLink(str(secret), "/")
        elif kind == "raw file":
            del demo["actions"]
            demo.create_dataset(
                "actions", (12, 7), "f8", external=[(str(secret), 0, h5py.h5f.UNLIMITED)]
            )
        elif kind == "virtual":
            layout = h5py.VirtualLayout((12, 7), "f8")
            layout[:] = h5py.VirtualSource(str(secret), "data/demo_0/actions", (12, 7))
            del demo["actions"]
            demo.create_virtual_dataset("actions", layout)


@pytest.mark.parametrize("kind", ["link in the demo", "link elsewhere", "raw file", "virtual"])
def test_files_that_name_other_files(tmp_path, kind):
    secret = rf.write_libero(tmp_path / "elsewhere/secret.hdf5", 1)
    rf.write_libero(tmp_path / "in/libero_goal/a_demo.hdf5", 1)
    point_outside(rf.write_libero(tmp_path / "in/libero_goal/b_demo.hdf5", 1), kind, secret)
    (entry,) = recipe.plan(options(tmp_path / "in")).skipped
    assert entry.reason == "unsafe path" and entry.name == "libero_goal/b_demo.hdf5"


def test_links_inside_a_file_are_followed(tmp_path):
    file = rf.write_libero(tmp_path / "libero_goal/a_demo.hdf5", 1)
    with h5py.File(file, "a") as opened:
        opened.move("data/demo_0/actions", "all_actions")
        opened["data/demo_0/actions"] = h5py.SoftLink("/all_actions")
        opened["data/demo_1"] = h5py.SoftLink("/nowhere")
    chosen = options(tmp_path)
    first, dangling = recipe.plan(chosen).items
    assert len(list(recipe.read(first, chosen))) == 1
    with pytest.raises(ItemError):
        list(recipe.read(dangling, chosen))


def test_link_out_of_the_source(tmp_path):
    """Caches of downloads are made of links; a source that is not trusted keeps to itself."""
    other = rf.write_libero(tmp_path / "elsewhere/secret.hdf5", 1)
    rf.write_libero(tmp_path / "in/libero_goal/a_demo.hdf5", 1)
    (tmp_path / "in/libero_goal/b_demo.hdf5").symlink_to(other)
    plan = recipe.plan(options(tmp_path / "in"))
    assert len(plan.items) == 2 and not plan.skipped
    assert len(recordings(tmp_path / "in")) == 2
    strict = options(tmp_path / "in", "--no-follow-links")
    (entry,) = recipe.plan(strict).skipped
    assert entry.reason == "link" and entry.expected
    with pytest.raises(ItemError, match="--no-follow-links"):
        list(recipe.read(plan.items[1], strict))


def test_wrong_folder_is_explained(tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        recipe.plan(options(tmp_path / "absent"))
    with pytest.raises(DataError, match="expected <suite>"):
        recipe.plan(options(tmp_path))
    (tmp_path / "a.hdf5").write_bytes(b"")
    with pytest.raises(DataError, match="no demonstration can be used"):
        recipe.plan(options(tmp_path))

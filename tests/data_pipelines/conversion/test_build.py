"""A folder is complete or absent, never overwritten, reproducible; damaged ones say so."""

import fcntl
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from data_pipelines.conversion.build import prepare
from data_pipelines.errors import DataError
from data_pipelines.format.layout import dataset_folder
from data_pipelines.format.manifest import open_dataset
from data_pipelines.loading.loader import ordered_batches, training_batches
from data_pipelines.registry import recipe_options
from data_pipelines.simulators import synthetic
from data_pipelines.tools.validation import validate
from tests.data_pipelines.damage import change_manifest, shard

REPOSITORY = pathlib.Path(__file__).parents[3]
SMALL = ("--episodes=4", "--length=20", "--size=16")


def test_manifest_counts_what_was_written(square):
    manifest = json.loads((square / "manifest.json").read_text())
    assert manifest["episodes"] == 12 and manifest["transitions"] == 12 * 26
    assert {s: c["episodes"] for s, c in manifest["splits"].items()} == {
        "train": 10,
        "validation": 1,
        "test": 1,
    }
    assert manifest["skipped"] == {} and "generator" in manifest["sources"]
    assert manifest["options"]["episodes"] == 12 and len(manifest["content_hash"]) == 64
    assert sorted(p.name for p in square.iterdir()) == ["manifest.json", "square"]
    assert validate(square)["transitions"] == 12 * 26


def test_two_builds_are_equal_to_the_byte_in_two_processes(tmp_path):
    """Hash seeds differ between processes, and with them the order of protobuf maps."""
    for name in ("a", "b"):
        command = ["data_pipelines.prepare", "synthetic", f"--out={tmp_path / name}", *SMALL]
        subprocess.run([sys.executable, "-m", *command], check=True, cwd=REPOSITORY)
    hashes = [open_dataset(tmp_path / name).manifest["content_hash"] for name in ("a", "b")]
    assert hashes[0] == hashes[1]


def test_several_shards_read_like_one(square, square_options, tmp_path):
    prepare("synthetic", tmp_path / "data", square_options, shard_bytes=30_000)
    assert (
        len(open_dataset(tmp_path / "data").shard_paths("square", "train")) == 10
    )  # one per episode
    one, ten = (
        list(ordered_batches(path, split="train", batch_size=1000))
        for path in (square, tmp_path / "data")
    )
    for key in one[0]:
        np.testing.assert_array_equal(one[0][key], ten[0][key])
    validate(tmp_path / "data")


def test_finished_build_is_left_alone_and_other_options_are_refused(square, square_options):
    before = (square / "manifest.json").stat().st_mtime_ns
    assert prepare("synthetic", square, square_options) is False
    with pytest.raises(
        DataError, match="other options .seed: 0 there, 1 asked.. Give another --out"
    ):
        prepare("synthetic", square, square_options | {"seed": 1})
    with pytest.raises(DataError, match="holds 'synthetic', not 'doom'"):
        prepare("doom", square, recipe_options("doom"))
    assert (square / "manifest.json").stat().st_mtime_ns == before


def test_foreign_folder_and_file_are_not_touched(tmp_path, square_options):
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(DataError, match="not a dataset folder and is left as it is"):
        prepare("synthetic", tmp_path, square_options)
    with pytest.raises(DataError, match="thesis.txt is a file"):
        prepare("synthetic", tmp_path / "thesis.txt", square_options)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


def test_unwritable_place():
    with pytest.raises(DataError, match="cannot write in /proc/.*give --out a writable place"):
        prepare("synthetic", "/proc/nowhere/data", recipe_options("synthetic"))


def test_unknown_recipe_lists_the_known():
    with pytest.raises(
        DataError, match="unknown dataset 'dooom'; known: doom, .*dmlab, .*ego4d, libero"
    ):
        prepare("dooom", "anywhere", {})


def test_too_few_episodes(tmp_path):
    with pytest.raises(DataError, match="has 2 episodes; three are needed"):
        prepare("synthetic", tmp_path / "data", recipe_options("synthetic", "--episodes=2"))
    assert not list(tmp_path.iterdir())


def test_duplicated_episode_stops_the_build(tmp_path, monkeypatch):
    """All episodes drawn from one seed are one video in three splits."""
    original = synthetic.simulate
    monkeypatch.setattr(
        synthetic, "simulate", lambda rng, *sizes: original(np.random.default_rng(0), *sizes)
    )
    with pytest.raises(DataError, match="split leakage"):
        prepare("synthetic", tmp_path / "data", recipe_options("synthetic", *SMALL))
    assert not (tmp_path / "data").exists()


def test_dead_renderer_stops_the_build(tmp_path, monkeypatch):
    original = synthetic.simulate

    def black(rng, *sizes):
        simulated = original(rng, *sizes)
        return simulated._replace(frames=np.zeros_like(simulated.frames))

    monkeypatch.setattr(synthetic, "simulate", black)
    with pytest.raises(DataError, match="square episode 0.*all 20 frames are blank or equal"):
        prepare("synthetic", tmp_path / "data", recipe_options("synthetic", *SMALL))


def test_killed_build_leaves_nothing_that_looks_complete_and_the_next_one_succeeds(tmp_path):
    out = tmp_path / "data"
    options = ("--episodes=400", "--length=200", "--size=64")
    process = subprocess.Popen(
        [sys.executable, "-m", "data_pipelines.prepare", "synthetic", f"--out={out}", *options],
        cwd=REPOSITORY,
    )
    partial = tmp_path / ".data.partial"
    while not list(partial.glob(".units/*/square/*.npz")):
        assert process.poll() is None
        time.sleep(0.01)
    with pytest.raises(DataError, match="another run is preparing"):
        prepare("synthetic", out, recipe_options("synthetic", *SMALL))
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not out.exists()
    assert prepare("synthetic", out, recipe_options("synthetic", *SMALL))
    assert open_dataset(out).manifest["episodes"] == 4 and not partial.exists()


def test_lock_is_released_by_a_failed_build(tmp_path):
    with pytest.raises(DataError):
        prepare("synthetic", tmp_path / "data", recipe_options("synthetic", "--episodes=1"))
    (tmp_path / ".data.partial").mkdir()
    descriptor = os.open(tmp_path / ".data.partial", os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(descriptor)


def test_missing_folder_and_missing_manifest(tmp_path, copy):
    with pytest.raises(DataError, match="no such dataset folder; make one with `python -m"):
        open_dataset(tmp_path / "nothing")
    (copy / "manifest.json").unlink()
    with pytest.raises(DataError, match="manifest.json: no manifest, so this is no finished"):
        open_dataset(copy)
    (copy / "manifest.json").write_text("{")
    with pytest.raises(DataError, match="manifest.json: is not JSON"):
        open_dataset(copy)
    (copy / "manifest.json").write_text('{"format_version": 0}')
    with pytest.raises(DataError, match="format_version 0, this code reads 1"):
        open_dataset(copy)


def test_missing_and_truncated_shards_are_found_when_opening(copy):
    path = shard(copy)
    data = path.read_bytes()
    path.write_bytes(data[:-1000])
    with pytest.raises(DataError, match=f"{path.name}: shard has {len(data) - 1000} bytes"):
        training_batches({"path": str(copy)}, seed=0, batch_size=4)
    path.unlink()
    with pytest.raises(DataError, match=f"{path.name}: shard is missing; prepare the folder again"):
        ordered_batches(copy, split="train")


def test_validate_finds_a_changed_byte(copy):
    path = shard(copy)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match=f"{path.name}: content differs from the manifest's sha256"):
        validate(copy)


def test_reading_a_damaged_record_is_an_error_and_never_another_record(copy):
    path = shard(copy)
    data = bytearray(path.read_bytes())
    for place in range(1000, 60_000, 500):
        data[place] ^= 0xFF
    path.write_bytes(data)
    message = "square, split 'train', record .*cannot be read.*prepare the folder again"
    with pytest.raises(DataError, match=message):
        list(ordered_batches(copy, split="train"))
    batches = training_batches({"path": str(copy)}, seed=0, batch_size=250)
    with pytest.raises(DataError, match=message):
        next(batches)
    batches.close()


def test_validate_finds_wrong_counts_and_a_wrong_index(copy):
    def more(manifest):
        manifest["datasets"]["square"]["splits"]["test"]["transitions"] += 1

    change_manifest(copy, more)
    with pytest.raises(DataError, match="split test: 26 transitions, the manifest says 27"):
        validate(copy)
    index = dataset_folder(copy, "square") / "index-train.npy"
    rows = np.load(index)
    rows[3, 1] += 1
    np.save(index, rows)
    with pytest.raises(DataError, match="records do not cover the episode"):
        validate(copy)
    np.save(index, rows[:-1])
    with pytest.raises(DataError, match="index of shape .39, 4., the shards hold 40 records"):
        training_batches({"path": str(copy)}, seed=0, batch_size=4)


def test_empty_split(copy):
    def empty(manifest):
        manifest["datasets"]["square"]["splits"]["test"]["records"] = 0

    change_manifest(copy, empty)
    with pytest.raises(DataError, match="square, split 'test' is empty"):
        ordered_batches(copy, split="test")


def test_field_that_the_dataset_lacks(copy):
    def unlabelled(manifest):
        manifest["datasets"]["square"]["spec"] |= {"action": None, "has_reward": False}

    change_manifest(copy, unlabelled)
    message = "square has no field 'action'; it holds: state. Drop the field"
    with pytest.raises(DataError, match=message):
        training_batches({"path": str(copy), "fields": ("action",)}, seed=0, batch_size=4)


def test_episodes_shorter_than_the_window(tmp_path):
    short = recipe_options("synthetic", "--episodes=3", "--length=4", "--size=16", "--seed=3")
    prepare("synthetic", tmp_path / "data", short)
    config = {"path": str(tmp_path / "data"), "gap": 2, "clip_length": 3}
    with pytest.raises(DataError, match=r"gap\*\(clip_length-1\)\+1 = 5 frames \(longest: 4\)"):
        training_batches(config, seed=0, batch_size=4)
    with pytest.raises(DataError, match="no episode is long enough"):
        ordered_batches(tmp_path / "data", split="train", gap=4)

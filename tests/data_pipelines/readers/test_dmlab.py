"""DMLab from TFDS and TECO, telling the layouts apart, and whole conversions."""

import json

import numpy as np
import pytest

from data_pipelines.conversion.build import prepare
from data_pipelines.errors import DataError
from data_pipelines.readers.dmlab import recipe, tfds
from data_pipelines.readers.recordings import ItemError
from data_pipelines.readers.tfds.folder import open_folder
from data_pipelines.tools.validation import validate
from tests.data_pipelines.readers.dmlab_files import (
    example,
    frames_of,
    options,
    picture,
    png,
    read_all,
    rlu_episode,
    rows_of,
    times_of,
    write_level,
    write_rlu,
)
from tests.data_pipelines.readers.tfrecord_writer import tfrecord


def leaf(kind, **fields):
    return {"tensor": {"shape": {}, "encoding": "none", "dtype": kind} | fields}


def write_tfds(root, version, name="rlu_dmlab_rooms_watermaze", bgr=False):
    """A TFRecord folder as TFDS prepares it, with one episode."""
    folder = root / name / "training_0" / version
    folder.mkdir(parents=True)
    pixels = {"shape": {"dimensions": ["72", "96", "3"]}, "dtype": "uint8", "encodingFormat": "png"}
    steps = {
        "observation": {"featuresDict": {"features": {"pixels": {"image": pixels}}}},
        "action": leaf("int64"),
        "reward": leaf("float32"),
        "is_first": leaf("bool"),
    }
    top = {
        "steps": {"sequence": {"feature": {"featuresDict": {"features": steps}}}},
        "episode_id": leaf("int64"),
        "episode_return": leaf("float32"),
    }
    (folder / "features.json").write_text(json.dumps({"featuresDict": {"features": top}}))
    split = {"name": "train", "shardLengths": ["1"]}
    info = {"name": name, "configName": "training_0", "version": version, "splits": [split]}
    (folder / "dataset_info.json").write_text(json.dumps(info))
    order = slice(None, None, -1 if bgr else 1)
    record = {
        "steps/observation/pixels": [png(picture(t, 72, 96)[..., order]) for t in range(6)],
        "steps/action": [7, 8, 9, 10, 11, 12],
        "steps/reward": [0.0, 1.0, 2.0, 3.0, 4.0, 5.0],
        "steps/is_first": [1, 0, 0, 0, 0, 0],
        "episode_id": [77],
        "episode_return": [15.0],
    }
    (folder / f"{name}-train.tfrecord-00000-of-00001").write_bytes(tfrecord(example(record)))
    return folder


@pytest.mark.parametrize(("version", "bgr"), [("1.0.0", True), ("1.1.0", True), ("1.2.0", False)])
def test_tfds_version_decides_the_channel_order(tmp_path, version, bgr):
    folder = write_tfds(tmp_path, version, bgr=bgr)
    assert tfds.source_channels(open_folder(folder)) == ("bgr" if bgr else "rgb")
    plan, (recording,) = read_all(options(tmp_path))
    assert plan.sources["format"] == "tfds"
    assert frames_of(recording)[3, 8, 8].tolist() == [30, 0, 200]
    assert recording.action.tolist() == [7, 8, 9, 10, 11]
    assert recording.reward.tolist() == [0, 1, 2, 3, 4]
    assert recording.episode_return == 15
    assert recording.split is None  # a lone train split is none


def test_tfds_folder_of_something_else_points_to_rlds(tmp_path):
    folder = write_tfds(tmp_path, "1.2.0", name="other")
    text = (folder / "features.json").read_text()
    (folder / "features.json").write_text(text.replace('"pixels"', '"image"'))
    with pytest.raises(DataError, match="prepare rlds"):
        recipe.plan(options(tmp_path))


def write_teco(root, name, **arrays):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **arrays)
    return path


def test_teco_alignment_and_splits(tmp_path):
    video = np.stack([picture(t, 64, 64) for t in range(7)])
    actions = np.array([0, 1, 2, 0, 1, 2, 2])
    write_teco(tmp_path, "train/0/2.npz", video=video, actions=actions)
    write_teco(tmp_path, "test/0/1.npz", video=video, actions=actions)
    plan, (train, test) = read_all(options(tmp_path))
    assert plan.sources["format"] == "teco"
    assert plan.specs[0].action.count == 3
    assert (train.split, test.split) == ("train", "test")
    assert times_of(train) == list(range(7))
    assert train.action.tolist() == [0, 1, 2, 0, 1, 2]
    assert frames_of(test)[4, 8, 8].tolist() == [40, 0, 200]


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({"actions": np.zeros(5, int)}, "missing array"),
        ({"video": np.zeros((5, 8, 8, 3), np.float32), "actions": np.zeros(5, int)}, "wrong video"),
        ({"video": np.zeros((5, 8, 8, 3), np.uint8), "actions": np.zeros(4, int)}, "step count"),
        ({"video": np.array([{}], object), "actions": np.zeros(1, int)}, "pickled"),
    ],
)
def test_teco_bad_file(tmp_path, arrays, reason):
    write_teco(tmp_path, "train/0.npz", **arrays)
    with pytest.raises(ItemError) as caught:
        read_all(options(tmp_path))
    assert caught.value.reason == reason


def test_teco_cut_file(tmp_path):
    video = np.stack([picture(t, 64, 64) for t in range(7)])
    path = write_teco(tmp_path, "train/0.npz", video=video, actions=np.zeros(7, int))
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(ItemError) as caught:
        read_all(options(tmp_path))
    assert caught.value.reason == "unreadable"


def test_formats_are_told_apart(tmp_path):
    with pytest.raises(DataError, match="no DMLab data"):
        recipe.plan(options(tmp_path))
    write_rlu(tmp_path, rlu_episode(0))
    write_level(tmp_path, rows_of(4), edges=())
    with pytest.raises(DataError, match="choose with --format"):
        recipe.plan(options(tmp_path))
    assert recipe.plan(options(tmp_path, "--format=rlu")).sources["format"] == "rlu"
    assert recipe.plan(options(tmp_path, "--format=parquet")).sources["format"] == "parquet"
    with pytest.raises(DataError, match="teco"):
        recipe.plan(options(tmp_path, "--format=teco"))
    with pytest.raises(DataError, match="--actions"):
        recipe.plan(options(tmp_path, "--format=rlu", "--actions=impala"))


def test_prepared_folder_is_valid(tmp_path):
    """Two levels, a cut file and a bad episode, from the front door to the checks."""
    rng = np.random.default_rng(0)
    for shard in range(12):
        noisy = [png(rng.integers(0, 255, (72, 96, 3), np.uint8)) for _ in range(10)]
        episode = rlu_episode(shard, 10, observations_pixels=noisy)
        write_rlu(tmp_path / "raw", episode, shard=shard, cut=500 if shard == 5 else 0)
    out = tmp_path / "out"
    assert prepare("dmlab", out, options(tmp_path / "raw", "--max-failures=0.2"))
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["episodes"] == 11
    assert manifest["transitions"] == 99
    assert manifest["skipped"] == {"truncated file": 1}
    validate(out)


def test_prepared_levels_keep_the_published_splits(tmp_path):
    """Train and test only, two levels, one episode with an action that no table holds."""
    for look, level in enumerate("ab"):
        rows = rows_of(6, 6, 6, 6, 6, look=look)
        rows[14]["action"] = 99
        write_level(tmp_path / "raw", rows, edges=(8,), level=level)
        rows = rows_of(9, look=look + 2)
        write_level(tmp_path / "raw", rows, edges=(), level=level, split="test")
    out = tmp_path / "out"
    assert prepare("dmlab", out, options(tmp_path / "raw", "--max-failures=0.5"))
    manifest = json.loads((out / "manifest.json").read_text())
    assert sum(manifest["skipped"].values()) == 2
    assert manifest["splits"]["train"]["transitions"] == 2 * 3 * 5
    assert manifest["splits"]["validation"]["transitions"] == 2 * 5  # cut from train
    assert manifest["splits"]["test"]["transitions"] == 2 * 8
    validate(out)

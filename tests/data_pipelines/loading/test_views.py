"""All cameras of an instant in one row."""

import json
import pickle
import shutil

import numpy as np
import pytest

from data_pipelines.conversion.build import prepare
from data_pipelines.errors import DataError
from data_pipelines.format.layout import dataset_folder
from data_pipelines.loading.loader import ordered_batches, training_batches
from data_pipelines.loading.opening import open_data
from data_pipelines.loading.options import loader_options
from data_pipelines.loading.row_order import RowReference
from data_pipelines.loading.row_reading import read_rows
from data_pipelines.registry import recipe_options
from data_pipelines.simulators import synthetic
from tests.data_pipelines.damage import change_dataset


def first(config, size=24, **more):
    iterator = training_batches(config | more, seed=0, batch_size=size)
    batch = next(iterator)
    iterator.close()
    return batch, iterator.datasets


def test_every_row_has_the_frames_of_all_cameras(paired):
    folder, options = paired
    config = {"path": str(folder), "gap": (1, 3), "clip_length": 3}
    batch, names = first(config, views="all")
    assert [key for key in batch if key.startswith("frames")] == [
        "frames",
        "frames_top",
        "frames_side",
    ]
    streams = synthetic.streams(options)
    for i in range(24):
        world, own = streams[names[batch["dataset"][i]]]
        times = batch["t"][i] + batch["gap"][i] * np.arange(3)
        for camera in ("top", "side"):
            frames = synthetic.episode(options, int(batch["episode"][i]), world, camera)[0]
            np.testing.assert_array_equal(batch[f"frames_{camera}"][i], frames[times])
        np.testing.assert_array_equal(batch["frames"][i], batch[f"frames_{own}"][i])


@pytest.mark.parametrize("more", [{}, {"pairs_per_clip": 4}, {"pair_with": "camera"}])
def test_views_leave_all_else_of_a_batch_alone(paired, more):
    config = {"path": str(paired[0]), "gap": (1, 3), "fields": ("action",)} | more
    plain, _ = first(config)
    batch, _ = first(config, views=("side",))
    assert batch.keys() - plain.keys() == {"frames_side"}
    for key in plain:
        np.testing.assert_array_equal(batch[key], plain[key])


def test_records_are_read_once_for_all_that_they_serve(paired, reads):
    batches = ordered_batches(paired[0], batch_size=1000, split="train", views="all", chunk=12)
    batch = next(batches)
    assert set(batch["dataset"]) == {0, 1, 2, 3}
    assert len(reads.records) == len(set(reads.records)) > 4


def test_what_worker_processes_get_reads_the_same_and_shares_its_readers(paired):
    config = {"path": str(paired[0]), "views": "all", "pair_with": "exogenous"}
    data = open_data(loader_options(config))
    sent = pickle.loads(pickle.dumps(data))
    rows = [RowReference(number, 7, 2, paired=0) for number in range(4)]
    one, other = read_rows(rows, data), read_rows(rows, sent)
    for key in one:
        np.testing.assert_array_equal(other[key], one[key])
    assert sent.views.readers[1]["frames_top"] is sent.datasets[0].reader


def test_cameras_may_differ_in_size(paired, tmp_path):
    folder, options = paired
    copy, large = shutil.copytree(folder, tmp_path / "copy"), tmp_path / "large"
    sizes = [f"--{key.replace('_', '-')}={options[key]}" for key in ("episodes", "length")]
    arguments = (*sizes, "--size=32", "--distractors=1", "--exogenous-pairs", "--cameras=2")
    prepare("synthetic", large, recipe_options("synthetic", *arguments))
    name = "square_a_side"
    shutil.rmtree(dataset_folder(copy, name))
    shutil.copytree(dataset_folder(large, name), dataset_folder(copy, name))
    manifests = [json.loads((path / "manifest.json").read_text()) for path in (copy, large)]
    manifests[0]["datasets"][name] = manifests[1]["datasets"][name]
    (copy / "manifest.json").write_text(json.dumps(manifests[0]))

    config = {"path": str(copy), "datasets": ("square_a_top",), "image_size": 16, "views": "all"}
    batch, _ = first(config, size=4)
    assert batch["frames_top"].shape == (4, 2, 16, 16, 3)
    assert batch["frames_side"].shape == (4, 2, 32, 32, 3)
    batch, _ = first(config | {"resize": True, "image_size": 24}, size=4)
    assert batch["frames_top"].shape == batch["frames_side"].shape == (4, 2, 24, 24, 3)


def test_windows_in_order_have_views_too(paired):
    batch = next(ordered_batches(paired[0], ("square_b_top",), batch_size=8, views=("top", "side")))
    np.testing.assert_array_equal(batch["frames"], batch["frames_top"])
    assert (batch["frames_side"] != batch["frames_top"]).any()


@pytest.mark.parametrize("views", [("wrist",), ("top", "wrist")])
def test_an_unknown_camera(paired, views):
    with pytest.raises(DataError, match=r"square_a_top.*wrist\); its cameras: top, side; name"):
        training_batches({"path": str(paired[0]), "views": views}, seed=0, batch_size=4)


def test_views_of_data_without_cameras(square):
    with pytest.raises(DataError, match="its cameras: none is named"):
        training_batches({"path": str(square), "views": "all"}, seed=0, batch_size=4)


def test_two_datasets_of_one_camera(paired, tmp_path):
    copy = shutil.copytree(paired[0], tmp_path / "copy")
    change_dataset(copy, lambda entry: entry["spec"].update(exogenous="a"), name="square_b_side")
    with pytest.raises(DataError, match="square_a_side and square_b_side are both camera 'side'"):
        training_batches(
            {"path": str(copy), "datasets": ("square_a_top",), "views": "all"},
            seed=0,
            batch_size=4,
        )


def test_a_camera_called_pair(paired, tmp_path):
    copy = shutil.copytree(paired[0], tmp_path / "copy")
    for name in ("square_a_side", "square_b_side"):
        change_dataset(copy, lambda entry: entry["spec"].update(camera="pair"), name=name)
    config = {"path": str(copy), "views": ("pair",)}
    assert "frames_pair" in first(config, size=4)[0]
    with pytest.raises(DataError, match="would take the place of the pair"):
        first(config, pair_with="camera")

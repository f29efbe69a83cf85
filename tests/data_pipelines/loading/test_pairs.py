"""Synchronous pairs, and several pairs of one clip drawn together."""

import numpy as np
import pytest

from data_pipelines.errors import DataError
from data_pipelines.format.manifest import open_dataset
from data_pipelines.loading import windows
from data_pipelines.loading.loader import training_batches
from data_pipelines.registry import recipe_options
from data_pipelines.simulators import synthetic


def take(iterator, count):
    batches = [next(iterator) for _ in range(count)]
    iterator.close()
    return batches


def keys(batches):
    return np.concatenate([np.stack([b["episode"], b["t"]], 1) for b in batches])


def test_default_options_stay_those_of_older_folders():
    assert set(recipe_options("synthetic")) == {
        "seed",
        "episodes",
        "length",
        "size",
        "codec",
        "clip_stride",
        "max_span",
    }


def test_both_worlds_have_equal_agents_and_splits(paired):
    folder, options = paired
    info = open_dataset(folder)
    assert list(info.datasets) == ["square_a_top", "square_a_side", "square_b_top", "square_b_side"]
    assert {spec.recording for spec in info.datasets.values()} == {"square"}
    a, b = (synthetic.episode(options, 3, world, "top") for world in "ab")
    spec = info.datasets["square_a_top"]
    assert spec.state_names[2:] == spec.exogenous_state != ()
    for one, other in zip((*a[1:3], a[3][:, :2]), (*b[1:3], b[3][:, :2]), strict=True):
        np.testing.assert_array_equal(one, other)
    assert (a[0] != b[0]).mean() > 0.3 and (a[3][:, 2:] != b[3][:, 2:]).mean() > 0.3
    for split in ("train", "validation", "test"):
        indices = [windows.ClipReader(info, name, split).index for name in info.datasets]
        assert all((index == indices[0]).all() for index in indices)


@pytest.mark.parametrize("pair_with", ["camera", "exogenous"])
def test_pairs_show_the_same_instants(paired, pair_with):
    folder, options = paired
    config = {"path": str(folder), "pair_with": pair_with, "gap": (1, 3)}
    iterator = training_batches(config, seed=0, batch_size=32)
    names, pair_names = iterator.datasets, iterator.pair_datasets
    streams = synthetic.streams(options)
    for batch in take(iterator, 2):
        for i in range(32):
            mine = streams[names[batch["dataset"][i]]]
            other = streams[pair_names[batch["dataset_pair"][i]]]
            same, differs = (0, 1) if pair_with == "camera" else (1, 0)
            assert mine[same] == other[same] and mine[differs] != other[differs]
            times = batch["t"][i] + np.array([0, batch["gap"][i]])
            for key, stream in (("frames", mine), ("frames_pair", other)):
                frames = synthetic.episode(options, int(batch["episode"][i]), *stream)[0]
                np.testing.assert_array_equal(batch[key][i], frames[times])


def test_pairing_does_not_change_the_rows_or_their_gaps(paired):
    config = {"path": str(paired[0]), "cameras": ("top",), "gap": (1, 3)}
    plain = take(training_batches(config, seed=0, batch_size=16), 2)
    pairs = take(training_batches(config | {"pair_with": "camera"}, seed=0, batch_size=16), 2)
    for a, b in zip(plain, pairs, strict=True):
        for key in a:
            np.testing.assert_array_equal(a[key], b[key])


@pytest.mark.parametrize(
    "config, message",
    [
        ({"pair_with": "view"}, "data.pair_with is 'view'; use one of camera, exogenous"),
        ({"cameras": ("front",)}, "no dataset of camera front; cameras: side, top"),
    ],
)
def test_wrong_pairs(paired, config, message):
    with pytest.raises(DataError, match=message):
        training_batches({"path": str(paired[0])} | config, seed=0, batch_size=4)


def test_no_partner(square):
    with pytest.raises(DataError, match="no synchronous dataset with another camera"):
        training_batches({"path": str(square), "pair_with": "camera"}, seed=0, batch_size=4)


@pytest.mark.parametrize("m", [2, 4, 8])
def test_groups_visit_every_transition_once_per_epoch(square, m):
    config = {"path": str(square), "pairs_per_clip": m}  # 260 windows: 8 does not divide them.
    batches = take(training_batches(config, seed=0, batch_size=8), 65)
    epochs = keys(batches).reshape(2, 260, 2)
    first, second = ({tuple(row) for row in epoch.tolist()} for epoch in epochs)
    assert first == second and len(first) == 260
    assert (epochs[0] != epochs[1]).any()


def test_a_group_reads_its_record_and_decodes_each_frame_once(square, reads):
    records, frames = reads
    batches = training_batches({"path": str(square), "pairs_per_clip": 8}, seed=0, batch_size=32)
    batches._batches[0]
    # Four groups: 8 windows of one record are 9 frames; a group of left-overs spans 4 records of 2.
    assert len(records) == len(set(records)) and max(frames) == 9
    assert sum(frames) == sum(9 if f == 9 else f for f in frames) and len(records) <= 16
    assert sum(frames) < 32 * 2


@pytest.mark.parametrize("m", [1, 4])
def test_a_process_reads_the_rows_it_holds(square, m):
    """Several blocks, that begin and end within groups: so the hosts of a TPU hold them."""
    config = {"path": str(square), "pairs_per_clip": m, "gap": (1, 4), "fields": ("action",)}
    whole = take(training_batches(config, seed=2, batch_size=16), 3)
    rows = [1, 2, 3, 5, 11, 12, 15]
    for batch, part in zip(
        whole, take(training_batches(config, seed=2, batch_size=16, rows=rows), 3), strict=True
    ):
        for key in part:
            np.testing.assert_array_equal(part[key], batch[key][rows])


@pytest.mark.parametrize("rows", [[], [3, 2], [1, 1], [-1, 0], [15, 16]])
def test_wrong_rows(square, rows):
    with pytest.raises(DataError, match=r"rows must be ascending numbers in 0..15"):
        training_batches({"path": str(square)}, seed=0, batch_size=16, rows=rows)


@pytest.mark.parametrize("processes", [2, 8])
def test_groups_with_gaps_over_processes_seeds_and_restarts(square, processes):
    config = {"path": str(square), "pairs_per_clip": 4, "gap": (1, 4), "fields": ("action",)}
    whole = take(training_batches(config, seed=2, batch_size=16), 20)
    shards = [
        training_batches(config, seed=2, batch_size=16, process_index=p, process_count=processes)
        for p in range(processes)
    ]
    for shard in shards:
        shard.set_state({"next_index": 18})
    parts = [next(shard) for shard in shards]
    for shard in shards:
        shard.close()
    for key in parts[0]:
        np.testing.assert_array_equal(np.concatenate([p[key] for p in parts]), whole[18][key])
    other = take(training_batches(config, seed=3, batch_size=16), 1)[0]
    assert (other["t"] != whole[0]["t"]).any() and len(set(whole[0]["gap"])) > 1


@pytest.mark.parametrize(
    "m, batch, message",
    [
        (0, 8, "data.pairs_per_clip is 0"),
        (3, 8, "batch size 8 is no multiple.*= 3"),
        (300, 300, "has 260 windows, fewer than data.pairs_per_clip = 300"),
    ],
)
def test_wrong_groups(square, m, batch, message):
    with pytest.raises(DataError, match=message):
        training_batches({"path": str(square), "pairs_per_clip": m}, seed=0, batch_size=batch)

"""The next H actions, across the borders of records and up to the end of the episode."""

import shutil

import numpy as np
import pytest

from data_pipelines.errors import DataError
from data_pipelines.format.layout import index_file
from data_pipelines.loading.loader import ordered_batches, training_batches
from data_pipelines.simulators import synthetic
from tests.data_pipelines.damage import change_dataset


@pytest.fixture(scope="module")
def actions(square_options):
    """Per episode the 26 actions of its 27 frames; its records hold up to 12 frames."""
    return [episode[1] for episode in synthetic.episodes(square_options)]


def first(config, size=64):
    iterator = training_batches(config, seed=0, batch_size=size)
    batch = next(iterator)
    iterator.close()
    return batch


@pytest.mark.parametrize("horizon", [1, 5, 12, 60])
@pytest.mark.parametrize("m", [1, 4])
def test_chunks_are_the_actions_that_follow(square, actions, horizon, m):
    config = {"path": str(square), "chunk": horizon, "gap": (1, 4), "pairs_per_clip": m}
    batch = first(config)
    assert batch["action_chunk"].shape == (64, horizon) and "action" not in batch
    held = batch["action_chunk_mask"].sum(1)
    for i in range(64):
        following = actions[batch["episode"][i]][batch["t"][i] :][:horizon]
        assert held[i] == len(following) and batch["action_chunk_mask"][i, : held[i]].all()
        np.testing.assert_array_equal(batch["action_chunk"][i, : held[i]], following)
        assert (batch["action_chunk"][i, held[i] :] == 0).all()
    if horizon == 12:
        assert held.min() < 12 == held.max()  # Some end with their episode, others do not.


def test_the_last_window_of_an_episode(square, actions):
    batches = list(ordered_batches(square, split="test", batch_size=100, chunk=3))
    (batch,) = batches
    assert batch["t"][-1] == 25
    np.testing.assert_array_equal(batch["action_chunk_mask"][-3:].sum(1), [3, 2, 1])
    assert batch["action_chunk"][-1, 0] == actions[batch["episode"][-1]][25]


@pytest.mark.parametrize("clip_length, gap, longest", [(2, (1, 4), 4), (3, (1, 2), 2), (2, 1, 1)])
def test_all_actions_between_the_frames(square, actions, clip_length, gap, longest):
    config = {"path": str(square), "clip_length": clip_length, "gap": gap, "fields": ("action",)}
    batch = first(config | {"actions_between": True})
    assert batch["actions_between"].shape == (64, clip_length - 1, longest)
    np.testing.assert_array_equal(batch["actions_between"][:, :, 0], batch["action"])
    for i in range(64):
        gap = batch["gap"][i]
        expected = actions[batch["episode"][i]][batch["t"][i] :][: gap * (clip_length - 1)]
        found = batch["actions_between"][i]
        np.testing.assert_array_equal(found[:, :gap].ravel(), expected)
        np.testing.assert_array_equal(
            batch["actions_between_mask"][i], np.tile(np.arange(longest) < gap, (len(found), 1))
        )
        assert (found[:, gap:] == 0).all()


def test_what_else_a_batch_holds_stays(square):
    config = {"path": str(square), "gap": (1, 4), "fields": ("action", "reward", "state")}
    plain, batch = first(config), first(config | {"chunk": 8, "actions_between": True})
    assert len(batch) == len(plain) + 4
    for key in plain:
        np.testing.assert_array_equal(batch[key], plain[key])


def test_a_process_reads_the_chunks_of_its_rows(square):
    config = {"path": str(square), "chunk": 9, "actions_between": True, "gap": (1, 3)}
    whole = first(config)
    rows = [0, 5, 40, 63]
    iterator = training_batches(config, seed=0, batch_size=64, rows=rows)
    part = next(iterator)
    iterator.close()
    for key in whole:
        np.testing.assert_array_equal(part[key], whole[key][rows])


def test_actions_of_a_mixture_are_united(square, actions, tmp_path):
    few, none = (shutil.copytree(square, tmp_path / name) for name in ("few", "none"))
    spec = {"kind": "discrete", "names": list("abcdefg"), "low": None, "high": None}
    change_dataset(few, lambda entry: entry["spec"].update(action=spec))
    change_dataset(none, lambda entry: entry["spec"].update(action=None))
    mixture = {name: {"path": str(path)} for name, path in (("a", square), ("b", few), ("c", none))}
    batch = first({"mixture": mixture, "chunk": 7, "actions_between": True, "gap": 2}, 96)
    assert batch["action_chunk"].shape == (96, 7, 7) and batch["action_chunk"].dtype == np.float32
    assert batch["actions_between"].shape == (96, 1, 2, 7)
    known = batch["dataset"] < 2
    np.testing.assert_array_equal(batch["action_width"], np.array([5, 7, 0])[batch["dataset"]])
    assert not batch["action_chunk_mask"][~known].any() and not batch["action_chunk"][~known].any()
    assert not batch["actions_between_mask"][~known].any()
    np.testing.assert_array_equal(batch["action_chunk"].sum(2), batch["action_chunk_mask"])
    for i in np.flatnonzero(known):
        following = actions[batch["episode"][i]][batch["t"][i] :][:7]
        found = batch["action_chunk"][i].argmax(1)[: len(following)]
        np.testing.assert_array_equal(found, following)
        np.testing.assert_array_equal(batch["actions_between"][i, 0].argmax(1), following[:2])


@pytest.mark.parametrize("option", [{"chunk": 4}, {"actions_between": True}])
def test_video_without_actions(copy, option):
    change_dataset(copy, lambda entry: entry["spec"].update(action=None))
    with pytest.raises(DataError, match="has no field 'action'.*holds: reward, state"):
        training_batches({"path": str(copy)} | option, seed=0, batch_size=4)


def test_records_of_an_episode_that_do_not_follow_each_other(copy):
    file = index_file(copy, "square", "test")
    index = np.load(file)
    index[1:, 0] += 1  # so they belong to another one
    np.save(file, index)
    with pytest.raises(DataError, match="does not follow it in the index; prepare the folder"):
        next(ordered_batches(copy, split="test", batch_size=4, chunk=20))


def test_a_chunk_beyond_the_memory_of_the_machine(square):
    config = {"path": str(square), "chunk": 2**16}
    with pytest.raises(DataError, match="batches at once of 10000000 rows.* GB; lower the"):
        training_batches(config, seed=0, batch_size=10**7)

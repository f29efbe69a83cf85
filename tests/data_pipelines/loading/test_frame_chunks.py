"""The next N frames, across the borders of records and up to the end of the episode."""

import numpy as np
import pytest

from data_pipelines.errors import DataError
from data_pipelines.loading.loader import training_batches
from data_pipelines.simulators import synthetic


@pytest.fixture(scope="module")
def frames(square_options):
    """Per episode its 27 frames; its records hold up to 12 of them."""
    return [episode[0] for episode in synthetic.episodes(square_options)]


def first(config, size=48):
    iterator = training_batches(config, seed=0, batch_size=size)
    batch = next(iterator)
    iterator.close()
    return batch


@pytest.mark.parametrize("count, group", [(2, 1), (13, 1), (13, 4), (40, 1)])
def test_chunks_are_the_frames_from_the_first_on(square, frames, count, group):
    config = {"path": str(square), "gap": (1, 4), "pairs_per_clip": group}
    batch = first(config | {"frame_chunk": count})
    assert batch["frame_chunk"].shape == (48, count, *frames[0].shape[1:])
    held = batch["frame_chunk_mask"].sum(1)
    for i in range(48):
        expected = frames[batch["episode"][i]][batch["t"][i] :][:count]
        assert held[i] == len(expected) and batch["frame_chunk_mask"][i, : held[i]].all()
        np.testing.assert_array_equal(batch["frame_chunk"][i, : held[i]], expected)
        assert not batch["frame_chunk"][i, held[i] :].any()
    assert (held < count).any() or count == 2
    plain = first(config)  # What else a batch holds stays.
    assert plain.keys() == batch.keys() - {"frame_chunk", "frame_chunk_mask"}
    for key in plain:
        np.testing.assert_array_equal(plain[key], batch[key])


def test_chunks_are_brought_to_another_size(square, frames):
    size = frames[0].shape[1] // 2
    config = {"path": str(square), "frame_chunk": 5, "image_size": size, "resize": True}
    batch = first(config, 4)
    assert batch["frame_chunk"].shape == (4, 5, size, size, 3)
    np.testing.assert_array_equal(batch["frame_chunk"][:, :2], batch["frames"])


def test_a_chunk_beyond_the_memory_of_the_machine(square):
    config = {"path": str(square), "frame_chunk": 2**16}
    with pytest.raises(DataError, match="batches at once of 100000 rows.* GB; lower the"):
        training_batches(config, seed=0, batch_size=10**5)

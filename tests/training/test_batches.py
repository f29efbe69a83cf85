"""Prefetching must never show in what a checkpoint remembers."""

import jax
import numpy as np
import pytest

from flexlam_jax.errors import UserError
from flexlam_jax.training.batches import DeviceBatches
from flexlam_jax.training.mesh import make_mesh
from flexlam_jax.training.sharding import batch_sharding
from tests.training import toy


@pytest.fixture(scope="module")
def rows():
    return batch_sharding(make_mesh({"data": 1}, jax.devices()[:1]))


def test_position_is_that_of_the_batch_handed_out(rows):
    data = toy.Rows()
    with DeviceBatches(data, rows, ahead=3) as batches:
        assert batches.shapes()["x"].shape == (8, toy.WIDTH)
        assert batches.get_state() == {"next_index": 0}
        drawn = [next(batches) for _ in range(4)]
        assert batches.get_state() == {"next_index": 4}
        assert [int(b["episode"][0]) for b in drawn] == [0, 1000, 2000, 3000]
        assert drawn[0]["episode"].dtype == np.int32 and drawn[0]["x"].sharding == rows
        assert batches.take_wait() > 0 and batches.take_wait() == 0
    assert data.closed


def test_a_restored_position_forgets_the_peeked_batch(rows):
    with DeviceBatches(toy.Rows(), rows) as batches:
        batches.shapes()
        batches.set_state({"next_index": 7})
        assert int(next(batches)["episode"][0]) == 7000
        assert batches.get_state() == {"next_index": 8}


def test_errors_and_the_end_arrive_where_the_batch_is_asked_for(rows):
    with DeviceBatches(toy.Rows(end=2), rows) as batches:
        next(batches), next(batches)
        with pytest.raises(UserError, match="data ended"):
            next(batches)

    class Broken(toy.Rows):
        def __next__(self):
            if self.next_index == 1:
                raise OSError("shard 3 is truncated")
            return super().__next__()

    with DeviceBatches(Broken(), rows) as batches:
        next(batches)
        with pytest.raises(OSError, match="shard 3"):
            next(batches)


def test_shapes_are_global(rows):
    with DeviceBatches(toy.Rows(index=1, count=2), rows, blocks=2) as batches:
        assert batches.shapes()["x"].shape == (8, toy.WIDTH)

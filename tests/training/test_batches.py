"""Prefetching must never show in what a checkpoint remembers."""

import functools

import jax
import numpy as np
import pytest

from flexlam_jax.errors import UserError
from flexlam_jax.parallel.mesh import make_mesh
from flexlam_jax.parallel.sharding import batch_sharding
from flexlam_jax.training.batches import DeviceBatches
from tests.training import toy


@pytest.fixture(scope="module")
def open_batches():
    rows = batch_sharding(make_mesh({"data": 1}, jax.devices()[:1]))
    return functools.partial(DeviceBatches, sharding=rows, rows=np.arange(8), batch_size=8)


def test_position_is_that_of_the_batch_handed_out(open_batches):
    data = toy.Rows()
    with open_batches(data, ahead=3) as batches:
        assert batches.shapes()["x"].shape == (8, toy.WIDTH)
        assert batches.get_state() == {"next_index": 0}
        drawn = [next(batches) for _ in range(4)]
        assert batches.get_state() == {"next_index": 4}
        assert [int(b["episode"][0]) for b in drawn] == [0, 1000, 2000, 3000]
        assert drawn[0]["episode"].dtype == np.int32 and drawn[0]["x"].shape == (8, toy.WIDTH)
        assert batches.take_wait() > 0 and batches.take_wait() == 0
    assert data.closed


def test_a_restored_position_forgets_the_peeked_batch(open_batches):
    with open_batches(toy.Rows()) as batches:
        batches.shapes()
        batches.set_state({"next_index": 7})
        assert int(next(batches)["episode"][0]) == 7000
        assert batches.get_state() == {"next_index": 8}


def test_errors_and_the_end_arrive_where_the_batch_is_asked_for(open_batches):
    with open_batches(toy.Rows(end=2)) as batches:
        next(batches), next(batches)
        with pytest.raises(UserError, match="data ended"):
            next(batches)

    class Broken(toy.Rows):
        def __next__(self):
            if self.next_index == 1:
                raise OSError("shard 3 is truncated")
            return super().__next__()

    with open_batches(Broken()) as batches:
        next(batches)
        with pytest.raises(OSError, match="shard 3"):
            next(batches)


def test_data_must_give_the_rows_that_are_held(open_batches):
    with open_batches(toy.Rows(rows=slice(4, 8))) as batches:
        with pytest.raises(
            UserError, match=r"'episode' of shape \(4,\).* holds 8 rows of a global batch of 8"
        ):
            batches.shapes()

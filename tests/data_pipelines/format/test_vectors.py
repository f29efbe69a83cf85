"""Datasets whose observation is the state: what their spec says, and what stands for pictures."""

import numpy as np
import pytest

from data_pipelines.conversion.spool import read_episode, write_episode
from data_pipelines.conversion.state_statistics import joined, statistics, sums_of
from data_pipelines.errors import DataError
from data_pipelines.format.spec import DatasetSpec
from data_pipelines.format.vectors import (
    SPEC_FIELDS,
    is_vector,
    observed_columns,
    placeholders,
    row_hashes,
    state_statistics,
    vector_details,
)
from data_pipelines.readers.recordings import ItemError


def spec(observed=("a", "c"), **details):
    return DatasetSpec(
        name="rows",
        state_names=("a", "b", "c"),
        details=vector_details(observed) | details,
        **SPEC_FIELDS,
    )


def test_observed_columns_are_numbers_of_the_state():
    assert is_vector(spec()) and observed_columns(spec()) == (0, 2)
    with pytest.raises(DataError, match="observed columns d; its state has: a, b, c"):
        observed_columns(spec(("a", "d")))
    with pytest.raises(DataError, match="are none"):
        observed_columns(spec(()))
    pictures = DatasetSpec(name="square", image_shape=(16, 16, 3), codec="zstd", state_names=("x",))
    assert not is_vector(pictures)
    with pytest.raises(DataError, match="its observations are pictures"):
        observed_columns(pictures)


def test_statistics_are_read_back_and_checked():
    held = {"rows": 2, "mean": [1, 2, 3], "std": [0, 1, 2], "min": [1, 1, 1], "max": [2, 3, 5]}
    found = state_statistics(spec(state_statistics=held))
    assert found["std"].tolist() == [0, 1, 2] and found["mean"].dtype == np.float64
    with pytest.raises(DataError, match="no statistics"):
        state_statistics(spec())
    with pytest.raises(DataError, match="mean has shape"):
        state_statistics(spec(state_statistics=held | {"mean": [1, 2]}))


def test_rows_have_equal_hashes_where_they_are_equal():
    rng = np.random.default_rng(0)
    state = rng.standard_normal((5000, 3)).astype(np.float32)
    assert len(set(row_hashes(state).tolist())) == 5000
    assert np.array_equal(row_hashes(state[10:20]), row_hashes(state)[10:20])
    swapped = state[:1, [1, 0, 2]]
    changed = state[:1].copy()
    changed[0, 2] = np.nextafter(changed[0, 2], np.float32(9))
    for other in (swapped, changed):
        assert row_hashes(other)[0] != row_hashes(state)[0]


@pytest.mark.parametrize("parts", [1, 2, 7])
def test_sums_of_parts_are_those_of_the_whole(parts):
    """Also of a column far from 0 whose float64 sum of squares would lose its spread."""
    rng = np.random.default_rng(1)
    state = rng.standard_normal((1000, 3)).astype(np.float32)
    state[:, 1] = 1e5 + state[:, 1]
    state[:, 2] = 0.1
    pieces = np.split(state, np.sort(rng.choice(np.arange(1, 1000), parts - 1, replace=False)))
    found = statistics(joined([sums_of(piece) for piece in pieces]))
    rows = state.astype(np.float64)
    assert found["rows"] == 1000 and found["std"][2] == 0.0
    np.testing.assert_allclose(found["mean"], rows.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(found["std"][:2], rows.std(axis=0)[:2], rtol=1e-9)
    assert found["min"] == rows.min(axis=0).tolist() and found["max"] == rows.max(axis=0).tolist()


def test_an_episode_of_vectors_is_compared_by_its_rows(tmp_path):
    state = np.arange(30, dtype=np.float32).reshape(10, 3)
    assert write_episode(tmp_path, spec(), 0, placeholders(10), state=state) == 10
    spooled = read_episode(tmp_path, 0)
    assert np.array_equal(spooled.hashes, row_hashes(state)) and spooled.encoded_bytes == 10
    assert np.array_equal(spooled.state, state)


@pytest.mark.parametrize(
    ("frames", "state", "reason"),
    [
        (10, np.ones((10, 3)), "blank"),
        (10, np.arange(27).reshape(9, 3), "bad labels"),
        (10, np.arange(20).reshape(10, 2), "bad labels"),
        (10, np.full((10, 3), np.nan), "blank"),
        (10, None, "bad labels"),
        (1, np.ones((1, 3)), "too short"),
    ],
)
def test_what_is_no_episode_leaves_nothing(tmp_path, frames, state, reason):
    with pytest.raises(ItemError) as caught:
        write_episode(tmp_path, spec(), 0, placeholders(frames), state=state)
    assert caught.value.reason == reason
    assert not list(tmp_path.iterdir())

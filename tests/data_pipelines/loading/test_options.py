"""Every option of the loader has a range; what is outside names key, value and what to give."""

import dataclasses

import numpy as np
import pytest

from data_pipelines.errors import DataError
from data_pipelines.loading.loader import ordered_batches, training_batches
from data_pipelines.loading.options import Entry, LoaderOptions, loader_options
from tests.data_pipelines.damage import change_dataset

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize("kind", [LoaderOptions, Entry])
def test_every_option_says_its_range_and_what_it_is_for(kind):
    for field in dataclasses.fields(kind):
        assert field.metadata["range"].holds(getattr(kind(), field.name)), field.name
        assert field.metadata["help"] and field.metadata["range"].text, field.name


WRONG = {
    "path": [3, None],
    "datasets": [
        ("a", "a"),
        ["a", "b", "a"],
        ("",),
        "",
        None,
        3,
        (1,),
        {"a": NAN},
        {"a": INF},
        {"a": 1e300},
        {"a": 5e-324},
        {"a": -1},
        {"a": "1"},
        {"a": True},
    ],
    "cameras": [("top", "top"), ("",), None],
    "fields": [("action", "action"), ("",), None, 1],
    "split": ["", None, 3],
    "mixture": [3, {"a": 1}, {"a": "data"}],
    "gap": [
        0,
        -1,
        1.0,
        True,
        "2",
        "0s",
        "-1s",
        "0.2",
        "s",
        (1,),
        (1, 2, 3),
        (3, 1),
        (1, "0.2s"),
        ("0.6s", "0.2s"),
        (True, 2),
        None,
        [0, 4],
        "nans",
        "infs",
        NAN,
        "1e3s",
    ],
    "clip_length": [1, 0, -3, 2.0, True, "2", None, NAN],
    "image_size": [-1, 64.0, True, "64", 100_000],
    "resize": [1, "yes", None],
    "pair_with": ["view", None, 1],
    "pairs_per_clip": [0, -1, 1.5, True, NAN],
    "transitions": [-1, 2.0, True, NAN, INF],
    "fraction": [0, -0.5, 1.5, NAN, INF, True, "0.5", None],
    "episodes": [0, -0.5, 1.5, NAN, INF, True, "0.5", None],
    "subset_seed": [-1, 2**32, 1.0, True],
    "label_draw": [-1, 1.0, True, "0"],
    "threads": [0, -1, 2.0, True, 10**6],
    "prefetch": [0, -1, 8.0, True],
    "views": [("top", "top"), ("",), None, 3],
    "language": [1, "yes", None],
    "chunk": [-1, 2.0, True, None, 2**17],
    "column_chunk": [-1, 2.0, True, None, 2**17],
    "frame_chunk": [-1, 1, 2.0, True, None, 2**17],
    "actions_between": [1, None],
    "workers": [-1, 0.5, True, 10**6],
}


@pytest.mark.parametrize("key, value", [(key, value) for key in WRONG for value in WRONG[key]])
def test_values_outside_their_range(key, value):
    with pytest.raises(DataError, match=rf"data\.{key}(\.a)? is .*; use "):
        loader_options({"path": "somewhere", key: value})


@pytest.mark.parametrize(
    "key, value",
    [
        ("weight", NAN),
        ("weight", INF),
        ("weight", -1),
        ("weight", "1"),
        ("fraction", NAN),
        ("gap", 0),
        ("transitions", -1),
        ("subset_seed", -1),
        ("datasets", ("b", "b")),
    ],
)
def test_entries_of_a_mixture_are_named(key, value):
    with pytest.raises(DataError, match=rf"data\.mixture\.a\.{key} is "):
        loader_options({"mixture": {"a": {"path": "somewhere", key: value}}})


@pytest.mark.parametrize("gap", [2, (1, 4), [1, 4], "0.2s", ".5 s", ("0.2s", "0.6s"), np.int64(3)])
def test_every_form_of_a_gap_that_is_documented(gap):
    assert loader_options({"path": "somewhere", "gap": gap}).gap == (
        tuple(gap) if isinstance(gap, list) else gap
    )


def test_a_dataset_named_twice_is_refused_in_every_way_of_reading(square):
    names = ("square", "square")
    with pytest.raises(DataError, match="data.datasets is .'square', 'square'.*given twice"):
        training_batches({"path": str(square), "datasets": names}, seed=0, batch_size=4)
    with pytest.raises(DataError, match="data.datasets is .'square', 'square'.*given twice"):
        ordered_batches(square, names)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"seed": -1}, "seed is -1; use a whole number"),
        ({"seed": 0.5}, "seed is 0.5"),
        ({"batch_size": 0}, "batch_size is 0; use a whole number, at least 1"),
        ({"batch_size": True}, "batch_size is True"),
        ({"batch_size": 8.0}, "batch_size is 8.0"),
        ({"process_count": 0}, "process_count is 0"),
        ({"process_index": -1}, "process_index is -1"),
        ({"batch_size": 10**12}, "9 batches at once of 1000000000000 rows.* GB; lower the"),
    ],
)
def test_arguments_beside_the_config(square, arguments, message):
    with pytest.raises(DataError, match=message):
        training_batches({"path": str(square)}, **{"seed": 0, "batch_size": 8} | arguments)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"batch_size": 0}, "batch_size is 0"),
        ({"batch_size": -3}, "batch_size is -3"),
        ({"limit": 0}, "limit is 0; use None for all"),
        ({"limit": 2.5}, "limit is 2.5"),
        ({"gap": (1, 2)}, "gap is .1, 2.; windows in order have one gap"),
    ],
)
def test_arguments_of_ordered_batches(square, arguments, message):
    with pytest.raises(DataError, match=message):
        ordered_batches(square, **{"split": "test"} | arguments)


def test_a_gap_in_seconds_is_one_of_the_datasets_rate(square):
    batch = next(ordered_batches(square, split="test", gap="0.2s"))  # 10 frames per second
    assert set(batch["gap"].tolist()) == {2}


@pytest.mark.parametrize("gap", [10**30, f"{'9' * 400}s"])
def test_gaps_beyond_all_records(square, gap):
    with pytest.raises(DataError, match="a window spans [0-9]+ frames, its records were cut for 4"):
        ordered_batches(square, split="test", gap=gap)


def test_the_remedy_for_seconds_where_the_rate_is_unknown(copy):
    change_dataset(copy, lambda entry: entry["spec"].update(fps=0))
    message = "square does not know its frames per second.*in frames .data.gap=2.*--fps"
    with pytest.raises(DataError, match=message):
        training_batches({"path": str(copy), "gap": "0.2s"}, seed=0, batch_size=4)
    change_dataset(copy, lambda entry: entry["spec"].update(fps=29.97))
    batch = next(ordered_batches(copy, split="test", gap="0.1s"))
    assert set(batch["gap"].tolist()) == {3}

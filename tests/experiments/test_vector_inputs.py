"""The state of a dataset as the frames of a model: histories, spans, columns."""

import numpy as np
import pytest

from data_pipelines.conversion.build import prepare
from data_pipelines.loading.loader import ordered_batches
from data_pipelines.registry import recipe_options
from experiments.vector_inputs import VectorReader
from flexlam_jax.models.vectors import Units

LENGTH = 40


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    out = tmp_path_factory.mktemp("plant") / "data"
    prepare("plant", out, recipe_options("plant", "--episodes=6", f"--length={LENGTH}"))
    return out


def reader(history, mean=(0.0, 0.0), scale=(1.0, 1.0)):
    return VectorReader(("level_3", "level_1"), (2, 0), Units(mean, scale), history)


def frames(data, given, spans=None, gap=1):
    def read(spans):
        return ordered_batches(
            data, split="train", batch_size=16, fields=("state",), gap=gap, spans=spans
        )

    batches = list(given.framed(read, spans, gap))
    assert all(len(batch["t"]) == len(batch["frames"]) > 0 for batch in batches)
    return {key: np.concatenate([b[key] for b in batches]) for key in ("frames", "t", "state")}


@pytest.mark.parametrize("gap", [1, 3])
def test_histories_are_those_of_the_episode(data, gap):
    found = frames(data, reader(4), gap=gap)
    first = LENGTH - gap  # Transitions of the first episode.
    series = found["state"][:first, 0][:, [2, 0]]
    assert found["frames"].shape[1:] == (2, 2, 4, 1)
    for row in (0, 1, 5, 20, first - 1):
        before = found["frames"][row, 0, :, :, 0].T
        times = [row - gap * back for back in (3, 2, 1, 0)]
        times = [t if t >= 0 else row % gap for t in times]  # The first instant stands for them.
        np.testing.assert_array_equal(before, series[times])
        after = found["frames"][row, 1, :, :, 0].T
        np.testing.assert_array_equal(after[:-1], before[1:])
        np.testing.assert_array_equal(after[-1], found["state"][row, 1, [2, 0]])
    start = found["frames"][first, 0, :, :, 0].T  # Of the next episode.
    assert found["t"][first] == 0 and (start == start[-1]).all()


@pytest.mark.parametrize("history", [1, 4])
def test_spans_give_the_rows_that_a_whole_reading_gives(data, history):
    whole = frames(data, reader(history))
    spans = [range(0, 5), range(35, 70), range(70, 71)]
    parts = frames(data, reader(history), spans)
    kept = [row for span in spans for row in span]
    for key in whole:
        np.testing.assert_array_equal(parts[key], whole[key][kept])


def test_frames_are_in_the_models_units(data):
    plain, scaled = (frames(data, reader(2, *units))["frames"] for units in ((), ((1, 2), (4, 5))))
    expected = (plain - np.float32([1, 2])[:, None, None]) / np.float32([4, 5])[:, None, None]
    np.testing.assert_allclose(scaled, expected, rtol=1e-6)

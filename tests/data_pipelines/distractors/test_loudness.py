"""How loud a distractor is: against the change that the scene itself shows."""

import numpy as np
import pytest

from data_pipelines.benchmark_distractors import loudness, measure


def test_loudness_is_the_change_that_is_added():
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 100, (5, 8, 8, 3), dtype=np.uint8)
    own, added = loudness(frames, frames)
    assert added == 0 and own == pytest.approx(
        np.square(np.diff(frames.astype(int), axis=0)).mean()
    )
    blinking = frames + np.array([0, 10, 0, 10, 0], np.uint8)[:, None, None, None]
    assert loudness(frames, blinking)[1] == 100
    still = frames + np.uint8(10)  # what does not move adds no change
    assert loudness(frames, still)[1] == 0


def test_more_strength_is_louder():
    rng = np.random.default_rng(0)
    episodes = [(rng.integers(0, 100, (6, 16, 16, 3), dtype=np.uint8), np.zeros((6, 16, 16, 1)))]
    one, two = (measure(episodes, "sprites", strength)["loudness"] for strength in (0.3, 1.0))
    assert 0 < one < two and measure(episodes, "background", 1.0)["loudness"] == 0

import numpy as np
import pytest

from flexlam_jax.errors import UserError
from flexlam_jax.evaluation import inverse_model
from flexlam_jax.evaluation.translator_fit import ActionTarget


def pairs(count, seed):
    """A bright column at a random place that moves left, stays, or moves right."""
    rng = np.random.default_rng(seed)
    place, action = rng.integers(4, 12, count), rng.integers(0, 3, count)
    frames = np.zeros((count, 2, 16, 16, 3), np.uint8)
    rows = np.arange(count)
    frames[rows, 0, :, place] = 255
    frames[rows, 1, :, place + 2 * (action - 1)] = 255
    return frames, action.astype(np.int32)


def test_it_reads_motion_that_neither_frame_shows(monkeypatch):
    monkeypatch.setattr(inverse_model, "STEPS", 80)
    frames, action = pairs(600, 0)
    test_frames, test_action = pairs(300, 1)
    spec = ActionTarget(True, 3)
    outputs = inverse_model.fit_and_predict(frames, action, test_frames, spec)
    assert outputs.shape == (1, 300, 3)
    assert (outputs[0].argmax(-1) == test_action).mean() > 0.9
    still = np.repeat(test_frames[:, :1], 2, 1)
    blind = inverse_model.fit_and_predict(np.repeat(frames[:, :1], 2, 1), action, still, spec)
    assert (blind[0].argmax(-1) == test_action).mean() < 0.5


def test_frames_of_an_odd_side_are_refused():
    frames = np.zeros((4, 2, 16, 15, 3), np.uint8)
    with pytest.raises(UserError, match="even sides, not 16x15"):
        inverse_model.fit_and_predict(frames, np.zeros(4, np.int32), frames, ActionTarget(True, 2))

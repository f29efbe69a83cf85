"""Independent shifts: encoder and decoder see the same clip at different places."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flexlam_jax.errors import ConfigError
from flexlam_jax.objectives.lam import LossSettings
from flexlam_jax.objectives.remedies.batches import SHOWN, ready
from flexlam_jax.objectives.remedies.shift import draw_shifts, shift_frames
from tests.objectives.remedies.linear_lam import batch_of, built


def test_frames_move_by_whole_pixels_and_edges_repeat():
    frames = np.random.default_rng(0).integers(0, 256, (3, 2, 6, 7, 3), dtype=np.uint8)
    offsets = np.array([[0, 0], [2, -1], [-3, 3]])
    moved = np.asarray(shift_frames(jnp.asarray(frames), jnp.asarray(offsets)))
    assert moved.dtype == np.uint8
    np.testing.assert_array_equal(moved[0], frames[0])
    rows, columns = np.clip(np.arange(6) + 2, 0, 5), np.clip(np.arange(7) - 1, 0, 6)
    np.testing.assert_array_equal(moved[1], frames[1][:, rows][:, :, columns])


def test_shifts_are_uniform_and_whole():
    drawn = np.asarray(draw_shifts(jax.random.key(0), 4000, 2))
    values, counts = np.unique(drawn, return_counts=True)
    assert values.tolist() == [-2, -1, 0, 1, 2] and counts.min() > 0.8 * counts.max()


def test_encoder_and_decoder_see_other_shifts_and_each_clip_one():
    batch = batch_of(rows=32, length=3)
    found = ready(LossSettings(shift=2, mask="agent_mask"), batch, jax.random.key(0))
    frames, shown = np.asarray(found["frames"]), np.asarray(found[SHOWN])
    inner = np.s_[:, :, 2:-2, 2:-2]
    original = np.asarray(batch["frames"])

    def offset(moved, row):
        """The one shift that all frames of a clip have."""
        places = [
            (y, x)
            for y in range(-2, 3)
            for x in range(-2, 3)
            if (np.roll(original[row], (-y, -x), (1, 2))[:, 2:-2, 2:-2] == moved[inner][row]).all()
        ]
        assert len(places) == 1
        return places[0]

    here = [offset(frames, row) for row in range(32)]
    there = [offset(shown, row) for row in range(32)]
    assert len(set(here)) > 5 and sum(a == b for a, b in zip(here, there, strict=True)) < 8
    mask = np.asarray(found["frames_agent_mask"])
    for row, (_, x) in enumerate(there):  # The agent's half moves with what is predicted.
        assert (mask[row, 0, 0, :, 0] == 255).sum() == 4 - x


def test_the_decoder_predicts_its_own_shift():
    """Without a code, and a decoder that copies, the loss is the change between shifted frames."""
    batch = batch_of()
    objective, params, extra = built({"shift": 2})
    params = jax.tree.map(jnp.zeros_like, params)
    key = jax.random.key(3)
    found = objective.values(objective.outcome(params, extra, batch, key))
    shown = np.asarray(ready(LossSettings(shift=2), batch, key)[SHOWN]) / 255.0
    change = np.square(shown[:, 1] - shown[:, 0])
    np.testing.assert_allclose(found["reconstruction"], change.mean(), rtol=1e-5)
    np.testing.assert_allclose(found["psnr"], found["copy_psnr"], rtol=1e-5)


def test_a_shift_as_wide_as_the_picture_is_refused():
    with pytest.raises(ConfigError, match="config.loss.shift=4 pixels to both sides of 8x8"):
        built({"shift": 4})

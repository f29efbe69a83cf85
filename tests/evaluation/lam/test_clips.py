"""Whole clips as models predict them."""

import numpy as np
import pytest

from flexlam_jax.evaluation.lam.clips import clip_of, frames_within, stretches


def test_whole_episodes_are_chosen_and_long_ones_are_thinned():
    episode = np.repeat([0, 1, 2], [5, 40, 12])
    t = np.concatenate([np.arange(5), np.arange(40), np.arange(12)])
    found = stretches(episode, t, 3, 16, seed=0)
    assert [(one.length, len(one.rows)) for one in found] == [(40, 14), (12, 12), (5, 5)]
    long, other, _ = found
    assert long.rows[0] == 5 and (np.diff(long.rows) == 3).all() and long.rows[-1] == 44
    np.testing.assert_array_equal(long.steps, np.arange(0, 40, 3))
    np.testing.assert_array_equal(other.rows, np.arange(45, 57))
    assert len(stretches(episode, t, 1, 16, seed=0)) == 1 and not stretches(episode, t, 0, 16, 0)


def test_a_page_has_only_so_many_pixels(world):
    lam, fixed = world.ExactLam(), world.ExactLam()
    fixed.budgets = (2,)
    models = {"flex": lam, "fixed": fixed}
    # The truth, k = 1, 2 and 3 of one, and k = 2 of the other.
    assert frames_within(models, (), 2, pixels=100 * 16 * 16) == 10
    assert frames_within(models, (3,), 1, pixels=100 * 16 * 16) == 100 // 3
    assert frames_within(models, (), 1, pixels=1) == 2 and frames_within(models, (), 1) == 240


def test_each_model_is_shown_at_the_length_that_the_slider_allows(world):
    transitions = world.transitions(7, 3)["frames"]
    fixed = world.ExactLam()
    fixed.budgets = (2,)
    steps = range(0, 14, 2)
    clip = clip_of(
        {"flex": world.ExactLam(), "mine": fixed},
        transitions,
        steps,
        14,
        "clip",
        fps=30.0,
        titles={"mine": "mine (fixed capacity)"},
    )
    assert clip.slider.values == [1, 2, 3] and (clip.fps, clip.length) == (15.0, 14)
    true, flex, mine = clip.screens
    assert [list(screen.shown) for screen in clip.screens] == [[0, 0, 0], [0, 1, 2], [0, 0, 0]]
    assert mine.label == "mine (fixed capacity)" and mine.compared and not true.compared
    np.testing.assert_array_equal(true.reels[0].frames, transitions[:, 1])
    np.testing.assert_array_equal(flex.reels[2].frames, transitions[:, 1])
    assert np.abs(flex.reels[0].frames.astype(int) - transitions[:, 1]).max() > 0
    assert flex.reels[1].notes[0] == mine.reels[0].notes[0] == "k = 2: 100.0 dB"
    assert true.reels[0].notes[0].startswith("copying: ")


def test_large_and_grey_frames_are_shown_small_and_in_colour(world):
    class Copy:
        slots, budgets = 1, (1,)
        frame_shape = (100, 320, 1)
        encode_with_ids = staticmethod(lambda o_t, o_next: (np.zeros((len(o_t), 1, 1)), None))
        null_fill = staticmethod(lambda slots, k: slots)
        decode = staticmethod(lambda o_t, codes: o_t / np.float32(255))

    frames = np.random.default_rng(0).integers(0, 255, (2, 2, 100, 320, 1), np.uint8)
    clip = clip_of({"m": Copy()}, frames, [0, 1], 2, "clip")
    assert clip.screens[0].reels[0].frames.shape == (2, 50, 160, 3)
    assert clip.slider.values == [1] and clip.fps == 10.0
    means = clip.screens[1].reels[0].frames.mean((1, 2, 3))
    assert means == pytest.approx(frames[:, 0].mean((1, 2, 3)), abs=1)

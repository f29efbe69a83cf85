"""What is drawn: where the mask says, as the state says, and nothing else."""

import numpy as np
import pytest

from data_pipelines.distractors import flicker, sprites, walker
from data_pipelines.distractors.composite import KINDS, columns, distract, distractors
from data_pipelines.distractors.moves import Moves

SIZE, LENGTH = 48, 30
SEED = (3, 1, 4)


def scene():
    """Frames of noise that nothing added can look like, and where they show what is far."""
    rng = np.random.default_rng(0)
    frames = rng.integers(90, 110, (LENGTH, SIZE, SIZE, 3), dtype=np.uint8)
    far = np.zeros((LENGTH, SIZE, SIZE, 1), np.uint8)
    far[:, :20] = 255
    return frames, far


def moves(chi=0.0, seed=0):
    angle = np.random.default_rng(seed).uniform(0, 2 * np.pi, LENGTH - 1)
    return Moves(np.stack([np.cos(angle), np.sin(angle)], 1), chi, 0.0)


def added(kinds, strength=0.5, **more):
    return distractors(moves(**more), SIZE, dict.fromkeys(kinds, strength), SEED)


@pytest.mark.parametrize("kind", ["sprites", "agent", "background"])
def test_outside_the_mask_every_frame_is_as_it_was(kind):
    frames, far = scene()
    before = frames.copy()
    drawn = distract(frames, added([kind]), far)
    np.testing.assert_array_equal(frames, before)
    assert set(np.unique(drawn.mask)) == {0, 255} and drawn.mask.shape == (*frames.shape[:3], 1)
    covered = drawn.mask[..., 0] > 0
    np.testing.assert_array_equal(drawn.frames[~covered], frames[~covered])
    assert (drawn.frames[covered] != frames[covered]).any(-1).mean() > 0.9
    assert covered.any((1, 2)).all()
    if kind == "background":
        np.testing.assert_array_equal(covered, far[..., 0] > 0)


def test_flicker_is_in_no_mask_and_is_the_gains_of_the_state():
    frames, _ = scene()
    light = added(["flicker"], 1.0)
    drawn = distract(frames, light)
    assert not drawn.mask.any()
    gains = flicker.gains(light.state, 1.0)
    expected = np.clip(np.rint(frames * gains[:, None, None]), 0, 255)
    np.testing.assert_array_equal(drawn.frames, expected)
    assert (drawn.frames != frames).any((1, 2, 3)).all()


def test_the_light_falls_on_other_distractors_too():
    frames, _ = scene()
    both = added(["sprites", "flicker"])
    alone = distract(frames, added(["sprites"]))
    drawn = distract(frames, both)
    light = added(["flicker"])
    np.testing.assert_array_equal(drawn.frames, distract(alone.frames, light).frames)
    np.testing.assert_array_equal(drawn.mask, alone.mask)


def test_a_sprite_is_where_its_state_says_and_moves_by_its_move():
    frames, _ = scene()
    process = added(["sprites"])
    state = process.state.reshape(LENGTH, sprites.COUNT, 4)
    step = (state[1:, :, :2] - state[:-1, :, :2] - state[1:, :, 2:] + SIZE / 2) % SIZE - SIZE / 2
    np.testing.assert_allclose(step, 0, atol=1e-4)
    side = round(sprites.LARGEST * 0.5 * SIZE)
    box = np.zeros((LENGTH, SIZE, SIZE), bool)
    for t in range(LENGTH):
        for x, y in np.floor(state[t, :, :2]).astype(int):
            box[t][np.ix_((y + np.arange(side)) % SIZE, (x + np.arange(side)) % SIZE)] = True
    mask = distract(frames, process).mask[..., 0] > 0
    assert not mask[~box].any() and mask[box].mean() > 0.4


def test_the_background_is_one_pattern_scrolled_as_the_state_says():
    frames, far = scene()
    process = added(["background"], 1.0)
    drawn = distract(frames, process, np.full_like(far, 255)).frames
    x, y = np.floor(process.state[:, :2]).astype(int).T
    for t in range(LENGTH):
        np.testing.assert_array_equal(
            np.roll(drawn[t], (-y[t], -x[t]), (0, 1)), drawn_at_zero(drawn, x, y)
        )
    assert len(set(zip(x, y, strict=True))) > LENGTH / 2 and drawn[0].std() > 30


def drawn_at_zero(drawn, x, y):
    return np.roll(drawn[0], (-y[0], -x[0]), (0, 1))


def test_the_walker_stands_on_the_floor_and_is_larger_when_near():
    frames, _ = scene()
    process = added(["agent"], 1.0)
    names = dict(zip(walker.COLUMNS, process.state.T, strict=True))
    mask = distract(frames, process).mask[..., 0] > 0
    heights = mask.any(2).sum(1)
    assert (mask[:, : SIZE // 4].sum() == 0) or names["walker_depth"].min() < 0.5
    far = names["walker_depth"]
    assert far.min() >= 0 and far.max() <= 1 and np.corrcoef(heights, far)[0, 1] < -0.9
    lowest = SIZE - 1 - mask.any(2)[:, ::-1].argmax(1)
    expected = np.round(SIZE / 2 * (1 + 1 / (1 + 3 * far))) - 1
    np.testing.assert_allclose(lowest, expected, atol=1)
    steps = np.hypot(names["walker_dx"] / SIZE, names["walker_ddepth"])
    assert steps.max() < walker.SPEED * 1.001 and (steps > 0.5 * walker.SPEED).mean() > 0.5


@pytest.mark.parametrize("way, end", [(1.0, 1.0), (-1.0, 0.0)])
def test_the_walkers_floor_ends(way, end):
    away = Moves(np.tile([0.0, way], (2 * LENGTH, 1)), correlation=1.0)
    state = distractors(away, SIZE, {"agent": 0.5}, SEED).state
    _, depth, _, moved = state[:, :4].T
    assert depth[-1] == end and moved[-1] == 0 and 0 <= depth.min() and depth.max() <= 1
    np.testing.assert_allclose(moved[1], way * walker.SPEED, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_strength_is_how_much_is_changed(kind):
    """At 0 nothing is, and what is drawn does the same at any strength."""
    frames, far = scene()
    changed, states = [], []
    for strength in (0.0, 0.3, 1.0):
        process = added([kind], strength)
        drawn = distract(frames, process, far)
        changed.append(np.abs(drawn.frames.astype(int) - frames).mean())
        states.append(process.state)
    assert changed[0] == 0 and 2 * changed[1] < changed[2]
    np.testing.assert_array_equal(states[0], states[1])
    np.testing.assert_array_equal(states[0], states[2])
    assert not distract(frames, added([kind], 0.0), far).mask.any()


@pytest.mark.parametrize("kind", KINDS)
def test_at_correlation_one_the_moves_are_a_function_of_the_actions(kind):
    place = slice(0, 2) if kind == "flicker" else slice(2, 4)
    whole = [distractors(moves(1.0), SIZE, {kind: 0.5}, seed).state for seed in ((1,), (2,))]
    other = distractors(moves(1.0, seed=9), SIZE, {kind: 0.5}, (1,)).state
    one, two, other = (state[1:, place] for state in (*whole, other))
    if kind == "agent":  # its floor ends
        one, two, other = one[:, :1], two[:, :1], other[:, :1]
    np.testing.assert_allclose(one, two, atol=1e-4)
    assert np.abs(one - other).max() > 0.1


def test_every_kind_does_the_same_whether_others_are_there_or_not():
    together = added(KINDS)
    names = columns(dict.fromkeys(KINDS, 0.5))
    assert len(names) == len(set(names)) == together.state.shape[1]
    assert np.isfinite(together.state).all() and together.state.dtype == np.float32
    for kind in KINDS:
        alone = [names.index(name) for name in KINDS[kind].columns]
        np.testing.assert_array_equal(together.state[:, alone], added([kind]).state)


@pytest.mark.parametrize("kind", KINDS)
def test_equal_seeds_give_equal_pixels_and_others_do_not(kind):
    frames, far = scene()
    one, same = (distract(frames, added([kind]), far) for _ in range(2))
    np.testing.assert_array_equal(one.frames, same.frames)
    other = distract(frames, distractors(moves(), SIZE, {kind: 0.5}, (3, 1, 5)), far)
    changed = (one.mask > 0) | (other.mask > 0) | (kind == "flicker")
    assert (one.frames != other.frames)[changed[..., 0]].mean() > 0.5


def test_sprites_differ_in_place_and_move():
    state = added(["sprites"]).state.reshape(LENGTH, sprites.COUNT, 4)
    assert len(np.unique(state[0, :, :2], axis=0)) == sprites.COUNT
    moved = state[1:, :, 2].T
    assert np.abs(np.corrcoef(moved) - np.eye(sprites.COUNT)).max() < 0.6


@pytest.mark.parametrize("size", [1, 7, 16])
def test_tiny_frames(size):
    frames = np.full((LENGTH, size, size, 3), 100, np.uint8)
    process = distractors(moves(), size, dict.fromkeys(KINDS, 1.0), SEED)
    drawn = distract(frames, process, np.full((LENGTH, size, size, 1), 255, np.uint8))
    assert drawn.frames.shape == frames.shape

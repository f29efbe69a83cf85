"""A world of tokens: its frames are those of the whole history, its states places to go back to."""

import functools

import jax
import numpy as np
import pytest

from flexlam_jax.world.world import World
from tests.models.tiny_tokenizers import SPACETIME
from tests.untrained import SIZE
from tests.world.tiny_world import tiny_world

B, START, T, K, D = 2, 2, 5, 3, 2
_RNG = np.random.default_rng(0)
FRAMES = _RNG.integers(0, 256, (B, START, SIZE, SIZE, 3), dtype=np.uint8)
CODES = _RNG.normal(size=(T, B, K, D)).astype(np.float32)


@pytest.fixture(scope="module")
def world():
    return tiny_world(SPACETIME)


@pytest.fixture(scope="module")
def state(world):
    return world.start(FRAMES)


def near(one, other):
    """The same frame, where two programs may round apart."""
    return np.abs(one.astype(int) - other.astype(int)).max() <= 1


def test_it_is_a_world(world):
    assert isinstance(world, World)
    assert (world.frame_shape, world.slots, world.slot_width) == ((SIZE, SIZE, 3), K, D)
    assert (world.history, world.sampling_steps, world.budgets) == (3, 2, (1, 2, 3))
    assert world.lam["fingerprint"] == world.latent_actions.fingerprint()


@pytest.mark.parametrize("drafts", [False, True])
def test_frames_are_those_of_reading_the_whole_history(drafts):
    """Without the caches of the dynamics and of the decoder; the start's actions are inferred. A draft
    goes on from the frame before as it was shown."""
    world = tiny_world(SPACETIME, drafts=drafts)
    state = world.start(FRAMES)
    keep = np.array([1, K])
    ids = np.zeros((B, T, world.tokenizer.tokens), np.int32)
    ids[:, :START] = world.tokenizer.encode(FRAMES)
    actions = np.zeros((B, T - 1, K, D), np.float32)
    actions[:, 0] = world.latent_actions.encode(FRAMES[:, 0], FRAMES[:, 1])
    forward = jax.jit(functools.partial(world.dynamics.apply, world.variables["dynamics"]))
    drawn = np.zeros((B, T - 1, ids.shape[-1]), np.int32) if drafts else None

    def draft(time):
        before = world.tokenizer.decode(ids)[:, time - 1]
        made = world.latent_actions.decode(before, actions[:, time - 1])
        return world.tokenizer.encode(np.round(made * 255).astype(np.uint8)[:, None])[:, 0]

    if drafts:
        drawn[:, 0] = draft(1)
    kept = set()
    for time in range(START, T):
        shown, state = world.step(state, CODES[time], keep, steps=1, temperature=0.0)
        actions[:, time - 1] = world.latent_actions.null_fill(CODES[time], keep)
        if drafts:
            drawn[:, time - 1] = draft(time)
        hidden = np.broadcast_to((np.arange(T) == time)[:, None], ids.shape)
        ids[:, time] = forward(ids, hidden, actions, drawn)[:, time - 1].argmax(-1)
        assert shown.dtype == np.uint8 and near(shown, world.tokenizer.decode(ids)[:, time])
        kept.add(shown.tobytes())
    assert len(kept) == T - START


def test_a_state_is_a_place_to_go_back_to_and_the_seed_decides_the_rest(world, state):
    first, then = world.step(state, CODES[0], seed=3)
    second, _ = world.step(then, CODES[1], seed=3)
    again, _ = world.step(state, CODES[0], seed=3)
    np.testing.assert_array_equal(first, again)
    others = [world.step(state, CODES[0], seed=seed, temperature=5.0)[0] for seed in range(4)]
    assert len({frames.tobytes() for frames in others}) > 1
    assert second.shape == first.shape and then.cache.count.tolist() == [3, 3]
    alone, _ = world.step(world.start(FRAMES[:1]), CODES[0, :1], seed=3)
    assert near(alone[0], first[0])


def test_slots_that_do_not_count_change_nothing(world, state):
    def shown(codes, keep):
        return world.step(state, codes, keep, steps=1, temperature=0.0)[0]

    other = CODES[0].copy()
    other[:, 1:] += 9
    np.testing.assert_array_equal(shown(CODES[0], 1), shown(other, 1))
    far = [shown(30 * CODES[time], K) for time in range(T)]
    assert any((frames != far[0]).any() for frames in far[1:])


def test_true_actions_in_raster_order():
    world = tiny_world(action="true", kind="causal", context="shown")
    assert isinstance(world, World)
    assert (world.history, world.sampling_steps, world.budgets, world.lam) == (1, 0, (1,), {})
    with pytest.raises(ValueError, match="each of 1 to 1 frames"):
        world.start(FRAMES)
    state = world.start(FRAMES[:, :1])
    action = np.eye(4, dtype=np.float32)[[1, 2], None]
    frames, after = world.step(state, action, seed=1)
    np.testing.assert_array_equal(frames, world.step(state, action, seed=1, steps=9)[0])
    assert frames.shape == (B, SIZE, SIZE, 3) and after.cache.count.tolist() == [2, 2]


@pytest.mark.parametrize(
    "given, message",
    [
        ({"codes": CODES[0, :, :2]}, r"codes are float32 of shape \(2, 2, 2\); give .*\(2, 3, 2\)"),
        ({"codes": np.full((B, K, D), np.nan, np.float32)}, "codes hold NaN or infinity"),
        ({"keep": 4}, "keep is int64 .*, 4..4; give whole numbers from 0 to 3"),
        ({"steps": 26}, "steps=26: a frame is sampled in 1 to 25 steps"),
        ({"steps": 1.5}, "steps=1.5 is no whole number"),
        ({"temperature": -1.0}, "temperature=-1.0; give a number of 0 or more"),
        ({"seed": -1}, "seed=-1; give a whole number from 0 to 2.32 - 1"),
    ],
)
def test_what_a_step_refuses(world, state, given, message):
    with pytest.raises(ValueError, match=message):
        world.step(state, **{"codes": CODES[0], **given})


def test_what_a_start_refuses(world):
    with pytest.raises(ValueError, match="each of 1 to 3 frames"):
        world.start(np.repeat(FRAMES, 2, axis=1))
    with pytest.raises(ValueError, match=r"starts from uint8 \(B, T0, 16, 16, 3\)"):
        world.start(FRAMES[:, :, :8])

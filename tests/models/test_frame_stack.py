"""The trunk of policies: what a time reads, and what it does not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flexlam_jax.errors import ConfigError
from flexlam_jax.models.frame_stack import FrameStackTrunk, stack_frames
from tests.models.tiny_lam import randomised

TINY = FrameStackTrunk(stack=3, patch=4, channels=8, coarse=8, width=16)


@pytest.fixture(scope="module")
def frames():
    return np.random.default_rng(0).integers(0, 256, (2, 5, 16, 16, 3), np.uint8)


@pytest.fixture(scope="module")
def trunk(frames):
    variables = randomised(jax.jit(TINY.init)(jax.random.key(0), frames))
    return jax.jit(lambda x: TINY.apply(variables, x))


def test_a_stack_holds_the_frames_that_end_with_its_time_and_repeats_the_first(frames):
    stacked = np.asarray(stack_frames(jnp.asarray(frames), 3))
    assert stacked.shape == (2, 5, 16, 16, 9)
    for time, held in [(0, (0, 0, 0)), (1, (0, 0, 1)), (4, (2, 3, 4))]:
        np.testing.assert_array_equal(
            stacked[:, time], np.concatenate([frames[:, i] for i in held], axis=-1)
        )


def test_a_time_reads_its_own_stack_only(frames, trunk):
    changed = frames.copy()
    changed[:, 1] = 255 - changed[:, 1]
    moved = np.abs(np.asarray(trunk(changed)) - np.asarray(trunk(frames))).max(axis=(0, 2))
    assert trunk(frames).shape == (2, 5, 16)
    assert moved[0] == 0 and moved[4] == 0 and moved[1:4].min() > 1e-3


def test_bytes_and_floats_are_the_same_frames(frames, trunk):
    np.testing.assert_allclose(
        trunk(frames), trunk((frames / 255).astype(np.float32)), rtol=1e-4, atol=1e-4
    )


def test_the_last_time_alone_is_the_last_of_all(frames, trunk):
    variables = randomised(jax.jit(TINY.init)(jax.random.key(0), frames))
    last = jax.jit(lambda x: TINY.apply(variables, x, last=True))
    np.testing.assert_allclose(last(frames), trunk(frames)[:, -1:], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(last(frames[:, :2]), trunk(frames)[:, 1:2], rtol=1e-5, atol=1e-5)


def test_frames_that_do_not_split_into_cells():
    with pytest.raises(ConfigError, match="trunk.patch=4 does not fit 12x16 .* multiples of 8"):
        jax.eval_shape(TINY.init, jax.random.key(0), jnp.zeros((1, 2, 12, 16, 3)))

"""Space-time blocks: what sees what, and that going on frame by frame changes nothing."""

import dataclasses
import functools
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flexlam_jax.errors import ConfigError
from flexlam_jax.models.spacetime import SpaceTimeStack
from flexlam_jax.models.transformer import BlockSettings
from flexlam_jax.parallel import sharding
from tests.models.tiny_lam import randomised

B, T, N, M, WINDOW = 2, 6, 3, 8, 3
BLOCK = BlockSettings(heads=2, mlp_hidden=16)
STACK = SpaceTimeStack(width=M, layers=2, window=WINDOW, block=BLOCK)


@pytest.fixture(scope="module")
def variables():
    return randomised(jax.jit(STACK.init)(jax.random.key(0), jnp.zeros((1, 2, N, M))), scale=0.3)


@pytest.fixture(scope="module")
def clips():
    return jax.random.normal(jax.random.key(1), (B, T, N, M))


@pytest.fixture(scope="module")
def whole(variables, clips):
    """What the stack makes of whole clips."""
    return np.asarray(jax.jit(STACK.apply)(variables, clips))


@pytest.fixture(scope="module")
def step(variables):
    return jax.jit(functools.partial(STACK.apply, variables, method="step"))


def read(stack, variables, clips):
    return jax.jit(functools.partial(stack.apply, method="read"))(variables, clips)


def test_frame_by_frame_gives_what_the_clip_gives(clips, whole, step):
    cache = STACK.start(B, N)
    for time in range(T):  # Twice as many as the cache holds.
        x = clips[:, time, None]
        step(x + 1, cache)  # A draft, which leaves no trace.
        y, frame = step(x, cache)
        np.testing.assert_allclose(y[:, 0], whole[:, time], atol=2e-5)
        cache = cache.write(frame)


@pytest.mark.parametrize("start", [1, 2, 5])
def test_going_on_after_a_start_of_any_length(variables, clips, whole, step, start):
    y, cache = read(STACK, variables, clips[:, :start])
    np.testing.assert_allclose(y, whole[:, :start], atol=2e-5)
    y, _ = step(clips[:, start, None], cache)
    np.testing.assert_allclose(y[:, 0], whole[:, start], atol=2e-5)


def test_rows_have_counts_of_their_own(variables, clips, whole, step):
    """One row is at its second frame, the other at its fifth."""
    caches = [read(STACK, variables, clips[row : row + 1, :n])[1] for row, n in enumerate((1, 4))]
    both = jax.tree.map(lambda a, b: jnp.concatenate([a, b], axis=0 if a.ndim == 1 else 1), *caches)
    y, frame = step(jnp.stack([clips[0, 1, None], clips[1, 4, None]]), both)
    np.testing.assert_allclose(y[:, 0], np.stack([whole[0, 1], whole[1, 4]]), atol=2e-5)
    y, _ = step(jnp.stack([clips[0, 2, None], clips[1, 5, None]]), both.write(frame))
    np.testing.assert_allclose(y[:, 0], np.stack([whole[0, 2], whole[1, 5]]), atol=2e-5)


def test_frames_that_are_kept_apart(variables, clips):
    apart = STACK.clone(window=1)
    y, cache = read(apart, variables, clips)
    alone, _ = read(apart, variables, clips[:, 3, None])
    np.testing.assert_allclose(y[:, 3], alone[:, 0], atol=2e-5)
    step = jax.jit(functools.partial(apart.apply, variables, method="step"))
    again, frame = step(clips[:, 3, None], cache)
    np.testing.assert_allclose(again[:, 0], alone[:, 0], atol=2e-5)
    assert cache.write(frame).count.tolist() == [T + 1, T + 1]


@pytest.mark.parametrize("space_causal", [False, True])
def test_what_a_frame_sees(variables, clips, space_causal):
    """Two blocks with a window of 3 look back 4 frames; in the frame all, or those before."""
    stack = STACK.clone(space_causal=space_causal)
    seen = jax.jit(jax.jacobian(lambda x: stack.apply(variables, x).sum(-1)))(clips[:1])
    seen = np.abs(seen).max((0, 3, 6)) > 0  # (T, N) of the output by (T, N) of the input.
    back = np.subtract.outer(np.arange(T), np.arange(T))
    in_time = (back >= 0) & (back <= 2 * (WINDOW - 1))
    in_space = np.tri(N, dtype=bool) if space_causal else np.ones((N, N), bool)
    np.testing.assert_array_equal(seen, in_time[:, None, :, None] & in_space[None, :, None])


def test_recomputation_changes_no_gradient(variables, clips):
    def gradient(**changes):
        stack = STACK.clone(block=dataclasses.replace(BLOCK, **changes))
        return jax.jit(jax.grad(lambda v: jnp.square(stack.apply(v, clips)).sum()))(variables)

    for a, b in zip(*map(jax.tree.leaves, (gradient(), gradient(remat="mlp"))), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def test_the_sharding_rules_know_its_names(variables):
    mesh = types.SimpleNamespace(shape={"slice": 1, "data": 1, "fsdp": 1, "model": 2})
    split = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(variables):
        name = sharding.path_name(path)
        if name.endswith("kernel"):
            split[name] = "model" in sharding.leaf_spec(name, leaf.shape, mesh)
    assert len(split) == 6 and all(split.values()), split


def test_heads_that_cannot_be_rotated():
    with pytest.raises(
        ConfigError, match="width=10 does not split into heads=2 heads of an even width"
    ):
        STACK.clone(width=10).init(jax.random.key(0), jnp.zeros((1, 1, N, 10)))

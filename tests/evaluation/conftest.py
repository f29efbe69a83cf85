"""A latent action model that is right by construction, and data it is right about."""

import types

import jax
import numpy as np
import pytest

SIZE, SLOTS, CODES = 16, 3, 4


class ExactLam:
    """Transition: o_next = o_t + 20 * (code of slot 1) + 5 * (code of slot 2), codes in 0..3.

    Slot 3 is constant. The null latent is 0, so a shorter prefix misses what its slots add.
    """

    slots, slot_width, codebook_size, bits_per_slot = SLOTS, 1, CODES, 2.0
    step, budgets, null = 7, (1, 2, 3), np.zeros(1, np.float32)
    chooses = False
    frame_shape = (SIZE, SIZE, 3)
    config = {
        "model": {
            "quantizer": {"kind": "fsq"},
            "encoder": {"kind": "motion"},
            "decoder": {"kind": "motion"},
            "keep": {"kind": "uniform"},
        }
    }

    def encode_with_ids(self, o_t, o_next):
        change = (o_next.astype(int) - o_t)[:, 0, 0, 0]
        ids = np.stack([change // 20, change % 20 // 5, np.zeros_like(change)], 1).astype(np.int32)
        return ids[..., None].astype(np.float32), ids

    def null_fill(self, codes, keep):
        return np.where((np.arange(SLOTS) < keep)[None, :, None], codes, self.null)

    def decode(self, o_t, codes):
        change = 20 * codes[:, 0, 0] + 5 * codes[:, 1, 0]
        return (o_t + change[:, None, None, None]).astype(np.float32) / 255


class ContinuousLam(ExactLam):
    codebook_size = bits_per_slot = None
    config = {"model": ExactLam.config["model"] | {"quantizer": {"kind": "none"}}}

    def encode_with_ids(self, o_t, o_next):
        return super().encode_with_ids(o_t, o_next)[0], None


def make_transitions(count, seed, continuous=False):
    """Batches' fields as whole arrays; the discrete action is the code of slot 1."""
    rng = np.random.default_rng(seed)
    first = rng.integers(0, 170, (count, SIZE, SIZE, 3), dtype=np.uint8)
    codes = rng.integers(0, CODES, (count, 2))
    second = first + (20 * codes[:, 0] + 5 * codes[:, 1])[:, None, None, None].astype(np.uint8)
    action = codes[:, :1].astype(np.int32)
    if continuous:
        action = np.stack([codes[:, 0] - 1.0, 100 * codes[:, 1]], 1)[:, None].astype(np.float32)
    return {
        "frames": np.stack([first, second], 1),
        "action": action,
        "episode": np.sort(rng.integers(0, 10, count)),
        "t": np.arange(count, dtype=np.int32),
        "dataset": np.zeros(count, np.int32),
    }


def in_batches(transitions, size=64):
    for start in range(0, len(transitions["t"]), size):
        yield {key: value[start : start + size] for key, value in transitions.items()}


@pytest.fixture(scope="module", autouse=True)
def optimised():
    """Probes are fitted for real here: running takes longer than compiling."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


@pytest.fixture(scope="session")
def world():
    return types.SimpleNamespace(
        ExactLam=ExactLam,
        ContinuousLam=ContinuousLam,
        transitions=make_transitions,
        batches=in_batches,
    )

"""keep="auto": as many slots as the head of the checkpoint says a transition needs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import flexlam_jax
from flexlam_jax.checkpoints.subtrees import with_subtree
from flexlam_jax.errors import CheckpointError
from flexlam_jax.models.gain_head import PATH, GainHead
from flexlam_jax.training.checkpoint import Checkpoints
from flexlam_jax.training.state import TrainState
from tests.untrained import MODEL, SIZE, save_run, variables_of

BUDGETS = (1, 2, 3)


@pytest.fixture(scope="module")
def frames():
    return np.random.default_rng(0).integers(0, 256, (2, 70, SIZE, SIZE, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def run(tmp_path_factory, frames):
    """A checkpoint whose head, of random weights, finds transitions different."""
    slots = np.zeros((1, 3, 2), np.float32)
    head = jax.jit(GainHead().init)(jax.random.key(1), slots, *frames[:, :1])["params"]
    head["gains"]["kernel"] *= 30
    params = with_subtree(variables_of(MODEL, 2)["params"], PATH, head)
    state = TrainState(step=jnp.int32(2), params=params, extra={}, opt_state={}, ema=None)
    folder = tmp_path_factory.mktemp("run")
    config = {"seed": 0, "model": MODEL, "loss": {"gain": True}}
    with Checkpoints(folder / "checkpoints") as checkpoints:
        checkpoints.save(state, {"next_index": 2}, config)
    return folder


@pytest.fixture(scope="module")
def lam(run):
    return flexlam_jax.load(run)


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    return flexlam_jax.load(save_run(tmp_path_factory.mktemp("old")))


def test_the_least_budget_within_the_tolerance_is_kept(lam, frames):
    lacks = lam.shortfall(lam.encode(*frames), *frames)
    assert lam.chooses and lacks.shape == (70, 3)
    assert (np.diff(lacks) <= 0).all() and (lacks[:, -1] == 0).all()
    tolerance = float(np.median(lacks[:, 0]))
    budget = lam.budget(*frames, tolerance)
    assert budget.dtype == np.int32 and set(budget) <= set(BUDGETS) and len(set(budget)) > 1
    chosen = lacks[np.arange(70), budget - 1]
    below = lacks[np.arange(70), np.maximum(budget - 2, 0)]
    assert (chosen <= tolerance).all() and (below[budget > 1] > tolerance).all()
    np.testing.assert_array_equal(
        lam.encode(*frames, keep="auto", tolerance=tolerance), lam.encode(*frames, keep=budget)
    )
    np.testing.assert_array_equal(
        lam.tokens(*frames, keep="auto", tolerance=tolerance), lam.tokens(*frames, keep=budget)
    )


def test_from_all_slots_to_the_fewest(lam, frames):
    assert (lam.budget(*frames, 0) == 3).all() and (lam.budget(*frames, 1e6) == 1).all()


def test_single_frames_and_a_callers_jit(lam, frames):
    o_t, o_next = frames[:, :3]
    tolerance = float(np.median(lam.shortfall(lam.encode(o_t, o_next), o_t, o_next)[:, 0]))
    batch = lam.budget(o_t, o_next, tolerance)
    assert lam.budget(o_t[1], o_next[1], tolerance) == batch[1]
    jitted = jax.jit(lambda a, b, x: (lam.budget(a, b, x), lam.encode(a, b, "auto", x)))
    budget, codes = jitted(o_t, o_next, tolerance)
    np.testing.assert_array_equal(budget, batch)
    np.testing.assert_allclose(codes, lam.encode(o_t, o_next, "auto", tolerance), atol=1e-6)


def test_the_head_is_no_part_of_what_made_the_codes(lam, old, frames):
    assert lam.fingerprint() == old.fingerprint()
    np.testing.assert_array_equal(lam.encode(*frames, keep=2), old.encode(*frames, keep=2))


def test_old_checkpoints_say_what_they_lack(old, frames):
    assert not old.chooses
    for call in (old.encode, old.tokens):
        with pytest.raises(CheckpointError, match="keep='auto'.*loss.gain=True.*fit the head"):
            call(*frames, keep="auto", tolerance=0.1)
    with pytest.raises(CheckpointError, match="loss.gain=True"):
        old.budget(*frames, 0.1)


@pytest.mark.parametrize(
    "given, message",
    [
        ({"keep": "all", "tolerance": 0.1}, "keep='all': give a number of slots, 'auto' or None"),
        ({"keep": "auto"}, "tolerance=None: give the dB"),
        ({"keep": "auto", "tolerance": -0.1}, "tolerance=-0.1: give the dB"),
        ({"keep": "auto", "tolerance": float("nan")}, "tolerance=nan: give the dB"),
        ({"keep": 2, "tolerance": 0.1}, "tolerance=0.1 is for keep='auto', and keep is 2"),
    ],
)
def test_wrong_arguments_are_named(lam, frames, given, message):
    for call in (lam.encode, lam.tokens):
        with pytest.raises(ValueError, match=message):
            call(*frames, **given)

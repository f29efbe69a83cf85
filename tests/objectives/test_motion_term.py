"""Local motion as a second target: read from the code alone, and gone after training."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import flexlam_jax
from flexlam_jax.checkpoints.subtrees import subtree, with_subtree
from flexlam_jax.errors import ConfigError
from flexlam_jax.models.heads import HEADS
from flexlam_jax.models.lam import build_lam
from flexlam_jax.models.motion_head import MotionHead
from flexlam_jax.objectives.lam import lam_objective
from flexlam_jax.training.checkpoint import Checkpoints
from flexlam_jax.training.state import TrainState
from tests.models.tiny_lam import random_frames, tiny_config
from tests.untrained import MODEL, SIZE, variables_of

BATCH = {"frames": random_frames((4, 2, 16, 16, 3))}
WEIGHT = {"motion": 0.5}
PATH = f"{HEADS}/motion"


def test_the_target_is_where_windows_moved():
    frames = random_frames((1, 64, 64, 3)).repeat(2, 1)[:, :64] / np.float32(255)
    moved = np.roll(frames, 6, axis=2)  # Three pooled pixels to the right.
    head = MotionHead()
    target = np.asarray(head.target(frames, moved))
    assert target.shape == (1, 4, 8, head.shifts)
    np.testing.assert_allclose(target.sum(-1), 1, rtol=1e-4)
    shift = np.unravel_index(target[0, :, 2:6].argmax(-1), (5, 17))
    assert (shift[0] == 2).all() and (shift[1] == 8 + 3).all()


@pytest.mark.parametrize("prefixes", [1, 2])
def test_the_term_trains_encoder_and_head_but_reads_no_frame_beside_the_code(prefixes):
    config = tiny_config(prefixes=prefixes, keep={"kind": "fixed", "count": 1})
    objective = lam_objective(build_lam(config), config, WEIGHT, clip_length=2)
    variables = dict(jax.jit(objective.init)(jax.random.key(0), BATCH))
    extra = {k: v for k, v in variables.items() if k != "params"}

    def term(params, name="motion"):
        return objective.outcome(params, extra, BATCH, jax.random.key(1)).terms[name].value

    value, gradient = jax.jit(jax.value_and_grad(term))(variables["params"])
    assert 0 < value < np.log(MotionHead().shifts)
    assert _size(gradient["encoder"]) > 0 and _size(subtree(gradient, PATH)) > 0
    assert _size(gradient["decoder"]) == _size(gradient["null"]) == 0
    assert objective.coefficients["motion"] == 0.5


def test_a_suffix_that_is_cut_tells_nothing():
    head = MotionHead()
    slots = jax.random.normal(jax.random.key(0), (2, 3, 2))
    keep = jnp.asarray([1, 2])
    params = head.init(jax.random.key(1), slots, keep)
    gradient = jax.grad(lambda x: jnp.square(head.apply(params, x, keep)).sum())(slots)
    assert (np.abs(gradient).sum(-1) > 0).tolist() == [[True, False, False], [True, True, False]]


def test_a_checkpoint_loads_as_without_the_head(tmp_path):
    variables = variables_of(MODEL, 2)
    slots = jnp.zeros((1, 3, 2))
    head = MotionHead().init(jax.random.key(1), slots, jnp.zeros(1, int))["params"]
    loaded = []
    for name, loss, params in (
        ("plain", {}, variables["params"]),
        ("motion", WEIGHT, with_subtree(variables["params"], PATH, head)),
        ("mine", {}, with_subtree(variables["params"], f"{HEADS}/mine", head)),
    ):
        state = TrainState(step=jnp.int32(2), params=params, extra={}, opt_state={}, ema=None)
        with Checkpoints(tmp_path / name / "checkpoints") as checkpoints:
            config = {"seed": 0, "model": MODEL, "loss": loss}
            checkpoints.save(state, {"next_index": 2}, config)
        loaded.append(flexlam_jax.load(tmp_path / name))
    frames = random_frames((2, 2, SIZE, SIZE, 3))
    plain, *others = (np.asarray(lam.encode(frames[0], frames[1])) for lam in loaded)
    for codes in others:
        np.testing.assert_array_equal(codes, plain)
    assert len({lam.fingerprint() for lam in loaded}) == 1


def test_frames_that_the_windows_do_not_divide():
    config = tiny_config(image_size=24)
    objective = lam_objective(build_lam(config), config, WEIGHT, clip_length=2)
    with pytest.raises(ConfigError, match=r"loss\.motion does not fit 24x24"):
        objective.init(jax.random.key(0), {"frames": random_frames((1, 2, 24, 24, 3))})


def _size(tree):
    return sum(float(jnp.abs(leaf).sum()) for leaf in jax.tree.leaves(tree))

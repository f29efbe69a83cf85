"""A trained policy as rollouts use it."""

import jax
import numpy as np
import pytest

import flexlam_jax
from flexlam_jax.checkpoints.write import save_model
from flexlam_jax.errors import CheckpointError, UserError
from flexlam_jax.loading.behaviour_cloning import LoadedBehaviourCloning
from flexlam_jax.models.behaviour_cloning import build_behaviour_cloning
from flexlam_jax.output_folder import Kind
from tests.models.test_behaviour_cloning import TINY
from tests.models.tiny_lam import randomised

KIND = Kind("behaviour_cloning", "a policy", "--workdir", lambda folder: False)
FRAMES = np.random.default_rng(0).integers(0, 256, (5, 3, 16, 16, 3), np.uint8)
SEEDS = np.zeros(5, np.uint32)


def saved(folder, **change):
    """(policy, its outputs for every time of FRAMES), written and loaded."""
    section = {**TINY, "discrete": True, **change}
    model = build_behaviour_cloning(section)
    variables = randomised(jax.jit(model.init)(jax.random.key(0), FRAMES))
    save_model(folder, KIND, variables, {"model": section})
    return flexlam_jax.load(folder), np.asarray(model.apply(variables, FRAMES))


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("policy") / "run")


def test_it_decides_what_the_network_says_of_the_last_frame(policy):
    policy, outputs = policy
    assert type(policy) is LoadedBehaviourCloning and policy.step == 0
    assert policy.action_names == ("left", "right", "shoot")
    assert (policy.history, policy.image_size) == (3, (16, 16))
    decision = policy.decide(FRAMES, SEEDS, predict=True)
    odds = np.exp(outputs[:, -1]) / np.exp(outputs[:, -1]).sum(-1, keepdims=True)
    assert decision.probabilities.dtype == np.float32
    np.testing.assert_allclose(decision.probabilities, odds, rtol=1e-4)
    assert decision.prediction is None and decision.tokens is None
    np.testing.assert_array_equal(policy(FRAMES), outputs[:, -1].argmax(-1))


def test_a_row_depends_on_its_own_frames_only(policy):
    policy, _ = policy
    whole = policy.decide(FRAMES, SEEDS).probabilities
    alone = policy.decide(FRAMES[2:3], SEEDS[:1]).probabilities
    np.testing.assert_allclose(alone, whole[2:3], rtol=1e-4)
    assert np.ptp(whole, axis=0).max() > 0.01


def test_a_continuous_policy_gives_actions_and_no_probabilities(tmp_path):
    policy, outputs = saved(tmp_path / "run", discrete=False, action_names=("x", "y"))
    np.testing.assert_allclose(policy(FRAMES), outputs[:, -1], rtol=1e-4, atol=1e-5)
    with pytest.raises(UserError, match=r"continuous action \(x, y\) and no probabilities; call"):
        policy.decide(FRAMES, SEEDS)


@pytest.mark.parametrize(
    "frames", [FRAMES[:, :2], FRAMES[:, :, :8], FRAMES.astype(np.float32), FRAMES[0], FRAMES[:0]]
)
def test_frames_that_it_does_not_read(policy, frames):
    with pytest.raises(ValueError, match=r"frames are .* shape \("):
        policy[0].decide(frames, SEEDS)


def test_a_checkpoint_without_the_names_of_its_actions(tmp_path):
    with pytest.raises(CheckpointError, match="cannot build: .*action_names is empty"):
        section = {**TINY, "action_names": ()}
        save_model(tmp_path / "run", KIND, {"params": {"a": np.zeros(1)}}, {"model": section})
        flexlam_jax.load(tmp_path / "run")

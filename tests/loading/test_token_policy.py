import numpy as np
import pytest

import flexlam_jax
from flexlam_jax.checkpoints.write import save_model
from flexlam_jax.errors import CheckpointError
from flexlam_jax.output_folder import Kind
from tests.acting.tiny_parts import K, make_lam, make_policy
from tests.models.tiny_lam import random_frames
from tests.untrained import SIZE

KIND = Kind("token_policy", "a policy", "--workdir", lambda folder: False)
DRAWS, SEEDS = 4, np.array([3, 1, 4, 1], np.uint32)


@pytest.fixture(scope="module")
def lam():
    return make_lam()


def test_a_saved_policy_draws_as_before(lam, tmp_path):
    policy, frames = make_policy(lam), random_frames((4, 3, SIZE, SIZE, 3))
    save_model(tmp_path / "run", KIND, policy.variables, policy.config)
    loaded = flexlam_jax.load(tmp_path / "run")
    assert (loaded.context, loaded.stack, loaded.slots, loaded.gap) == (2, 2, K, 1)
    assert loaded.lam == {"step": 1, "fingerprint": lam.fingerprint()}
    past = lam.tokens(frames[:, 1], frames[:, 2])[:, None]
    expected = policy.draws(frames, past, SEEDS, draws=DRAWS, keep=K)
    np.testing.assert_array_equal(loaded.draws(frames, past, SEEDS, draws=DRAWS, keep=K), expected)
    codes = np.concatenate([past, expected[:, :1]], axis=1)
    nats = loaded.log_prob(frames, codes)
    assert nats.shape == (4, 2, K) and (nats < 0).all()
    with pytest.raises(ValueError, match=r"past are int32 of shape \(4, 1, 2\); .*\(B, 1, 3\)"):
        loaded.draws(frames, past[..., :2], SEEDS, draws=1, keep=1)
    with pytest.raises(ValueError, match="keep=4: at least 1 draw, and 1..3 slots"):
        loaded.draws(frames, past, SEEDS, draws=1, keep=4)


def test_a_config_that_does_not_say_which_codes(lam, tmp_path):
    policy = make_policy(lam)
    config = {name: section for name, section in policy.config.items() if name != "codes"}
    save_model(tmp_path / "run", KIND, policy.variables, config)
    with pytest.raises(CheckpointError, match="lacks a section model, codes or lam; train"):
        flexlam_jax.load(tmp_path / "run")

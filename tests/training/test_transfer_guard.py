"""No hidden copies between host and device inside the loop: each one would stall a fast device."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flexlam_jax.training.loop import fit
from flexlam_jax.training.validation import mean_loss
from tests.training import toy


@pytest.fixture
def guarded():
    """For all threads, also the one that prefetches batches."""
    jax.config.update("jax_transfer_guard", "disallow")
    yield
    jax.config.update("jax_transfer_guard", "allow")


def test_the_guard_sees_a_hidden_copy(guarded):
    with pytest.raises(Exception, match="Disallowed host-to-device transfer"):
        jax.jit(jnp.sin)(np.ones(3, np.float32))


def test_training_evaluating_saving_and_resuming_copy_nothing_in_secret(guarded, tmp_path):
    objective = toy.objective(noise=0.1, count_updates=True)
    evaluate = mean_loss(objective, lambda: [next(toy.Rows(seed=5))], batch_size=8, seed=0)
    for steps in (8, 12):
        config = toy.config(
            total_steps=steps, optimizer__schedule="constant", optimizer__accumulate=2
        )
        state = fit(objective, toy.Rows(), config, tmp_path, evaluate=evaluate)
    assert int(jax.device_get(state.step)) == 12

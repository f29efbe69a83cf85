"""Validation over several batches: means over all that they hold, not means of their means."""

import jax
import numpy as np

from flexlam_jax.parallel.mesh import make_mesh
from flexlam_jax.parallel.sharding import replicated
from flexlam_jax.training.optimizer import make_optimizer, make_schedule
from flexlam_jax.training.state import create_state
from flexlam_jax.training.validation import mean_loss
from tests.training import toy


def test_batches_count_by_what_their_masks_leave():
    objective, config, rows = toy.masked(), toy.config(), toy.Rows()
    first, second = next(rows), next(rows)
    second["t"] = second["t"] + 2  # One row is left of it, and three of the first.
    optimizer = make_optimizer(config.optimizer, make_schedule(config.optimizer, 9))
    mesh = make_mesh(config.mesh)
    state = jax.device_put(
        create_state(objective, optimizer, first, seed=0, ema=False), replicated(mesh)
    )
    evaluate = mean_loss(objective, lambda: [first, second], batch_size=8, seed=0)
    values = evaluate(state)
    both = {name: np.concatenate([first[name], second[name]]) for name in first}
    expected = objective.values(objective.outcome(state.params, {}, both, jax.random.key(0)))
    assert set(values) == {"validation/error", "validation/t", "validation/loss"}
    for name, value in expected.items():
        np.testing.assert_allclose(values[f"validation/{name}"], value, rtol=1e-5)

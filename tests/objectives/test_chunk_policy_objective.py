"""The loss of a chunk policy: chunks of every step, masked, the same however the batch is cut."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flexlam_jax.models.baku import build_chunk_policy
from flexlam_jax.objectives.chunk_policy import chunk_policy_objective, chunks
from flexlam_jax.objectives.objective import weights_of
from tests.models.test_baku import MODEL, OBSERVATION, PREDICTS, READS
from tests.models.tiny_lam import randomised

KEY = jax.random.key(0)
FRAMES = ("frames", "frames_side")
MASK = np.array([[True] * 4, [True, True, False, False]])
BATCH = {
    "frames": OBSERVATION["frames"][:, :, 0],
    "frames_side": OBSERVATION["frames"][:, :, 1],
    **{name: OBSERVATION[name] for name in ("text", "proprio", "skill")},
    "target": np.random.default_rng(1).uniform(0, 2, (2, 4, 2)).astype(np.float32),
    "target_mask": MASK,
}


@pytest.fixture(scope="module")
def objective():
    """(objective, jitted outcome, parameters)."""
    made = chunk_policy_objective(build_chunk_policy(MODEL, READS, PREDICTS), FRAMES)
    variables = randomised(jax.jit(made.init)(KEY, BATCH))
    outcome = jax.jit(lambda params, batch: made.outcome(params, {}, batch, KEY))
    return made, outcome, variables["params"]


def test_every_step_has_the_chunk_that_begins_there():
    target, mask = chunks(BATCH, 2)
    assert target.shape == (2, 3, 2, 2) and mask.shape == (2, 3, 2)
    for step in range(3):
        np.testing.assert_array_equal(target[:, step], BATCH["target"][:, step : step + 2])
        np.testing.assert_array_equal(mask[:, step], MASK[:, step : step + 2])


def test_metrics_by_hand(objective):
    made, outcome, params = objective
    policy = build_chunk_policy(MODEL, READS, PREDICTS)
    target, mask = (np.asarray(x) for x in chunks(BATCH, 2))
    learn = jax.jit(lambda *given: policy.apply(*given, method="losses"))
    _, done = learn({"params": params}, OBSERVATION, target, mask, jax.random.key(1))
    scaled = target / [1.0, 5.0] - [1.0, 0.0]
    errors = np.square(done - scaled)
    values = made.values(outcome(params, BATCH))
    expected = {
        "squared_error": errors[mask].mean(),
        "first_error": errors[:, :, 0][mask[:, :, 0]].mean(),
        "constant_error": scaled[mask].var(axis=0).mean(),
        "chunk": errors[mask].mean() / (2 * 0.1**2),
        "loss": errors[mask].mean() / (2 * 0.1**2),
    }
    assert values.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(values[name], value, rtol=1e-4, err_msg=name)


def test_what_lies_behind_the_end_of_an_episode_is_of_no_account(objective):
    made, outcome, params = objective
    other = {**BATCH, "target": np.where(MASK[..., None], BATCH["target"], 1e6)}
    one, two = (made.values(outcome(params, batch)) for batch in (BATCH, other))
    for name in one:
        np.testing.assert_allclose(one[name], two[name], rtol=1e-6, err_msg=name)
    empty = made.values(outcome(params, {**BATCH, "target_mask": MASK & False}))
    assert empty["loss"] == 0 and np.isfinite(empty["constant_error"])


def test_parts_of_a_batch_add_up(objective):
    made, outcome, params = objective
    parts = [outcome(params, {k: v[i : i + 1] for k, v in BATCH.items()}) for i in range(2)]
    whole = outcome(params, BATCH)
    added = jax.tree.map(jnp.add, *parts)
    assert weights_of(added.terms)["chunk"] == weights_of(whole.terms)["chunk"] == 9
    np.testing.assert_allclose(made.values(added)["loss"], made.values(whole)["loss"], rtol=1e-5)

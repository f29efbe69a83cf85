"""The loss of skills: right under padding and accumulation, and what it tells of bad ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flexlam_jax.models.chunk_stage import StageOutput
from flexlam_jax.models.chunking import select
from flexlam_jax.models.hilam import HiLamOutput, build_hilam
from flexlam_jax.objectives.hilam import _report, _summary, chunk_lengths, hilam_objective
from flexlam_jax.objectives.objective import weights_of
from tests.models.test_hilam import CODES, LATENTS, MODEL, D, F, K, parameters

ROWS, T = 4, 8


def batch(steps=(T, 5, 2, T)):
    rng = np.random.default_rng(0)
    slots = rng.normal(size=(len(steps), T, K, D)).astype(np.float32)
    mask = np.arange(T) < np.array(steps)[:, None]
    slots[~mask] = 0
    return {"slots_chunk": slots, "slots_chunk_mask": mask}


@pytest.fixture(scope="module")
def built():
    """(objective, params, jitted outcome)."""
    model = build_hilam(MODEL, CODES, LATENTS)
    objective = hilam_objective(model, MODEL["targets"], {"ratio": 0.5}, length=T)
    params = parameters(objective.init, batch())["params"]
    outcome = jax.jit(lambda params, rows: objective.outcome(params, {}, rows, jax.random.key(0)))
    return objective, params, outcome


def test_the_parts_of_a_batch_add_up_to_it(built):
    objective, params, outcome = built
    whole, both = outcome(params, batch()), batch()
    halves = [outcome(params, {k: np.roll(v, -i, 0) for k, v in both.items()}) for i in (0, 2)]
    # Programs of one size: of the first half's rows only, the rest being padding.
    parts = []
    for first in (0, 2):
        part = {k: v.copy() for k, v in both.items()}
        rest = [row for row in range(ROWS) if row not in (first, first + 1)]
        part["slots_chunk_mask"][rest], part["slots_chunk"][rest] = False, 0
        parts.append(outcome(params, part))
    for name, term in whole.terms.items():
        added = jax.tree.map(lambda a, b: a + b, parts[0].terms[name], parts[1].terms[name])
        np.testing.assert_allclose(added.sum, term.sum, rtol=1e-5)
        np.testing.assert_allclose(added.weight, term.weight)
        for turned in halves:
            np.testing.assert_allclose(turned.terms[name].value, term.value, rtol=1e-5)
    values = objective.values(whole)
    expected = values["latent"] + 0.5 * (values["ratio_1"] + values["ratio_2"])
    np.testing.assert_allclose(values["loss"], expected, rtol=1e-6)
    # Weights are those of the batch, whatever the model says.
    assert weights_of(whole.terms) == {
        "latent": (T - 1 + 4 + 1 + T - 1) * F,
        "ratio_1": T + 5 + 2 + T,
        "ratio_2": T + 5 + 2 + T,
    }


def test_padding_and_rows_of_one_step_are_not_felt(built):
    _, params, outcome = built
    rows = batch((T, 5, 1, T))
    spoilt = {k: v.copy() for k, v in rows.items()}
    spoilt["slots_chunk"][~rows["slots_chunk_mask"]] = 9
    a, b = outcome(params, rows), outcome(params, spoilt)
    for name in a.terms:
        np.testing.assert_allclose(a.terms[name].sum, b.terms[name].sum, rtol=1e-6)
    assert float(a.terms["ratio_1"].weight) == T + 5 + T


def test_copying_is_told_in_the_same_units(built):
    objective, params, outcome = built
    rows = batch()
    z = (rows["slots_chunk"].reshape(ROWS, T, -1)[..., :F] - LATENTS["mean"]) / np.array(
        LATENTS["scale"]
    )
    steps = rows["slots_chunk_mask"][:, 1:]
    expected = abs(np.diff(z, axis=1))[steps].mean()
    values = objective.values(outcome(params, rows))
    np.testing.assert_allclose(values["copied_latent"], expected, rtol=1e-5)
    assert values["worse_than_copying"] == (values["latent"] >= values["copied_latent"])


def told(cut, steps):
    """(metrics, summary) of one stage that cuts so."""
    cut, valid = np.array(cut, bool), np.arange(len(cut[0])) < np.array(steps)[:, None]
    encoded = jnp.zeros((*cut.shape, 1))
    chunks = select(encoded, cut, cut.shape[1])
    stage = StageOutput(jnp.where(cut, 0.95, 0.45), cut, cut, valid, encoded, chunks)
    latents = jnp.zeros((*cut.shape, 2))
    report = _report(HiLamOutput(latents, latents + 1, (stage,)), {})
    metrics = {name: float(mean.value) for name, mean in report.metrics.items()}
    return stage, metrics, {k: float(v) for k, v in _summary(report.totals).items()}


def test_lengths_of_chunks():
    stage, metrics, summary = told([[1, 0, 0, 1, 1, 0], [1, 0, 0, 0, 0, 0]], (6, 4))
    np.testing.assert_array_equal(chunk_lengths(stage)[:, :3], [[3, 1, 2], [4, 0, 0]])
    assert metrics["boundary_rate_1"] == pytest.approx(4 / 10)
    assert metrics["one_step_1"] == pytest.approx(1 / 4)
    assert metrics["steps_per_chunk_1"] == pytest.approx(10 / 4)
    assert metrics["undecided_1"] == pytest.approx(6 / 10)
    assert metrics["dropped_1"] == 0
    assert (summary["median_length_1"], summary["long_length_1"]) == (2, 4)
    assert summary["degenerate_1"] == 0 and summary["worse_than_copying"] == 1


@pytest.mark.parametrize("cut", [[[1, 1, 1, 1]], [[1, 0, 0, 0]]])
def test_nothing_merged_and_nothing_cut_are_alarms(cut):
    assert told(cut, (4,))[2]["degenerate_1"] == 1


def test_latents_that_are_all_equal_are_finite_and_told(built):
    objective, params, _ = built
    rows = batch()
    rows["slots_chunk"] = np.where(rows["slots_chunk_mask"][..., None, None], np.float32(0.3), 0)

    def loss(params):
        outcome = objective.outcome(params, {}, rows, jax.random.key(0))
        return objective.loss(outcome.terms), objective.values(outcome)

    grads, values = jax.jit(jax.grad(loss, has_aux=True))(params)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves((grads, values)))
    assert values["degenerate_1"] == 1 and values["boundary_rate_1"] < 0.25
    assert values["copied_latent"] == 0 and values["worse_than_copying"] == 1

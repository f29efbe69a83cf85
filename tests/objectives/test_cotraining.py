"""Dynamics and their latent action model together: what each learns from, and from when on."""

import functools

import jax
import numpy as np
import pytest

from flexlam_jax.models.dynamics_settings import build_dynamics
from flexlam_jax.models.lam import build_lam
from flexlam_jax.objectives.cotraining import (
    DynamicsLamSettings,
    cotraining_objective,
    passed_share,
    sharing_objective,
)
from flexlam_jax.objectives.dynamics import dynamics_objective
from flexlam_jax.random import fold_name
from tests.models.test_dynamics import MODEL
from tests.models.tiny_lam import random_frames, randomised
from tests.untrained import MODEL as LAM
from tests.untrained import SIZE

ROWS, T, K, D, CODES = 3, 3, 3, 2, 5
ACTIONS = {"slots": K, "slot_width": D, "keep": {"kind": "fixed", "count": 2}}
VQ = {**LAM, "quantizer": {"kind": "vq", "codes": CODES, "width": D, "revive_below": 0.0}}
SETTINGS = DynamicsLamSettings(train=True, weight=3.0, gradient=0.5, warmup_steps=2)
KEY = jax.random.key(1)


@pytest.fixture(scope="module")
def parts():
    """(objective of the latent action model alone, of both)."""
    model = build_dynamics(MODEL, {"count": 4, "codebook_size": 8}, ACTIONS)
    lam = sharing_objective(build_lam(VQ), VQ, {}, clip_length=T)
    return lam, cotraining_objective(
        dynamics_objective(model, ACTIONS, clip_length=T), lam, SETTINGS
    )


@pytest.fixture(scope="module")
def batch():
    frames = random_frames((ROWS, T, SIZE, SIZE, 3))
    return {"frames": frames, "ids": np.arange(ROWS * T * 4).reshape(ROWS, T, 4) % 8}


@pytest.fixture(scope="module")
def variables(parts, batch):
    variables = dict(jax.jit(parts[1].init)(jax.random.key(0), batch))
    assert set(variables["params"]) == {"dynamics", "lam"} and set(variables["codebook"]) == {"lam"}
    return {**variables, "params": randomised(variables["params"])}


@pytest.fixture(scope="module")
def steps(parts, variables, batch):
    """{step: (gradients, outcome)} of one program."""

    def loss(objective, params):
        extra = {"codebook": variables["codebook"]}
        outcome = objective.outcome(params, extra, batch, KEY)
        return objective.loss(outcome.terms), outcome

    @jax.jit
    def at(step):
        run = functools.partial(loss, parts[1].at(step))
        return jax.grad(run, has_aux=True)(variables["params"])

    return {step: at(step) for step in (0, 1, 2, 7)}


def assert_equal(one, other):
    jax.tree.map(np.testing.assert_array_equal, one, other)


def test_in_the_warm_up_the_model_feels_its_own_loss_alone(parts, variables, batch, steps):
    lam, own = parts[0], {name: tree["lam"] for name, tree in variables.items()}
    params, extra = own.pop("params"), own

    def alone(params):
        outcome = lam.outcome(params, extra, batch, fold_name(KEY, "lam"))
        return SETTINGS.weight * lam.loss(outcome.terms), outcome

    grads, outcome = jax.jit(jax.grad(alone, has_aux=True))(params)
    # Two programs: sums are taken in other orders.
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6),
        steps[0][0]["lam"],
        grads,
    )
    assert_equal(steps[0][0]["lam"], steps[1][0]["lam"])
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=1e-5),
        steps[0][1].extra["codebook"]["lam"],
        outcome.extra["codebook"],
    )
    before, after = (
        tree["codebook"]["lam"]["quantizer"]["counts"] for tree in (variables, steps[0][1].extra)
    )
    assert np.any(before != after)


def test_after_it_the_gradient_of_the_dynamics_passes_the_codes(steps):
    before, after = steps[1][0], steps[2][0]
    changed = jax.tree.map(lambda a, b: bool(np.any(a != b)), before["lam"], after["lam"])
    assert all(jax.tree.leaves(changed["encoder"])) and changed["null"]
    assert not any(jax.tree.leaves(changed["decoder"]))  # Which the dynamics do not read.
    assert_equal(after, steps[7][0])
    assert_equal(before["dynamics"], after["dynamics"])


def test_values_are_those_of_any_step_and_tell_of_both(parts, variables, batch, steps):
    told = {step: parts[1].values(outcome) for step, (_, outcome) in steps.items()}
    shares = [float(told[step].pop("lam_gradient")) for step in (0, 1, 2, 7)]
    assert shares == [0.0, 0.0, 0.5, 0.5]
    assert_equal(told[0], told[7])
    names = {"cross_entropy", "perplexity", "reconstruction", "commitment", "psnr", "code_usage"}
    assert names <= told[0].keys() and 1 <= told[0]["code_perplexity"] <= CODES
    parts_of_loss = told[0]["reconstruction"] + told[0]["commitment"]
    np.testing.assert_allclose(
        told[0]["loss"], told[0]["cross_entropy"] + 3 * parts_of_loss, rtol=1e-5
    )
    shapes = jax.eval_shape(
        parts[1].outcome, variables["params"], {"codebook": variables["codebook"]}, batch, KEY
    )
    assert "lam_gradient" not in shapes.metrics and shapes.shared is None


def test_the_share_rises_after_the_warm_up():
    settings = DynamicsLamSettings(train=True, gradient=2.0, warmup_steps=3, ramp_steps=3)
    shares = [float(passed_share(np.int32(step), settings)) for step in range(8)]
    np.testing.assert_allclose(shares, [0, 0, 0, 0.5, 1, 1.5, 2, 2])


def test_flops_are_those_of_both(parts):
    lam, both = parts
    model = build_dynamics(MODEL, {"count": 4, "codebook_size": 8}, ACTIONS)
    alone = dynamics_objective(model, ACTIONS, clip_length=T).flops_per_row
    assert both.flops_per_row == alone + lam.flops_per_row and both.transitions_per_row == T - 1

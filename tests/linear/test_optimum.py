"""The solution of every objective: it has the loss it claims, and slots in the order it claims."""

import numpy as np
import pytest

from flexlam_jax.errors import ConfigError, UserError
from flexlam_jax.linear.closed_forms import (
    own_frame_threshold,
    reconstruction_minimum,
    supervision_threshold,
)
from flexlam_jax.linear.generators import Controllable, ExBmdp, controllable, ex_bmdp
from flexlam_jax.linear.lam import errors, expected_loss
from flexlam_jax.linear.metrics import innovation_code, said_of
from flexlam_jax.linear.objective import CROSS, OWN, Objective, nested, view
from flexlam_jax.linear.optimum import optimum
from flexlam_jax.linear.process import covariance

LOUD = ex_bmdp(ExBmdp(noise=2.0))
PROCESSES = {
    "loud": LOUD,
    "policy": ex_bmdp(ExBmdp(noise=0.5, policy=0.6)),
    "overlap": ex_bmdp(ExBmdp(noise=1.5, overlap=0.7)),
    "others": controllable(Controllable(noise=0.5, others=1.5, policy=0.3)),
}
OBJECTIVES = {
    "reconstruction": Objective(),
    "nested": Objective(6, nested(6)),
    "partner": Objective(5, own=0.0, cross=1.0),
    "action": Objective(action=2.0, labelled=0.5),
    "nested action": Objective(6, nested(6), action=2.0),
    "two decoders": Objective(6, nested(6), own=0.2, cross=1.0),
    "one decoder": Objective(6, nested(6), own=0.5, cross=1.0, shared=True),
    "all": Objective(6, nested(6), own=0.5, cross=1.0, action=3.0),
    "shift": Objective(shift=1.0),
}


@pytest.mark.parametrize("process", PROCESSES)
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_solution_has_the_loss_that_is_claimed(process, objective):
    process, objective = PROCESSES[process], OBJECTIVES[objective]
    best = optimum(process, objective)
    assert expected_loss(best.params, process, objective) == pytest.approx(best.loss)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_nothing_near_it_is_better(objective):
    """The loss rises in every direction, or stays: sixty random ones."""
    objective, rng = OBJECTIVES[objective], np.random.default_rng(0)
    best = optimum(LOUD, objective)
    for size in (0.01, 0.3):
        for _ in range(30):
            moved = {
                part: {name: x + size * rng.normal(size=x.shape) for name, x in of.items()}
                for part, of in best.params.items()
            }
            assert expected_loss(moved, LOUD, objective) > best.loss


def test_reconstruction_is_the_tail_of_the_innovation():
    for process in PROCESSES.values():
        tail = reconstruction_minimum(covariance(process.innovation()), 3)
        assert optimum(process, Objective()).loss == pytest.approx(tail)


def test_the_exact_loss_is_the_mean_over_samples():
    objective, rng = Objective(6, nested(6), cross=1.0), np.random.default_rng(0)
    seen, best = view(LOUD, objective), optimum(LOUD, objective)
    g = rng.normal(size=(200_000, seen.now.shape[1]))
    targets = {name: (g @ a.T, g @ b.T) for name, (a, b) in seen.targets.items()}
    batch = {"now": g @ seen.now.T, "next": g @ seen.next.T, "targets": targets}
    kept = np.arange(6) < rng.integers(1, 7, len(g))[:, None]
    of = errors(best.params, batch, kept)
    assert of[OWN].mean() + of[CROSS].mean() == pytest.approx(best.loss, rel=0.02)


def says(process, objective, keep, part="action"):
    """NMSE of the action innovation, or of the exogenous one, by the first slots of the solution."""
    seen, best = view(process, objective), optimum(process, objective)
    code = innovation_code(best.params, seen, keep, term=next(iter(seen.targets)))
    return said_of({"action": process.action_innovation(), "noise": process.exogenous}[part], code)


def test_nested_dropout_alone_puts_the_noise_first():
    plain = Objective(6, nested(6))
    assert [says(LOUD, plain, k) for k in (1, 3)] == pytest.approx([1, 1])
    assert [says(LOUD, plain, k, "noise") for k in (1, 2, 3)] == pytest.approx([2 / 3, 1 / 3, 0])
    assert says(LOUD, plain, 6) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    "remedy",
    [
        {"action": 1.01 * supervision_threshold(4, 1, 1)},
        {"cross": 1.0, "own": 0.99 * own_frame_threshold(4, 1, 1)},
        {"cross": 1.0, "own": 0.99 * own_frame_threshold(4, 1, 1, shared=True), "shared": True},
    ],
)
def test_each_remedy_puts_the_action_first_from_its_threshold_on(remedy):
    objective = Objective(6, nested(6), **remedy)
    assert [says(LOUD, objective, k) for k in (1, 2, 3)] == pytest.approx([2 / 3, 1 / 3, 0])
    assert [says(LOUD, objective, k, "noise") for k in (1, 2, 3)] == pytest.approx([1, 1, 1])
    assert says(LOUD, objective, 6, "noise") == pytest.approx(0, abs=1e-9)  # And loses none of it.
    name = "action" if "action" in remedy else "own"
    beyond = remedy | {name: remedy[name] * (0.98 if name == "action" else 1.02)}
    assert says(LOUD, Objective(6, nested(6), **beyond), 3) == pytest.approx(1)


def test_a_partners_frame_is_worth_the_labels():
    """One's own frame with weight beta beside the partner's orders as labels with scale^2 / beta do."""
    process = ex_bmdp(ExBmdp(noise=1.5, overlap=0.7, scale=1.3))
    pairs = optimum(process, Objective(6, nested(6), own=0.25, cross=1.0))
    labels = optimum(process, Objective(6, nested(6), action=1.3**2 / 0.25))
    np.testing.assert_allclose(pairs.gains[:6] / 0.25, labels.gains[:6])
    for k in (3, 6):
        one, other = (of.params["encoder"]["next"][:k] for of in (pairs, labels))
        np.testing.assert_allclose(one.T @ one, other.T @ other, atol=1e-8)


def test_the_world_is_never_seen_by_partners_alone():
    """For any width and strength, and where its directions overlap with the action's."""
    for process in (LOUD, PROCESSES["overlap"]):
        objective = Objective(6, own=0.0, cross=1.0)
        assert says(process, objective, 6, "noise") == pytest.approx(1)
        assert says(process, objective, 6) == pytest.approx(0, abs=1e-9)
        assert not optimum(process, objective).params["encoder"]["next"][3:].any()


def test_the_endogenous_projection_leaves_surplus_slots_empty():
    found = optimum(LOUD, Objective(6, endogenous=True))
    assert found.loss == pytest.approx(0, abs=1e-9)
    assert not found.params["encoder"]["next"][3:].any()


def test_shifts_take_the_observation_out_of_the_code():
    """A = I and C + D = 0, where o says nothing of what follows (proposition 4.3)."""
    process = controllable(Controllable(noise=0.5))
    params = optimum(process, Objective(shift=0.1)).params
    np.testing.assert_allclose(params[OWN]["now"], np.eye(16), atol=1e-8)
    np.testing.assert_allclose(params["encoder"]["now"], -params["encoder"]["next"], atol=1e-8)


@pytest.mark.parametrize(
    "settings, told",
    [
        ({"own": 0.0}, "own, cross and action are all 0"),
        ({"keep": (0.5, 0.5)}, "give a chance for every prefix"),
        ({"keep": (0.5, 0.2, 0.2)}, "give a chance for every prefix"),
        ({"shared": True}, "needs weights for both own and cross"),
        ({"shift": 1.0, "action": 1.0}, "shift is for reconstruction alone"),
    ],
)
def test_objectives_that_cannot_be(settings, told):
    with pytest.raises(UserError, match=told):
        view(LOUD, Objective(**settings))


def test_settings_out_of_range_and_a_process_without_projection():
    with pytest.raises(ConfigError, match="config.labelled=2.0 is out of range"):
        view(LOUD, Objective(labelled=2.0))
    with pytest.raises(UserError, match="no projection that removes its noise"):
        view(controllable(Controllable()), Objective(endogenous=True))

"""Exact scores: of codes that tell nothing, all, or the noise."""

import numpy as np
import pytest

from flexlam_jax.grid_world import scores, world

EVERY = world.every_transition()
EFFECT = world.effects()[EVERY.cell, EVERY.action]


def errors_of(code, intensity=1.0):
    """Squared errors of the best prediction from frame and code, by counting."""
    upper = np.zeros(len(code))
    noise = np.zeros(len(code))
    bits = intensity * ((EVERY.next_noise[:, None] >> np.arange(4)) & 1)
    squares = np.eye(12)[EVERY.next_cell]
    for cell in range(12):
        for one in np.unique(code):
            rows = (EVERY.cell == cell) & (code == one)
            if rows.any():
                upper[rows] = np.square(squares[rows] - squares[rows].mean(0)).sum(1)
                noise[rows] = np.square(bits[rows] - bits[rows].mean(0)).sum(1)
    return upper, noise


def told(code, intensity=1.0):
    return scores.scores(*errors_of(code, intensity), code[:, None], intensity, codes=5)


@pytest.mark.parametrize("intensity", [1.0, 2.0])
def test_a_code_that_tells_nothing_has_losses_of_1(intensity):
    found = told(np.zeros(len(EFFECT), int), intensity)
    assert found["controllable"] == pytest.approx(1) == found["stochastic"]
    assert found["of_signal"] == pytest.approx(0.68 / (11 / 12))
    assert found["used"] == 1 and found["accuracy"] == pytest.approx(26 / 60)
    for bits in ("action_bits", "action_bits_in_cell", "noise_bits"):
        assert found[bits] == pytest.approx(0, abs=1e-9)


def test_a_code_of_what_the_action_did_leaves_nothing_open_but_the_noise():
    found = told(EFFECT)
    assert found["controllable"] == pytest.approx(0) == found["own"]
    assert found["stochastic"] == pytest.approx(1)
    assert found["used"] == 5 and found["accuracy"] == pytest.approx(1)
    alone, in_cell = scores.action_entropy()
    assert found["action_bits"] == pytest.approx(alone)
    assert found["action_bits_in_cell"] == pytest.approx(in_cell) and in_cell < alone
    assert found["noise_bits"] == pytest.approx(0, abs=1e-9)


def test_a_code_of_two_noise_cells_halves_the_stochastic_loss():
    found = told(EVERY.next_noise % 4)
    assert found["stochastic"] == pytest.approx(0.5) and found["noise_bits"] == pytest.approx(2)
    assert found["controllable"] == pytest.approx(1) and found["action_bits"] < 1e-9


def test_a_code_whose_meaning_depends_on_the_cell_tells_the_action_only_there():
    found = told((EFFECT + EVERY.cell) % 5)
    assert found["controllable"] == pytest.approx(0)
    assert found["accuracy_in_cell"] == pytest.approx(1) and found["accuracy"] < 0.5
    assert found["action_bits"] < 0.2 < 1 < found["action_bits_in_cell"]


def test_taking_the_path_for_granted_costs_nothing_on_it_and_twice_as_much_elsewhere():
    following = world.policy("correlated").argmax(1)
    said = np.eye(12)[world.moves()[EVERY.cell, following[EVERY.cell]]]
    upper = np.square(said - np.eye(12)[EVERY.next_cell]).sum(1)
    code = np.zeros((len(upper), 1), int)
    found = scores.scores(upper, np.ones(len(upper)), code, 0.0, codes=5)
    assert found["controllable"] == pytest.approx(2 * 0.8 / 0.68)
    assert found["own"] < 1.1 and found["stochastic"] is None


def test_slots_are_read_as_one_code():
    upper, noise = errors_of(EFFECT)
    ids = np.stack([EFFECT, EVERY.next_noise % 4], axis=1)
    found = scores.scores(upper, noise, ids, 1.0, codes=5)
    assert found["used"] == 20 and found["noise_bits"] == pytest.approx(2)

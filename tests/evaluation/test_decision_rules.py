"""Rules that turn probabilities into actions, and the choice between them."""

import numpy as np
import pytest

from flexlam_jax.errors import UserError
from flexlam_jax.evaluation.decision_rules import Rule, choose_rules, read_rule, take_actions

ARGMAX = Rule("argmax")


def drawn(rule, probabilities, draws=4000):
    rows = np.tile(probabilities, (draws, 1))
    uniforms = (np.arange(draws) + 0.5) / draws
    actions = take_actions(rows, uniforms, [rule] * draws)
    return np.bincount(actions, minlength=len(probabilities)) / draws


def test_each_row_has_its_own_rule():
    rows = np.array([[0.2, 0.8], [0.2, 0.8]])
    assert take_actions(rows, np.array([0.1, 0.1]), [ARGMAX, Rule("sample")]) == [1, 0]


@pytest.mark.parametrize("power, expected", [(1, [0.2, 0.3, 0.5]), (2, [4 / 38, 9 / 38, 25 / 38])])
def test_draws_follow_the_sharpened_probabilities(power, expected):
    np.testing.assert_allclose(drawn(Rule("sample", power), [0.2, 0.3, 0.5]), expected, atol=1e-3)


def test_what_has_no_probability_is_never_drawn():
    assert drawn(Rule("sample"), [0.0, 1.0, 0.0])[1] == 1
    assert take_actions(np.array([[0.5, 0.5, 0.0]]), np.array([1 - 2**-33]), [Rule("sample")]) == [
        1
    ]


@pytest.mark.parametrize("row", [[np.nan, 1.0], [0.0, 0.0], [-0.1, 1.1]])
def test_no_probabilities_are_an_error(row):
    with pytest.raises(UserError, match="its training diverged"):
        take_actions(np.array([row]), np.array([0.5]), [ARGMAX])


def test_the_rule_that_earns_more_is_chosen_per_task():
    earned = {"argmax": {"aim": 5.0, "walk": 1.0, "same": 2.0}}
    earned["sample^1.5"] = {"aim": 2.0, "walk": 3.0, "same": 2.0}
    sample = Rule("sample", 1.5)
    rules, means = choose_rules(
        list(earned["argmax"]), [ARGMAX, sample], lambda rules: earned[str(rules["aim"])]
    )
    assert rules == {"aim": ARGMAX, "walk": sample, "same": ARGMAX}
    assert means["walk"] == {"argmax": 1.0, "sample^1.5": 3.0}


def test_a_rule_is_read_as_it_is_written():
    for rule in (ARGMAX, Rule("sample"), Rule("sample", 1.5)):
        assert read_rule(str(rule)) == rule
    with pytest.raises(ValueError, match="'best' is no rule"):
        read_rule("best")

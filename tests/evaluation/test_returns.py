"""Returns with intervals over episodes and runs."""

import numpy as np
import pytest

from flexlam_jax.errors import UserError
from flexlam_jax.evaluation.returns import combine


def half(number):
    return (number.high - number.low) / 2


def test_one_run_is_its_mean_with_an_interval_over_episodes():
    returns = np.random.default_rng(0).normal(3, 2, 100)
    numbers, _ = combine({"walk": returns}, unit="return")
    assert numbers["walk"].mean == pytest.approx(returns.mean())
    assert half(numbers["walk"]) == pytest.approx(1.96 * returns.std() / 10, rel=0.1)
    assert (numbers["walk"].n, numbers["walk"].over) == (100, "episodes")


def test_lost_episodes_are_left_out():
    numbers, mean = combine({"walk": np.array([1.0, np.nan, 3.0])}, unit="return")
    assert (numbers["walk"].mean, numbers["walk"].n) == (2.0, 2)
    assert 1 <= numbers["walk"].low <= numbers["walk"].high <= 3
    assert mean.mean == 2.0


def test_the_mean_over_tasks_counts_tasks_alike_and_is_surer_than_each():
    rng = np.random.default_rng(0)
    values = {f"task{i}": rng.normal(i, 1, 20 + i) for i in range(6)}
    numbers, mean = combine(values, unit="normalised return")
    assert mean.mean == pytest.approx(np.mean([one.mean() for one in values.values()]))
    assert half(mean) == pytest.approx(half(numbers["task0"]) / np.sqrt(6), rel=0.2)
    assert (mean.n, mean.over) == (135, "episodes of 6 tasks")


def test_runs_that_differ_widen_the_interval():
    """Equal episodes in all runs: only which runs were made is left to chance, in all tasks."""
    runs = np.array([[0.0], [1.0], [2.0]])
    values = {"a": np.tile(runs, 30), "b": np.tile(runs, 20)}
    numbers, mean = combine(values, unit="return")
    for number in (*numbers.values(), mean):
        assert number.mean == 1.0 and half(number) > 0.5
    assert (mean.low, mean.high) == (numbers["a"].low, numbers["a"].high)
    assert (mean.n, mean.over) == (3, "runs (50 episodes of 2 tasks)")


def test_runs_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"tasks have \[1, 2\] runs"):
        combine({"a": np.zeros((2, 3)), "b": np.zeros((1, 3))}, unit="return")
    with pytest.raises(UserError, match="all episodes of a were lost"):
        combine({"a": np.array([[0.0], [np.nan]])}, unit="return")


def test_runs_of_a_group_come_and_go_together():
    """Runs of one training seed say the same: ten of them are no surer than one of each seed."""
    few, many = np.array([[0.0], [1.0], [2.0]]), np.repeat([[0.0], [1.0], [2.0]], 10, axis=0)
    by_seed = np.repeat([0, 1, 2], 10)
    (grouped,) = combine({"walk": many}, unit="return", group_R=by_seed)[0].values()
    (alone,) = combine({"walk": few}, unit="return", group_R=np.arange(3))[0].values()
    (loose,) = combine({"walk": many}, unit="return")[0].values()
    assert grouped.mean == 1.0 and half(grouped) == half(alone) > 1.5 * half(loose)


def test_runs_of_one_group_are_resampled_among_themselves():
    runs = np.array([[0.0], [1.0], [2.0]])
    (one,) = combine({"walk": runs}, unit="return", group_R=np.zeros(3))[0].values()
    assert one.mean == 1.0 and half(one) > 0.5

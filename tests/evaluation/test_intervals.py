import numpy as np
import pytest

from flexlam_jax.evaluation import intervals


def mean(sums):
    return sums["x"] / sums["count"]


def test_mean_is_over_transitions_not_over_episode_means():
    number = intervals.over_episodes({"x": np.array([0, 0, 0, 4])}, [5, 5, 5, 9], mean, unit="u")
    assert number.mean == 1 and number.n == 2
    assert number.unit == "u" and number.over == "episodes"


def test_interval_resamples_episodes_and_covers_like_the_textbook():
    """40 episodes of 50 equal transitions: the standard error is that of 40 values, not of 2000."""
    values = np.random.default_rng(0).normal(size=40)
    number = intervals.over_episodes(
        {"x": np.repeat(values, 50)}, np.repeat(np.arange(40), 50), mean, unit="u"
    )
    half = (number.high - number.low) / 2
    assert half == pytest.approx(1.96 * values.std() / np.sqrt(40), rel=0.15)


def test_constant_values_have_no_width():
    number = intervals.over_episodes({"x": np.full(30, 2.5)}, np.arange(30) // 3, mean, unit="u")
    assert number.low == number.mean == number.high == 2.5


def test_draws_widen_the_interval():
    rng = np.random.default_rng(0)
    episodes = np.arange(400) // 10
    base = rng.normal(size=400)
    same = np.stack([base] * 6)
    apart = same + np.linspace(-2, 2, 6)[:, None]
    narrow, wide = (
        intervals.over_draws_and_episodes({"x": values}, episodes, mean, unit="u")
        for values in (same, apart)
    )
    assert narrow.mean == pytest.approx(wide.mean)
    assert wide.high - wide.low > 3 * (narrow.high - narrow.low)
    assert narrow.n == 6 and "40 test episodes" in narrow.over


def test_draws_must_agree():
    with pytest.raises(ValueError, match="same number of label draws"):
        intervals.over_draws_and_episodes(
            {"x": np.zeros((2, 4)), "y": np.zeros((3, 4))}, np.zeros(4), mean, unit="u"
        )


def test_intervals_are_reproducible():
    values = np.random.default_rng(0).normal(size=50)
    first, second = (
        intervals.over_episodes({"x": values}, np.arange(50) // 5, mean, unit="u", seed=3)
        for _ in range(2)
    )
    assert first == second


def test_groups_count_alike_and_share_their_draws():
    rng = np.random.default_rng(0)
    group = np.repeat([3, 7], [400, 40])
    episodes = np.arange(440) // 10
    draws = np.linspace(-1, 1, 6)[:, None]
    values = {"x": group + draws + rng.normal(size=(1, 440))}
    (first, second), both = intervals.over_groups(values, episodes, group, mean, unit="u")
    alone = intervals.over_draws_and_episodes(
        {"x": values["x"][:, :400]}, episodes[:400], mean, unit="u"
    )
    assert first.mean == alone.mean and "40 test episodes" in first.over
    assert both.mean == pytest.approx((first.mean + second.mean) / 2) and both.n == 6
    # The error of the draws is that of each group, for it is the same; that of episodes shrinks.
    width = both.high - both.low
    assert width > 0.9 * (first.high - first.low) and width < second.high - second.low


def test_shares_of_successes_have_the_wilson_interval():
    """Values of 12 trials by R's prop.test(x, 12, correct=FALSE)."""
    one = intervals.over_trials([11 / 12], [12], unit="success rate", over="episodes")
    assert (one.low, one.high, one.n) == (
        pytest.approx(0.6461, abs=1e-4),
        pytest.approx(0.9851, abs=1e-4),
        12,
    )
    none = intervals.over_trials([0.0], [12], unit="u", over="episodes")
    assert none.low == none.mean == 0 and none.high == pytest.approx(0.2425, abs=1e-4)


def test_the_mean_of_groups_covers_like_one_group_of_all():
    whole = intervals.over_trials([0.4], [40], unit="u", over="x")
    four = intervals.over_trials([0.2, 0.6, 0.5, 0.3], [10] * 4, unit="u", over="x")
    assert (four.low, four.mean, four.high, four.n) == pytest.approx(
        (whole.low, whole.mean, whole.high, 40)
    )
    lopsided = intervals.over_trials([0.2, 0.6], [1, 39], unit="u", over="x")
    assert lopsided.high - lopsided.low > 2 * (whole.high - whole.low)

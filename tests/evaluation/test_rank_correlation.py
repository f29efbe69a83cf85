"""Rank correlation over models, beside SciPy's."""

import numpy as np
import pytest
from scipy import stats

from flexlam_jax.evaluation import rank_correlation
from flexlam_jax.evaluation.rank_correlation import kendall, over_models, spearman, table
from flexlam_jax.reports.tables import cells


@pytest.mark.parametrize("levels", [1000, 4], ids=["distinct", "ties"])
def test_both_agree_with_scipy(levels):
    rng = np.random.default_rng(levels)
    for _ in range(5):
        x, y = rng.integers(0, levels, (2, 23)).astype(float)
        y += x * rng.integers(-1, 2)
        assert spearman(x, y) == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)
        assert kendall(x, y) == pytest.approx(stats.kendalltau(x, y).statistic, abs=1e-12)


def test_many_at_once_are_those_one_by_one():
    x, y = np.random.default_rng(0).integers(0, 6, (2, 7, 12)).astype(float)
    for one in (spearman, kendall):
        np.testing.assert_allclose(one(x, y), [one(a, b) for a, b in zip(x, y, strict=True)])


def test_the_interval_is_over_models():
    rng = np.random.default_rng(1)
    quality = rng.normal(size=40)
    close = over_models(quality, quality + 0.1 * rng.normal(size=40))
    unrelated = over_models(quality, rng.normal(size=40))
    assert 0.9 < close.low < close.mean <= close.high <= 1 and close.n == 40
    assert unrelated.low < 0 < unrelated.high and unrelated.over == "models"
    few = over_models(quality[:8], (quality + rng.normal(size=40))[:8])
    many = over_models(quality, quality + rng.normal(size=40))
    assert few.high - few.low > many.high - many.low


def test_scores_that_are_all_equal_have_none():
    assert over_models([1, 1, 1, 1, 1], [1, 2, 3, 4, 5]) is None
    one_apart = over_models([1, 1, 1, 1, 2], [1, 2, 3, 4, 5])  # Many resamples are constant.
    assert np.isfinite([one_apart.low, one_apart.high]).all()


@pytest.mark.parametrize(
    "x, y, message",
    [
        ([1, 2, 3], [1, 2, 3], "at least 4 models"),
        ([1, 2, 3, 4], [1, 2, 3, 4, 5], r"\(4,\) and \(5,\)"),
        ([1, 2, 3, np.nan], [1, 2, 3, 4], "NaN or infinite"),
    ],
)
def test_what_cannot_be_correlated_is_told(x, y, message):
    with pytest.raises(ValueError, match=message):
        over_models(x, y)


def test_models_without_a_score_are_left_out_of_that_row():
    found = table(
        {"cycle": [1, 2, 3, 4, 5, None], "usage": [1, float("nan"), 3, None, 5, None]},
        {"probe": [1, 2, 3, 4, 5, 0], "leakage": [5, 4, 3, 2, 1, 0]},
    )
    rows = {(row["score"], row["against"]): row for row in found.rows}
    assert rows["cycle", "probe"]["models"] == 5
    assert rows["cycle", "probe"]["spearman"].mean == 1
    assert rows["cycle", "leakage"]["kendall"].mean == -1
    assert rows["usage", "probe"]["models"] == 3 and rows["usage", "probe"]["spearman"] is None
    assert [cell.text for cell in cells(found)[2]] == ["usage", "probe", "3", "–", "–"]
    assert rank_correlation.FEWEST == 4

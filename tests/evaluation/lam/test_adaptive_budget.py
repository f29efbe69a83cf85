"""Budgets per transition: what they save is told, and what choosing well is worth."""

import numpy as np
import pytest

from flexlam_jax.evaluation.lam.adaptive_budget import TOLERANCES
from flexlam_jax.evaluation.lam.evaluation import evaluate
from flexlam_jax.evaluation.lam.report_tables import all_tables
from flexlam_jax.evaluation.lam.settings import Settings
from flexlam_jax.reports.sections import curves_of


@pytest.fixture(scope="module")
def report(world):
    class ChoosingLam(world.ExactLam):
        """Knows that the second slot is needed where its code is not 0, and the third never."""

        chooses = True

        def shortfall(self, slots, o_t, o_next):
            lacks = np.where(slots[:, 1, 0] != 0, 9.0, 0.0)
            return np.stack([lacks, 0 * lacks, 0 * lacks], 1)

    lams = {"m": ChoosingLam(), "old": world.ExactLam()}
    return evaluate(lams, None, world.batches(world.transitions(200, 1)), Settings()).report


def test_what_is_chosen_well_costs_nothing(world, report):
    frames = world.transitions(200, 1)["frames"].astype(int)
    needy = (frames[:, 1] - frames[:, 0])[:, 0, 0, 0] % 20 // 5 != 0
    row = report["others"]["adaptive_budget"]["m"]["table"].rows[0]
    assert row["slots"].mean == pytest.approx(1 + needy.mean())
    assert row["share"].mean == pytest.approx(100 * (1 + needy.mean()) / 3)
    assert row["lacks"].mean == row["lacks"].high == 0
    assert row["psnr"].mean > 60 and row["true_share"].mean == row["share"].mean
    assert row["shuffled_lacks"].low > 10


def test_fixed_budgets_stand_beside_it(report):
    curve = report["others"]["adaptive_budget"]["m"]["curve"]
    series = {one.name: one.points for one in curve.series}
    assert set(series) == {"fixed", "auto", "true errors", "shuffled"}
    assert [x for x, _ in series["fixed"]] == [1, 2, 3]
    fixed = [number.mean for _, number in series["fixed"]]
    assert fixed == [row["psnr"].mean for row in report["models"][0]["reconstruction"]]
    assert len(series["auto"]) == 1  # All tolerances choose the same.


def test_a_model_without_the_head_is_left_out(report):
    assert report["others"]["adaptive_budget"]["old"] == {}
    titles = [table.title for table in all_tables(report)]
    assert titles[-1] == "Slots where they are needed: m"
    assert [one.title for one in curves_of("x", report["others"]["adaptive_budget"])] == [
        "PSNR by mean number of slots: m"
    ]
    assert len(report["others"]["adaptive_budget"]["m"]["table"].rows) == len(TOLERANCES)

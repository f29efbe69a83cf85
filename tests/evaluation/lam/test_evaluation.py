import csv
import json
from fractions import Fraction

import numpy as np
import pytest

from flexlam_jax.errors import UserError
from flexlam_jax.evaluation import inverse_model
from flexlam_jax.evaluation.evaluator import evaluate as run_evaluators
from flexlam_jax.evaluation.lam import probe_rows, report_tables
from flexlam_jax.evaluation.lam.evaluation import SCHEMA, evaluate
from flexlam_jax.evaluation.lam.evaluators import EVALUATORS
from flexlam_jax.evaluation.lam.fields import FIELDS
from flexlam_jax.evaluation.lam.settings import Settings, chosen_budgets, usable_label_counts
from flexlam_jax.reports.results import plain

SETTINGS = Settings(
    label_counts=(32, None, 9999), draws=2, frames_every=2, pictures=3, num_actions=4
)


def evaluate_two(world):
    fixed = world.ExactLam()
    fixed.budgets = (2,)
    return evaluate(
        {"flex": world.ExactLam(), "fixed": fixed},
        world.batches(world.transitions(600, 0)),
        world.batches(world.transitions(300, 1)),
        SETTINGS,
    )


@pytest.fixture(scope="module")
def evaluation(world):
    return evaluate_two(world)


def test_reconstruction_rises_with_the_prefix_and_ends_exact(evaluation):
    rows = evaluation.report["models"][0]["reconstruction"]
    assert [row["k"] for row in rows] == [1, 2, 3]
    copy = evaluation.report["baselines"]["copy"]["psnr"].mean
    assert copy < rows[0]["psnr"].mean < rows[1]["psnr"].mean == rows[2]["psnr"].mean
    for row in rows:
        assert row["gain"].mean == pytest.approx(row["psnr"].mean - copy)
    assert rows[1]["psnr"].mean > 60 and rows[1]["ssim"].mean > 0.9999


def test_shuffled_codes_cost_what_another_change_costs(evaluation):
    row = evaluation.report["models"][0]["reconstruction"][0]
    assert row["delta_psnr"].low > 3


def test_the_translator_reads_the_action_and_baselines_do_not(evaluation):
    report = evaluation.report
    score = {
        (row["k"], row["probe"], row["labels_name"]): row["score"].mean
        for row in report["models"][0]["probes"]
    }
    assert score[1, "translator", "32"] > 0.95 and score[3, "linear", "all"] > 0.6
    baselines = {
        (row["name"], row["labels_name"]): row["score"].mean
        for row in report["baselines"]["probes"]
    }
    for name in ("majority", "observation", "shuffled"):
        assert baselines[name, "all"] < 0.4
    assert {name for name, _ in baselines} == {"majority", "observation", "pixel_pair", "shuffled"}


def test_a_fixed_model_is_shown_at_the_length_it_was_trained_at(evaluation):
    assert [row["k"] for row in evaluation.report["models"][1]["reconstruction"]] == [2]
    assert len(evaluation.report["models"][1]["codes"]) == 2


def test_report_is_json_and_every_number_has_its_interval(evaluation):
    report = json.loads(json.dumps(plain(evaluation.report), allow_nan=False))
    seen = []

    def walk(node):
        if isinstance(node, dict):
            if "mean" in node:
                assert set(node) == {"mean", "low", "high", "n", "unit", "over"} and node["n"] > 0
                assert node["low"] - 1e-9 <= node["mean"] <= node["high"] + 1e-9
                seen.append(node)
            else:
                [walk(value) for value in node.values()]
        elif isinstance(node, list):
            [walk(value) for value in node]

    walk(report)
    assert len(seen) > 30


def test_label_counts_beyond_the_split_are_left_out_and_told(evaluation):
    assert any("9999 labels" in note for note in evaluation.report["notes"])
    assert usable_label_counts((64, 600, None, 700), 600) == ([64, 600], [700])
    assert usable_label_counts((64,), 600) == ([64], [])


def test_code_usage_counts_every_test_transition(evaluation):
    slots = evaluation.report["models"][0]["codes"]
    assert [slot["used"] for slot in slots] == [4, 4, 1]
    assert sum(slots[0]["counts"]) == 300


def test_pictures_come_at_every_trained_length(evaluation):
    grid = evaluation.pictures
    assert list(grid.slider.values) == [1, 2, 3] and len(grid.samples) == 3
    assert grid.slider.texts[-1] == "k = 3 of 3"
    for sample in grid.samples:
        _, true, prediction, error = sample.pictures
        np.testing.assert_array_equal(prediction.images[2], true.images[0])
        assert not error.images[2].any() and len(error.images) == 3
        assert sample.values[2] == "100.0 dB"


def test_evaluation_is_reproducible(world, evaluation):
    assert plain(evaluate_two(world).report) == plain(evaluation.report)


def test_continuous_codes_and_actions(world):
    report = evaluate(
        {"m": world.ContinuousLam()},
        world.batches(world.transitions(400, 0, True)),
        world.batches(world.transitions(200, 1, True)),
        Settings(label_counts=(None,), draws=2),
    ).report
    assert report["metric"] == {"name": "R^2", "discrete": False, "size": 2}
    score = {
        row["k"]: row["score"].mean
        for row in report["models"][0]["probes"]
        if row["probe"] == "linear"
    }
    assert 0.4 < score[1] < 0.6 and score[3] > 0.97  # the second dimension needs the second slot
    assert "spread" in report["models"][0]["codes"][0]
    json.dumps(plain(report), allow_nan=False)


def test_data_without_actions_leave_the_probes_out(world):
    transitions = world.transitions(60, 1)
    del transitions["action"]
    report = evaluate(
        {"m": world.ExactLam()}, None, world.batches(transitions), no_actions="square holds none"
    ).report
    assert report["metric"] is None and report["models"][0]["probes"] == []
    assert report["notes"] == ["No probes: square holds none."]


def test_empty_split_is_an_error(world):
    with pytest.raises(UserError, match="the evaluated split holds no transition"):
        evaluate({"m": world.ExactLam()}, None, iter(()))


def test_several_datasets_a_share_of_labels_and_the_inverse_model(world, monkeypatch):
    monkeypatch.setattr(inverse_model, "STEPS", 80)
    test = world.transitions(200, 1)
    test["dataset"] = (test["episode"] >= 3).astype(np.int32)
    report = evaluate(
        {"m": world.ExactLam()},
        world.batches(world.transitions(300, 0)),
        world.batches(test),
        Settings(
            budgets=(1,),
            label_counts=(Fraction(101, 1000), None),
            draws=2,
            num_actions=4,
            datasets=("few", "many"),
            inverse_model=True,
            fit_frames_every=2,
        ),
    ).report
    assert report["notes"] == ["10.1% of 300 train transitions are 31 labels."]
    assert report["settings"]["label_counts"] == ["10.1%", None]
    counts = {(row["labels"], row["labels_name"]) for row in report["models"][0]["probes"]}
    assert counts == {(31, "31"), (300, "all")}
    for row in report["models"][0]["probes"] + report["baselines"]["probes"]:
        by = {name: score.mean for name, score in row["by_dataset"].items()}
        assert set(by) == {"few", "many", "mean"}
        assert by["mean"] == pytest.approx((by["few"] + by["many"]) / 2)
    ceiling = report["baselines"]["probes"][-1]
    assert (ceiling["name"], ceiling["labels_name"]) == ("inverse_model", "all")
    assert ceiling["score"].mean > 0.45  # A guess is right in a quarter of the cases.
    few, all_ = report_tables.dataset_tables(report)
    assert (few.title, all_.title) == (
        "Accuracy by dataset, 31 labels",
        "Accuracy by dataset, all labels",
    )
    assert [column.key for column in few.columns] == ["model", "k", "mean", "few", "many"]
    assert [row["model"] for row in all_.rows][-1] == "inverse model, all labels"
    lines = list(csv.DictReader(probe_rows.as_csv(report).splitlines()))
    assert len(lines) == 4 * (2 * 2 + 2 * 4 + 1)
    assert {line["dataset"] for line in lines} == {"", "few", "many", "mean"}
    last = lines[-4]
    assert (last["model"], last["k"], last["labels"]) == ("inverse_model", "", "300")
    assert float(last["mean"]) == pytest.approx(ceiling["score"].mean, rel=1e-5)


def test_budgets(world):
    lam = world.ExactLam()
    lam.slots, lam.budgets = 12, tuple(range(1, 13))
    assert chosen_budgets(lam, ()) == (1, 2, 4, 8, 12)
    assert chosen_budgets(lam, (3, 5)) == (3, 5)
    with pytest.raises(ValueError, match=r"\[13\].*0..12"):
        chosen_budgets(lam, (13,))
    lam.budgets = (4,)
    assert chosen_budgets(lam, (1, 2)) == (4,)


def test_images_below_the_ssim_window_have_no_ssim(world):
    transitions = world.transitions(20, 0)
    transitions["frames"] = transitions["frames"][:, :, :8, :8]
    measured = run_evaluators(
        [EVALUATORS["copy"]],
        {"m": world.ExactLam()},
        FIELDS,
        world.batches(transitions),
        settings=Settings(),
    )
    assert set(measured["copy"]["m"]) == {"psnr"}
    assert SCHEMA == 1


def test_clips_of_more_than_two_frames_are_refused(world):
    transitions = world.transitions(20, 0)
    transitions["frames"] = np.repeat(transitions["frames"], 2, axis=1)
    with pytest.raises(UserError, match=r"two frames, got shape \(20, 4, 16, 16, 3\)"):
        evaluate({"m": world.ExactLam()}, None, world.batches(transitions))

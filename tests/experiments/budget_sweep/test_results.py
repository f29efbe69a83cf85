"""From what the pieces wrote to rows, points, tables and the figure."""

import csv
import io
import math

import pytest

from experiments.budget_sweep import page
from experiments.budget_sweep.pieces import ACCURACY, REPORT, RETURNS, Cell, pieces
from experiments.budget_sweep.rows import COLUMNS, as_csv, rows_of
from experiments.budget_sweep.summary import (
    ALL_BUDGETS,
    DIFFERENCE,
    FIXED,
    find,
    number_of,
    summary,
)
from experiments.pieces.piece import Piece
from experiments.pieces.times import times_table
from tests.experiments.budget_sweep.sweeps import sweep

TASKS = {"aim": (0.0, 10.0), "walk": (-1.0, 1.0)}  # random and expert return
METRIC = "normalised return"


def number(mean, unit="accuracy", half=0.1):
    return {
        "mean": mean,
        "low": mean - half,
        "high": mean + half,
        "n": 3,
        "unit": unit,
        "over": "x",
    }


def returns(scores, lost=(), played=tuple(TASKS)):
    """returns.json of episodes with these normalised returns, in all tasks that are played."""
    tasks = {}
    for task in played:
        low, high = TASKS[task]
        episodes = [
            {"seed": seed, "return": low + (high - low) * score, "length": 5}
            for seed, score in enumerate(scores)
            if seed not in lost
        ]
        tasks[task] = {
            "return": number(1.0, "return"),
            "normalised": number(0.5, METRIC),
            "random_return": low,
            "expert_return": high,
            "episodes": episodes[::-1],
            "lost": [{"seed": seed, "reason": "crashed"} for seed in lost],
        }
    return {"tasks": tasks, "mean": number(0.5, METRIC)}


def validation(scores):
    """What a translator says of two datasets: `scores` by k."""
    by_dataset = {
        str(k): {
            "aim_noisy": number(score - 0.1),
            "walk_noisy": number(score + 0.1),
            "mean": number(score),
        }
        for k, score in scores.items()
    }
    return {
        "validation": {str(k): number(score) for k, score in scores.items()},
        "validation_by_dataset": by_dataset,
    }


def report():
    models = [
        {
            "name": name,
            "reconstruction": [{"k": k, "psnr": number(20.0 + k, "dB"), "gain": number(k, "dB")}],
        }
        for name, k in (("flexlam", 1), ("flexlam", 4), ("fixed_1", 1), ("fixed_4", 4))
    ]
    baselines = [
        {"name": "majority", "labels": 16, "labels_name": "16", "score": number(0.2)},
        {"name": "majority", "labels": 99, "labels_name": "all", "score": number(0.3)},
        {"name": "inverse_model", "labels": 99, "labels_name": "all", "score": number(0.9)},
    ]
    return {"models": models, "baselines": {"probes": baselines}}


def advantage(cell):
    """FlexLAM is ahead by .2 at k = 1, and level at k = 4; draws and budgets differ."""
    ahead = 0.2 if cell.model == "flexlam" and cell.k == 1 else 0.0
    return 0.1 * (cell.draw or 0) + 0.05 * (cell.k or 0) + ahead


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """Of a whole sweep."""
    found = []
    for piece in pieces(sweep(tmp_path_factory.mktemp("sweep"), seeds=(0, 1))):
        if piece.gives == ACCURACY:
            budgets = [1, 4] if piece.cell.model == "flexlam" else [int(piece.cell.model[6:])]
            found += rows_of(piece, validation(dict.fromkeys(budgets, 0.5)))
        elif piece.gives == RETURNS:
            (played,) = [flag[8:] for flag in piece.flags if flag.startswith("--tasks=")]
            scores = [advantage(piece.cell), advantage(piece.cell) + 0.4]
            found += rows_of(piece, returns(scores, played=played.split(",")))
        elif piece.gives == REPORT:
            found += rows_of(piece, report())
    return found


def test_a_rollout_gives_its_returns_by_task_and_their_mean():
    cell = Cell("flexlam", 0, "scarce", "16", 1, 4)
    found = rows_of(Piece("a", "m", (), (), RETURNS, cell), returns([0.5, 0.0, 1.0], lost=[1]))
    assert [(row.task, row.metric, row.value) for row in found] == [
        ("aim", "return", 1.0),
        ("aim", METRIC, 0.5),
        ("walk", "return", 1.0),
        ("walk", METRIC, 0.5),
        ("mean", METRIC, 0.5),
    ]
    assert found[3].each[::2] == pytest.approx((0.5, 1.0)) and math.isnan(found[3].each[1])
    assert {(row.model, row.seed, row.protocol, row.labels, row.draw, row.k) for row in found} == {
        ("flexlam", 0, "scarce", "16", 1, 4)
    }


def test_a_translator_gives_accuracies_by_budget_and_dataset():
    piece = Piece("a", "m", (), (), ACCURACY, Cell("fixed_4", 0, "scarce", "16", 0))
    found = rows_of(piece, validation({1: 0.4, 4: 0.6}))
    assert {(row.k, row.task): round(row.value, 6) for row in found} == {
        (1, "aim_noisy"): 0.3,
        (1, "walk_noisy"): 0.5,
        (1, "mean"): 0.4,
        (4, "aim_noisy"): 0.5,
        (4, "walk_noisy"): 0.7,
        (4, "mean"): 0.6,
    }
    alone = rows_of(piece, {"validation": {"4": number(0.6)}})
    assert [(row.k, row.task, row.value) for row in alone] == [(4, "mean", 0.6)]


def test_the_file_has_a_line_per_row(rows):
    lines = list(csv.DictReader(io.StringIO(as_csv(rows))))
    assert len(lines) == len(rows) and tuple(lines[0]) == COLUMNS
    random = next(line for line in lines if line["model"] == "random")
    assert (random["seed"], random["k"], random["protocol"]) == ("", "", "")


def test_differences_are_taken_between_equal_runs_and_episodes(rows):
    points = summary(rows)
    of = dict(protocol="scarce", labels="16", metric=METRIC, task="mean")
    ahead = number_of(points, model=DIFFERENCE, k=1, **of)
    # Draws and episodes differ by more than the models do; the difference is the same in all.
    assert (ahead.mean, ahead.low, ahead.high) == pytest.approx((0.2, 0.2, 0.2))
    alone = number_of(points, model=FIXED, k=1, **of)
    assert alone.high - alone.low > 0.1
    assert number_of(points, model=DIFFERENCE, k=4, **of).mean == pytest.approx(0)
    overall = number_of(points, model=DIFFERENCE, k=ALL_BUDGETS, **of)
    assert overall.mean == pytest.approx(0.1)
    assert (
        overall.n == 4 and overall.over == "runs (2 seeds x 2 label draws, 2 episodes of each task)"
    )


def test_means_are_over_all_runs_and_tasks(rows):
    points = summary(rows)
    of = dict(protocol="scarce", labels="16", metric=METRIC, model="flexlam", k=4)
    assert number_of(points, task="mean", **of).mean == pytest.approx(0.05 + 0.2 + 0.2)
    assert number_of(points, task="aim", **of).mean == pytest.approx(0.45)
    accuracy = dict(protocol="narrow:aim_sticky", labels="all", metric="accuracy", task="mean")
    assert number_of(points, model=FIXED, k=4, **accuracy).mean == pytest.approx(0.5)


def test_a_baseline_stands_once_beside_a_number_of_labels(rows):
    of_16 = [point for point in summary(rows) if (point.labels, point.metric) == ("16", "accuracy")]
    found = [point.number.mean for point in of_16 if point.model == "majority"]
    assert found == pytest.approx([0.2] * len(found)) and found
    assert len(found) == len({point.protocol for point in of_16})


def test_baselines_are_of_the_tasks_that_stand_beside_them(rows):
    """Narrow labels leave their own task out, and so must what they are compared with."""
    cell = Cell("cloning", 0, labels="all")
    result = returns([0.5, 0.5])
    for played in result["tasks"]["aim"]["episodes"]:
        played["return"] = 10.0  # 1, and walk .5
    cloned = rows_of(Piece("cloning", "m", (), (), RETURNS, cell), result)
    points = summary([row for row in rows if row.model != "cloning"] + cloned)
    of = dict(model="cloning", metric=METRIC)
    beside = {"scarce": 0.75, "narrow:aim_sticky": 0.5, "narrow:stand_sticky": 0.75, "": 0.75}
    for protocol, mean in beside.items():
        for number in [p.number for p in find(points, protocol=protocol, task="mean", **of)]:
            assert number.mean == pytest.approx(mean)
    assert number_of(points, protocol="", task="aim", **of).mean == 1.0


def test_one_run_has_the_interval_of_its_translator(rows):
    """Over test episodes: there is no other run to tell it by."""
    points = summary([row for row in rows if row.seed == 0])
    of = dict(labels="all", metric="accuracy", task="mean", model="flexlam", k=4)
    alone = number_of(points, protocol="narrow:aim_sticky", **of)
    assert (alone.low, alone.high) == pytest.approx((0.4, 0.6))


def test_an_unfinished_sweep_has_the_numbers_that_are_there(rows):
    started = [row for row in rows if row.model in ("flexlam", "fixed_1") and row.seed == 0]
    points = summary(started)
    of = dict(protocol="scarce", labels="16", metric=METRIC, task="mean")
    assert number_of(points, model=DIFFERENCE, k=1, **of).mean == pytest.approx(0.2)
    assert number_of(points, model=FIXED, k=4, **of) is None
    assert [curve for _, curves in page.figures(points) for curve in curves]


def test_pages_show_the_curve_the_points_and_the_lines(rows):
    points = summary(rows)
    figures = {
        (title, curve.title): curve for title, curves in page.figures(points) for curve in curves
    }
    curve = figures["Normalised return by budget", "16 labels, normalised return"]
    assert [(one.joined, [x for x, _ in one.points]) for one in curve.series] == [
        (True, [1, 4]),
        (False, [1, 4]),
    ]
    assert [level.name for level in curve.levels] == ["cloning", "random"]
    accuracy = figures["Accuracy by budget", "16 labels, accuracy"]
    assert {level.name for level in accuracy.levels} == {
        "majority class",
        "inverse model, all labels",
    }
    assert ("PSNR by budget", "PSNR") in figures
    times = times_table({"lam": {"pieces": 3, "seconds": 90.0, "cpu_seconds": 120.0}})
    made = {"command": "python -m x", "date": "today"}
    text = page.markdown(points, made, times)
    assert (
        "| scarce | 16 | 1 |" in text
        and "| all | 3 | 1.5 | 2.0 |" in text
        and "python -m x" in text
    )
    assert "<svg" in page.html(points, made, times)
    assert page.svg(points).count("Fixed-K, a model for each k</text>") == len(figures)

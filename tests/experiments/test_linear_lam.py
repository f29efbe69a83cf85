"""The linear study: its cases, what it says of rows, and its command from flags to files."""

import csv
import json

import pytest
from PIL import Image

from experiments.linear_lam import summary
from experiments.linear_lam.png import png
from experiments.linear_lam.sweeps import SWEEPS, cases
from flexlam_jax.linear.objective import view
from flexlam_jax.reports.results import Curve, Number, Series
from tests.experiments.command_lines import run_lines


def test_every_sweep_has_cases_that_can_be_trained_and_none_twice():
    every = cases()
    assert {case.sweep for case in every} == {sweep.name for sweep in SWEEPS}
    names = [(case.sweep, case.arm, case.x) for case in every]
    prefixes = [name for name in names if name[0] == "prefixes"]
    assert len(set(names)) == len(names) and len(prefixes) == 15
    for case in every:
        view(case.drawn(0), case.objective)  # Raises for what cannot be.
    assert {case.sweep for case in cases(fast=True)} == {sweep.name for sweep in SWEEPS}


def row(x, action, seed=0, **more):
    told = {"sweep": "threshold", "arm": "one", "x": x, "seed": seed, "prefix": 3}
    return told | {"excess": 0.001, "angle": 0.5, "action": action, "sampled": False} | more


def test_the_turning_point_lies_where_half_of_the_action_is_said():
    rows = [row(0.8, 1.0), row(0.9, 0.8), row(1.1, 0.0), row(1.3, 0.0)]
    rows += [row(x, action, seed=1) for x, action in ((0.8, 1.0), (1.0, 0.5), (1.3, 0.0))]
    (found,) = summary.turning_points(rows)
    assert found["turn"].mean == pytest.approx((0.975 + 1.0) / 2)
    assert found["turn"].n == 2
    assert summary.reached(rows)["turn"] == pytest.approx(0.0125)


def test_an_order_that_never_turns_has_no_turning_point():
    rows = [row(0.8, 1.0), row(1.3, 0.9)]
    assert summary.reached(rows)["turn"] is None
    assert summary.turning_points(rows) == [{"arm": "one"}]


def test_the_worst_fit_counts_and_angles_that_are_not_known_do_not():
    rows = [row(0.8, 1.0, excess=0.02, angle=None), row(1.2, 0.0, angle=3.0)]
    rows.append(row(1.3, 0.0, excess=0.5, sampled=True))
    told = summary.reached(rows)
    assert (told["excess"], told["angle"]) == (0.02, 3.0)
    assert (told["excess_sampled"], told["angle_sampled"]) == (0.5, 0.5)


def test_the_picture_shows_every_chart(tmp_path):
    def curve(values):
        points = [(x, Number(y, y - 0.1, y + 0.1, 3, "", "seeds")) for x, y in values]
        series = [Series("trained", points, joined=False), Series("closed form", points)]
        return Curve("a title", series, x_label="x")

    charts = [curve([(0.3, 0.0), (2.0, 1.0)]), curve([(1, 0.5), (6, 0.2)]), curve([(0, 0), (1, 1)])]
    (tmp_path / "one.png").write_bytes(png(charts))
    picture = Image.open(tmp_path / "one.png").convert("RGB")
    across, down = picture.width // 2, picture.height // 2
    corners = [(x, y, x + across, y + down) for y in (0, down) for x in (0, across)]
    drawn = [len(picture.crop(corner).getcolors(100_000)) > 8 for corner in corners]
    assert drawn == [True, True, True, False]


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("linear")


@pytest.fixture(scope="module")
def lines(out):
    (out / "theirs").mkdir()
    (out / "theirs" / "notes.txt").write_text("mine")
    return run_lines(
        "linear_lam.command",
        [
            [f"--out={out}/study", "--fast", "--seeds=0,1", "--sweeps=threshold,policy"],
            [f"--out={out}/study", "--fast", "--seeds=0,1"],
            [f"--out={out}/study", "--seeds=0,1"],
            [f"--out={out}/new", "--sweeps=nois"],
            [f"--out={out}/theirs", "--fast"],
            [f"--out={out}/study", "--seeds=0,x"],
            [f"--out={out}/study", "--seeds=0,0"],
            [f"--out={out}/study", "--fast", "--seeds=-1"],
        ],
    )


def test_the_smoke_run_writes_everything(lines, out):
    assert lines[0][0] == 0, lines[0]
    code, text, error, _ = lines[1]
    assert code == 0, error
    assert "15 cases of 2 seeds, 11 of them to be trained" in text  # Two sweeps were there.
    told = json.loads((out / "study" / "exogenous_linear.json").read_text())
    assert told["reached"].keys() >= {"excess", "angle", "turn"} and told["seeds"] == "0, 1"
    rows = list(csv.DictReader((out / "study" / "exogenous_linear.csv").open()))
    assert {row["sweep"] for row in rows} == {sweep.name for sweep in SWEEPS}
    assert {row["seed"] for row in rows} == {"0", "1"}
    page = (out / "study" / "exogenous_linear.md").read_text()
    for sweep in SWEEPS:
        assert f"](exogenous_linear_{sweep.name}.png)" in page
        Image.open(out / "study" / f"exogenous_linear_{sweep.name}.png").verify()
    assert "What was to be reached" in text and "nan" not in page.lower()


def test_what_is_refused_is_one_message(lines):
    refused = [
        "of a smoke run",
        "unknown nois; known: noise",
        "holds notes.txt, not",
        "give whole numbers",
        "names 0 more than once",
        "give whole numbers",
    ]
    for (code, _, error, _), told in zip(lines[2:], refused, strict=True):
        assert code == 1 and told in error and len(error.strip().splitlines()) == 1

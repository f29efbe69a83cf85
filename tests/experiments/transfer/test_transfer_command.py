"""The command that carries codes over, as a user runs it, on an untrained model."""

import csv
import json

import pytest

from data_pipelines.conversion.build import prepare
from data_pipelines.format.manifest import open_dataset
from data_pipelines.registry import recipe_options
from experiments.transfer.pairing import COLUMNS
from tests.experiments.command_lines import run_lines
from tests.untrained import save_run


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("place")
    for name, size, seed in (("data", 16, 0), ("elsewhere", 16, 1), ("large", 24, 0)):
        flags = (f"--size={size}", "--episodes=16", f"--seed={seed}")
        prepare("synthetic", place / name, recipe_options("synthetic", *flags))
    data = {"path": str(place / "data"), "datasets": [], "gap": 1}
    save_run(place / "run", data=data)
    (name,) = open_dataset(place / "data").datasets
    episode = open_dataset(place / "data").episodes(name, "test")[0]["episode"]
    lines = [f"{name},{episode},{t},{name},{episode},{t + 1}" for t in range(3)]
    (place / "pairs.csv").write_text("\n".join([",".join(COLUMNS), *lines]) + "\n")
    lines[1] = f"{name},{episode},9999,{name},{episode},0"
    (place / "absent.csv").write_text("\n".join([",".join(COLUMNS), *lines]) + "\n")
    return place, name


@pytest.fixture(scope="module")
def results(place):
    """name -> (exit code, stdout, stderr)."""
    place, name = place
    common = [f"--checkpoint={place}/run", f"--target_datasets={name}", f"--out={place}/x"]
    there = f"--target_data={place}/elsewhere"
    lines = {
        "elsewhere": [*common[:2], there, "--transitions=20", f"--out={place}/report"],
        "by hand": [*common[:2], f"--pairs={place}/pairs.csv", f"--out={place}/hand"],
        "similar": [*common[:2], there, "--pairs=similar", "--budgets=1", f"--out={place}/alike"],
        "absent": [*common, f"--pairs={place}/absent.csv"],
        "size": [*common, f"--target_data={place}/large"],
        "target": [common[0], "--target_datasets=nowhere", common[2]],
        "budget": [*common, "--budgets=9"],
        "translator": [*common, f"--translator={place}/run"],
        "data": [*common[:2], f"--out={place}/data"],
    }
    return dict(zip(lines, run_lines("transfer.command", list(lines.values())), strict=True))


def test_the_report_has_every_budget_and_a_gallery(place, results):
    place, name = place
    code, shown, errors, _ = results["elsewhere"]
    assert code == 0, errors
    report = json.loads((place / "report" / "report.json").read_text())
    assert [row["k"] for row in report["rows"]] == [1, 2, 3]
    first = report["rows"][0]
    assert first["psnr_copy"]["over"] == "episodes" and 0 <= first["ids"]["mean"] <= 1
    assert "action_real" not in first and "no --translator was given" in (
        page := (place / "report" / "report.html").read_text()
    )
    assert "Carried over" in page and "k = 3 of 3" in page and f"on {name}" in page
    for line in report["summary"]:
        assert line in shown
    rows = list(csv.DictReader((place / "report" / "transfer.csv").open()))
    assert {"lost", "above", "kept", "ratio", "psnr_home"} <= {row["measure"] for row in rows}
    assert "--transitions=20" in report["run"]["command"] and name in report["title"]


def test_pairs_by_hand_and_by_likeness(place, results):
    place, _ = place
    for name, folder, pairs in (("by hand", "hand", 3), ("similar", "alike", None)):
        code, _, errors, _ = results[name]
        assert code == 0, errors
        data = json.loads((place / folder / "report.json").read_text())["run"]["data"]
        assert pairs is None or f"{pairs} transitions of 1 episodes" in data


@pytest.mark.parametrize(
    "name, message",
    [
        ("absent", "line 3: no transition of the test split of"),
        ("size", "has frames of 24x24x3, the model reads 16x16x3"),
        ("target", "holds no dataset 'nowhere'"),
        ("budget", "[9] are outside 0..3"),
        ("translator", "where one of kind 'translator' is needed"),
        ("data", "holds a dataset"),
    ],
)
def test_what_does_not_fit_is_one_message(results, name, message):
    code, _, errors, _ = results[name]
    assert code == 1 and message in errors and "error: " in errors, errors

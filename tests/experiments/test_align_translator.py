"""Translators of several datasets, of a share of their labels, and of a narrow source."""

import json
import shutil

import numpy as np
import pytest

import flexlam_jax
from data_pipelines.conversion.build import prepare
from data_pipelines.registry import recipe_options
from tests.experiments.command_lines import run_lines
from tests.untrained import save_run

PLAN = "--plan=catch_sticky=700,catch_random=500"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """data/ with two datasets of one action table, other/ with two tables, and a model."""
    place = tmp_path_factory.mktemp("align")
    recipe = "docs.examples.toy_simulator"
    prepare(recipe, place / "data", recipe_options(recipe, PLAN, "--size=16"))
    shutil.copytree(place / "data", place / "other")
    manifest = json.loads((place / "other" / "manifest.json").read_text())
    spec = manifest["datasets"]["catch_random"]["spec"]
    spec["action"]["names"] = ["stay", "up", "down"]
    (place / "other" / "manifest.json").write_text(json.dumps(manifest))
    save_run(place / "run", data={"path": str(place / "data"), "datasets": [], "gap": 1})
    return place


def test_codes_that_are_kept_make_the_same_translator(place):
    lines = [
        [f"--checkpoint={place}/run", f"--workdir={place}/{name}", "--labels=32", *cache]
        for name, cache in (
            ("plain", []),
            ("first", [f"--codes_cache={place}/kept"]),
            ("second", [f"--codes_cache={place}/kept"]),
        )
    ]
    results = run_lines("align_translator", lines)
    assert [code for code, *_ in results] == [0, 0, 0], results
    encoded = ["encode train" in err for _, _, err, _ in results]
    assert encoded == [True, True, False] and len(list((place / "kept").iterdir())) == 2
    of = [flexlam_jax.load_translator(place / name) for name in ("plain", "first", "second")]
    codes = np.linspace(-1, 1, 2 * of[0].config.slots * of[0].config.slot_width, dtype=np.float32)
    codes = codes.reshape(2, of[0].config.slots, of[0].config.slot_width)
    expected, *others = (np.asarray(translator.outputs(codes)) for translator in of)
    for outputs in others:
        np.testing.assert_array_equal(outputs, expected)


def test_translators_of_several_datasets(place):
    good = [f"--checkpoint={place}/run"]
    narrow = [
        *good,
        f"--workdir={place}/narrow",
        "--datasets=catch_sticky",
        "--evaluate_on=catch_random,catch_sticky",
        "--labels=10%",
        "--draw=1",
    ]
    results = run_lines(
        "align_translator",
        [
            narrow,
            narrow,
            [*narrow, "--draw=2"],
            [*narrow, "--evaluate_on=catch_random"],
            [*good, f"--workdir={place}/both", "--labels=all"],
            [*good, f"--workdir={place}/other_", f"--data={place}/other"],
            [*narrow, f"--workdir={place}/other_", f"--data={place}/other"],
        ],
    )
    first, again, draw, told_elsewhere, both, two_tables, two_tables_apart = results
    manifest = json.loads((place / "data" / "manifest.json").read_text())
    there = manifest["datasets"]["catch_sticky"]["splits"]["train"]["transitions"]
    used = int(np.ceil(there / 10))
    assert first[0] == 0 and f"fitted on {used} labels (10% of {there})" in first[1]
    assert "Validation accuracy by dataset" in first[1]
    assert again[0] == 0 and "already there" in again[1]
    for code, _, err, _ in (draw, told_elsewhere):
        assert code == 1 and "made with other settings" in err
    assert both[0] == 0, both[2]
    for code, _, err, _ in (two_tables, two_tables_apart):
        assert code == 1 and "have different action sets" in err
        assert "catch_sticky (discrete: stay, left, right)" in err
        assert "catch_random (discrete: stay, up, down)" in err

    data = flexlam_jax.load_translator(place / "narrow").config.data
    assert (data["datasets"], data["draw"], data["labels_used"]) == (["catch_sticky"], 1, used)
    assert data["evaluate_on"] == ["catch_random", "catch_sticky"]
    by_dataset = data["validation_by_dataset"]["3"]
    assert set(by_dataset) == {"catch_random", "catch_sticky", "mean"}
    two = [by_dataset[name]["mean"] for name in data["evaluate_on"]]
    assert by_dataset["mean"]["mean"] == pytest.approx(np.mean(two))
    data = flexlam_jax.load_translator(place / "both").config.data
    assert data["labels_used"] > there and "evaluate_on" not in data and "draw" not in data


def test_probes_of_a_narrow_source_are_told_by_dataset(place):
    ((code, out, err, _),) = run_lines(
        "evaluate_lam",
        [
            [
                f"--checkpoint={place}/run",
                f"--out={place}/report",
                "--labels_from=catch_sticky",
                "--datasets=catch_random,catch_sticky",
                "--label_counts=10%",
                "--budgets=1",
                "--draws=1",
                "--pictures=1",
                "--decode_limit=8",
            ]
        ],
    )
    assert code == 0, err
    report = json.loads((place / "report" / "report.json").read_text())
    assert report["data"]["labels_from"] == ["catch_sticky"]
    assert report["notes"][0].startswith("10% of ")
    row = report["models"][0]["probes"][0]
    assert set(row["by_dataset"]) == {"catch_random", "catch_sticky", "mean"}
    assert "Accuracy by dataset" in out
    assert (place / "report" / "probes.csv").read_text().count("\n") == 1 + 4 * (2 + 4)

"""evaluate_lam on data that hold what the agent does not control, and on data that do not."""

import json

import numpy as np
import pytest

from data_pipelines.conversion.build import prepare
from data_pipelines.format.manifest import open_dataset
from data_pipelines.format.sidecar_writing import write_sidecar
from data_pipelines.format.sidecars import split_episodes
from data_pipelines.registry import recipe_options
from experiments.exogenous_truth import truth_of
from experiments.lam_inputs import Source
from flexlam_jax.errors import UserError
from tests.experiments.command_lines import run_lines
from tests.untrained import save_run

QUICK = ("--label_counts=64", "--draws=1", "--pictures=1", "--budgets=1,3", "--decode_limit=20")


def synthetic(out, *flags):
    prepare("synthetic", out, recipe_options("synthetic", "--size=16", "--episodes=8", *flags))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """data/ with a distractor and masks, features/ of its frames, plain/, and a model of data/."""
    place = tmp_path_factory.mktemp("place")
    synthetic(place / "data", "--distractors=1", "--masks")
    synthetic(place / "plain")
    save_run(place / "run", data={"path": str(place / "data"), "datasets": [], "gap": 1})
    info = open_dataset(place / "data")
    for split in ("train", "test"):
        lengths = split_episodes(info, "square", split).lengths
        values = np.random.default_rng(0).normal(size=(int(lengths.sum()), 3)).astype(np.float32)
        write_sidecar(
            place / "features", info, "square", split, values, kind="features", alignment="frame"
        )
    return place


@pytest.fixture(scope="module")
def said(place):
    """name -> (exit code, stdout, stderr, ...) of commands, one after the other."""
    eye = f"--features=eye={place}"
    lines = {
        "report": [f"--out={place / 'report'}", f"{eye}/features"],
        "truth": [f"--out={place / 'new'}", f"--data={place / 'plain'}", "--leakage"],
        "item": [f"--out={place / 'new'}", "--features=eye"],
        "folder": [f"--out={place / 'new'}", f"{eye}/nowhere"],
        "perceptual": [f"--out={place / 'new'}", f"--perceptual={place}/alex.pth"],
    }
    all_have = [f"--checkpoint={place / 'run'}", *QUICK]
    done = run_lines("evaluate_lam", [[*all_have, *flags] for flags in lines.values()])
    return dict(zip(lines, done, strict=True))


def test_the_report_has_leakage_by_itself_where_the_data_have_the_truth(place, said):
    code, out, err, _ = said["report"]
    assert code == 0, err
    report = json.loads((place / "report" / "report.json").read_text())
    rows = report["leakage"]["models"]["run"]
    assert [row["features"] for row in rows][:3] == ["k = 1", "k = 3", "slot 1 alone"]
    assert {"accuracy", "action_nmse", "endogenous", "exogenous", "exogenous_level"} <= set(rows[0])
    assert report["leakage"]["baselines"][-1]["features"] == "features eye"
    assert set(report["leakage"]["left_out"]) == {"distractor0_dx", "distractor0_dy"}
    # Nothing else moves, so there is no `rest`.
    assert set(report["leakage"]["regions"]["run"][0]) == {"k", "exogenous", "agent"}
    assert "additivity" in report["label_free"]["run"][0]
    assert [one["rows"] for one in report["verdict"]["missing"]] == ["perceptual distance"]
    page = (place / "report" / "report.html").read_text()
    for line in report["verdict"]["lines"]:
        assert line in out
    assert page.count('<figure class="clip">') == 1 and "run <b>k = 3: " in page
    assert "<h2>Verdict</h2>" in page and "What the code carries, by prefix length" in page


def test_what_is_asked_for_and_not_there_is_one_message(place, said):
    for name, message in {
        "truth": "--leakage: dataset square does not say which columns of its state",
        "item": "--features item 'eye' is not NAME=FOLDER",
        "folder": "data.sidecars.features_eye",
        "perceptual": "alex.pth is a pickle",
    }.items():
        code, _, err, _ = said[name]
        assert code == 1 and message in err and len(err.splitlines()) == 1, err
    assert not (place / "new").exists() or not list((place / "new").glob("report*"))


def test_what_is_known_is_what_all_datasets_know(place):
    info = open_dataset(place / "data")
    square = Source(info, ("square",), 1)
    truth = truth_of(square, square)
    assert truth.masks == ("exogenous_mask", "agent_mask") and not truth.why
    assert truth.exogenous_state == truth.state_names[2:] and len(truth.exogenous_state) == 4
    plain = Source(open_dataset(place / "plain"), ("square",), 1)
    with pytest.raises(UserError, match="leave the flag out"):
        truth_of(plain, plain).check_asked()

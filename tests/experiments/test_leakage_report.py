"""evaluate_lam on data that hold what the agent does not control, and on data that do not."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from data_pipelines.format.manifest import open_dataset
from data_pipelines.format.sidecar_writing import write_sidecar
from data_pipelines.format.sidecars import split_episodes
from experiments.exogenous_truth import truth_of
from experiments.lam_inputs import Source
from flexlam_jax.errors import UserError
from tests.experiments.command_lines import run_lines
from tests.untrained import save_run

REPO = Path(__file__).resolve().parents[2]
QUICK = ("--label_counts=64", "--draws=1", "--pictures=1", "--budgets=1,3", "--decode_limit=20")


def prepare(out, *flags):
    command = ["-m", "data_pipelines.prepare", "synthetic", "--size=16", "--episodes=8"]
    subprocess.run(
        [sys.executable, *command, f"--out={out}", *flags],
        check=True,
        cwd=REPO,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """data/ with a distractor and masks, features/ of its frames, plain/, and a model of data/."""
    place = tmp_path_factory.mktemp("place")
    prepare(place / "data", "--distractors=1", "--masks")
    prepare(place / "plain")
    save_run(place / "run", data={"path": str(place / "data"), "datasets": [], "gap": 1})
    info = open_dataset(place / "data")
    for split in ("train", "test"):
        lengths = split_episodes(info, "square", split).lengths
        values = np.random.default_rng(0).normal(size=(int(lengths.sum()), 3)).astype(np.float32)
        write_sidecar(
            place / "features", info, "square", split, values, kind="features", alignment="frame"
        )
    return place


def test_the_report_has_leakage_by_itself_where_the_data_have_the_truth(place):
    good = (f"--checkpoint={place / 'run'}", f"--out={place / 'report'}", *QUICK)
    ((code, out, err, _),) = run_lines(
        "evaluate_lam", [[*good, f"--features=eye={place / 'features'}"]]
    )
    assert code == 0, err
    report = json.loads((place / "report" / "report.json").read_text())
    rows = report["leakage"]["models"]["run"]
    assert [row["features"] for row in rows][:3] == ["k = 1", "k = 3", "slot 1 alone"]
    assert {"accuracy", "action_nmse", "endogenous", "exogenous", "exogenous_level"} <= set(rows[0])
    assert report["leakage"]["baselines"][-1]["features"] == "features eye"
    assert set(report["leakage"]["left_out"]) == {"distractor0_dx", "distractor0_dy"}
    # Nothing else moves, so there is no `rest`.
    assert set(report["leakage"]["regions"]["run"][0]) == {"k", "exogenous", "agent"}
    assert "additivity" in report["label_free"]["run"][0] and report["verdict"]["missing"] == []
    page = (place / "report" / "report.html").read_text()
    for line in report["verdict"]["lines"]:
        assert line in out
    assert "<h2>Verdict</h2>" in page and "What the code carries, by prefix length" in page


def test_what_is_asked_for_and_not_there_is_one_message(place):
    good = (f"--checkpoint={place / 'run'}", f"--out={place / 'new'}", *QUICK)
    plain = f"--data={place / 'plain'}"
    cases = [
        ([plain, "--leakage"], "--leakage: dataset square does not say which columns of its state"),
        (["--features=eye"], "--features item 'eye' is not NAME=FOLDER"),
        ([f"--features=eye={place / 'nowhere'}"], "data.sidecars.features_eye"),
    ]
    for (_, message), (code, _, err, _) in zip(
        cases, run_lines("evaluate_lam", [[*good, *flags] for flags, _ in cases]), strict=True
    ):
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

"""The commands of a study meet their data: every training is built, a small study runs to its page."""

import json
import subprocess
import sys

import pytest
from absl import flags

from data_pipelines.conversion.build import prepare
from data_pipelines.registry import recipe_options
from experiments import preset_flag
from experiments.exogenous_study.pieces import pieces
from experiments.exogenous_study.remedies import LABELLED, REMEDIES
from experiments.tasks.registry import build_task, check_config
from tests.experiments.command_lines import REPO
from tests.experiments.exogenous_study.test_exogenous_pieces import settings

TINY = "tests/experiments/exogenous_study/tiny_exogenous.py"


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A study at one strength, whose data are there."""
    s = settings(
        tmp_path_factory.mktemp("study"),
        config=TINY,
        size=16,
        strengths=(1.0,),
        seeds=(0,),
        labels="16",
    )
    (data,) = [piece for piece in pieces(s) if piece.module == "data_pipelines.prepare"]
    recipe, out, *others = data.flags
    assert prepare(recipe, out.partition("=")[2], recipe_options(recipe, *others))
    return s


def config_of(piece, monkeypatch):
    """The config that a training's flags give."""
    values = flags.FlagValues()
    preset_flag.define_config("A preset.", values)
    monkeypatch.setattr(sys, "argv", ["", *piece.flags[:-1]])  # The last is --workdir.
    values(sys.argv)
    return values.config


def test_every_training_is_one_that_its_data_allow(study, monkeypatch):
    built = {}
    for piece in pieces(study):
        if piece.module == "experiments.train":
            config = config_of(piece, monkeypatch)
            check_config(config)
            build_task(config)
            built[piece.name.rpartition("/")[2]] = config
    assert list(built) == [one.name for one in REMEDIES]
    for remedy in REMEDIES:
        config = built[remedy.name]
        assert (config.get("kind", "lam") == "lam_finetune") == (remedy.learns_from == LABELLED)
        assert config.total_steps == built["plain"].total_steps == 2
        assert config.model.encoder == built["plain"].model.encoder


def test_a_small_study_runs_to_its_page_and_then_has_nothing_to_do(tmp_path):
    out = tmp_path / "out"
    line = [sys.executable, "-m", "experiments.exogenous_study", f"--out={out}", "--fast"]
    line += [f"--config={TINY}", "--strengths=1", "--budgets=1,2"]

    def run():
        return subprocess.run(line, capture_output=True, text=True, cwd=REPO)

    first = run()
    assert first.returncode == 0, first.stdout + first.stderr
    results = json.loads((out / "results.json").read_text())
    titles = [table["title"] for table in results["tables"]]
    assert "What the first k slots carry" in titles and "Ahead of plain FlexLAM at k = 1" in titles
    assert set(results["stages"]) == {"data", "lam", "report"}
    rows = (out / "results.csv").read_text().splitlines()
    assert {row.split(",")[2] for row in rows[1:]} == {"plain", "ordered_cross"}
    assert "4 pieces, 4 of them finished before" in run().stdout

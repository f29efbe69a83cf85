"""The commands of a study meet their data: all trainings are built, one arm runs from start to end."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from absl import flags

from data_pipelines.conversion.build import prepare
from data_pipelines.format.manifest import open_dataset
from data_pipelines.format.sidecar_writing import write_sidecar
from data_pipelines.format.sidecars import split_episodes
from data_pipelines.registry import recipe_options
from experiments import policy_data, preset_flag
from experiments.hilam_study.arms import ARMS, BAKU, prefix_arms
from experiments.hilam_study.pieces import pieces
from experiments.hilam_study.rates import MEAN
from experiments.hilam_study.settings import Presets, Settings
from experiments.tasks.registry import build_task, check_config
from tests.experiments.command_lines import REPO

SIMULATOR = "tests.experiments.hilam_study.pusher"
FOLDER = "tests/experiments"
PRESETS = Presets(
    f"{FOLDER}/hilam_study/tiny_lam.py",
    f"{FOLDER}/tiny_hilam.py",
    f"{FOLDER}/hilam_study/tiny_baku.py",
    f"{FOLDER}/hilam_study/tiny_baku.py",
)
SLOTS, WIDTH, SKILL = 3, 2, 4


@pytest.fixture(scope="module")
def demonstrations(tmp_path_factory):
    """Demonstrations of pusher.py, 16 px. Read only."""
    folder = tmp_path_factory.mktemp("pusher") / "data"
    assert prepare(SIMULATOR, folder, recipe_options(SIMULATOR, "--size=16"))
    return folder


def study(out, data, arms):
    return Settings(
        out=out,
        presets=PRESETS,
        simulator=SIMULATOR,
        tasks=("push",),
        demonstrations=3,
        size=16,
        data=str(data),
        cameras=(),
        gap=1,
        suite=SIMULATOR,
        protocol="",
        episodes=1,
        execute=0,
        arms=arms,
        shares=(50, 100),
        seeds=(0,),
    )


def config_of(piece, monkeypatch):
    """The config that a training's flags give."""
    values = flags.FlagValues()
    preset_flag.define_config("A preset.", values)
    monkeypatch.setattr(sys, "argv", ["", *piece.flags[:-1]])  # The last is --workdir.
    values(sys.argv)
    return values.config


def write_labels(piece, data):
    """Random rows in place of what extract_latents or extract_skills would write."""
    info, skills = open_dataset(data), piece.module.endswith("skills")
    slots = 2 if piece.name.endswith("fixed_2") else SLOTS
    # Predicted skills say that they are of the model whose skills they are predictions of.
    made_by = {"model": piece.name.replace("/predicted/", "/skills/").ljust(64), "step": 1}
    if skills:
        made_by["cuts"] = piece.name.rpartition("_")[2]
    else:
        made_by |= {"slots": slots, "slot_width": WIDTH, "codebook_size": None}
    (out,) = [flag.partition("=")[2] for flag in piece.flags if flag.startswith("--out=")]
    for name in info.datasets:
        for split in ("train", "validation"):
            rows = split_episodes(info, name, split).offsets("transition", 1)[-1]
            shape = (rows, SKILL) if skills else (rows, slots, WIDTH)
            values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
            arrays = {"skill": values, "boundary": np.ones(rows, np.uint8)}
            write_sidecar(
                Path(out),
                info,
                name,
                split,
                arrays if skills else {"slots": values},
                kind="skills" if skills else "latents",
                alignment="transition",
                gap=1,
                made_by=made_by,
            )


def body_of(task):
    """Shapes of the parameters that a low level takes along."""
    batch = {name: np.zeros(one.shape, one.dtype) for name, one in task.batch.items()}
    return jax.eval_shape(task.objective.init, jax.random.key(0), batch)["params"]["body"]


def test_every_training_is_one_that_its_data_allow(demonstrations, tmp_path, monkeypatch):
    settings = study(tmp_path, demonstrations, (*ARMS, *prefix_arms([2])))
    tasks = {}
    monkeypatch.setattr(policy_data, "saved_config", lambda path: tasks[str(path)].config.to_dict())
    for piece in pieces(settings):
        if piece.module.startswith(("experiments.extract", "experiments.predict")):
            write_labels(piece, demonstrations)
        elif piece.module == "experiments.train":
            config = config_of(piece, monkeypatch)
            check_config(config)
            tasks[str(tmp_path / piece.name)] = build_task(config)
    kinds = [task.config.kind for task in tasks.values() if task.config]
    assert kinds.count("hilam") == 3 and kinds.count("policy") == len(kinds) - 3 > 25

    def task(name):
        return tasks[str(tmp_path / f"seed0/{name}")]

    low, before = task("acting/hilam_50"), task("from_video/predicted_flexlam_z2_learned_to_z0")
    assert before.config.predicts.width == SLOTS * WIDTH and low.config.predicts.width == 1
    assert low.config.reads.skill_mean == before.config.reads.skill_mean
    assert low.config.data.episodes == 0.5 and before.config.data.get("episodes", 1.0) == 1.0
    assert body_of(low) == body_of(before)
    prefix = task("from_video/predicted_flexlam_k2_z2_learned_to_z0")
    assert prefix.config.predicts.width == 2 * WIDTH
    high = task("high/flexlam_z2_learned")
    assert high.config.predicts.source == low.config.reads.skill_source
    assert low.config.reads.skill_source != task("acting/hilam_jump_100").config.reads.skill_source


def test_a_study_runs_to_its_page_and_goes_on_with_what_is_missing(demonstrations, tmp_path):
    out = tmp_path / "out"
    line = [sys.executable, "-m", "experiments.hilam_study", "--fast", f"--out={out}"]
    line += [f"--simulator={SIMULATOR}", f"--data={demonstrations}", "--tasks=push"]
    line += [f"--arms={BAKU}", f"--lam_config={PRESETS.lam}", f"--policy_config={PRESETS.policy}"]
    line += [f"--high_config={PRESETS.high}"]
    fast = {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": "--xla_backend_optimization_level=0"}

    def run():
        environment = {**os.environ, **fast, "PYTHONPATH": str(REPO)}
        done = subprocess.run(line, cwd=REPO, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    first = run()
    assert "2 pieces, 0 of them finished before" in first and first.count(" took ") == 2
    report = json.loads((out / "results.json").read_text())
    (mean,) = [one for one in report["points"] if one["task"] == MEAN]
    assert (mean["arm"], mean["share"], mean["rate"]["n"]) == (BAKU, 100, 1)
    assert (out / "results.csv").read_text().count("\nbaku,100,0,push,") == 1
    assert "Success by share" in (out / "report.html").read_text()
    (out / "finished" / "seed0" / "evaluation" / "baku_100.json").unlink()  # as of a killed one
    again = run()
    assert "2 pieces, 1 of them finished before" in again and again.count(" took ") == 1

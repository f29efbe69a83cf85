"""Predicted skills in the place of those of the video: row by row what the high level says."""

import numpy as np
import pytest

import flexlam_jax
from data_pipelines.format.manifest import open_dataset
from data_pipelines.format.sidecar_writing import write_sidecar
from data_pipelines.format.sidecars import open_sidecar, split_episodes
from data_pipelines.loading.loader import ordered_batches
from experiments.policy_data import with_data
from experiments.train import train
from tests.experiments import tiny_policy
from tests.experiments.command_lines import run_lines

AGENT, GAP = "libero_goal_agentview", 2


@pytest.fixture(scope="module")
def demos(tmp_path_factory):
    return tiny_policy.demonstrations(tmp_path_factory.mktemp("predict"))


def write_skills(folder, demos, alignment):
    """Skills 1 and the time."""
    info, gap = open_dataset(demos), GAP if alignment == "transition" else None
    for name, splits in info.shards.items():
        for split in splits:
            ends = split_episodes(info, name, split).offsets(alignment, gap)
            times = np.concatenate([np.arange(n) for n in np.diff(ends)])
            rows = np.stack([np.ones_like(times), times], axis=1).astype(np.float32)
            write_sidecar(
                folder,
                info,
                name,
                split,
                {"skill": rows, "boundary": np.ones(len(rows), np.uint8)},
                kind="skills",
                alignment=alignment,
                gap=gap,
                made_by={"model": "m" * 64, "stage": 2, "cuts": "learned"},
            )


def high_level(folder, demos, alignment="transition"):
    """The run of a high level of two updates."""
    write_skills(folder / "skills", demos, alignment)
    config = tiny_policy.flat(demos)
    config.predicts.columns = ("skill",)
    config.data.sidecars = {"skill": {"path": str(folder / "skills"), "array": "skill"}}
    config.data.gap = GAP
    config.total_steps = 2
    config.checkpoint.every = config.eval.every = 2
    train(config, str(folder / "high"))
    return config


def test_rows_are_what_the_high_level_says_there(demos, tmp_path):
    config = high_level(tmp_path, demos)
    high, info = flexlam_jax.load(tmp_path / "high"), open_dataset(demos)
    line = [f"--policy={tmp_path / 'high'}", f"--out={tmp_path / 'predicted'}"]
    first, again = run_lines("predict_skills", [line, line])
    assert "of the variance" in first[1] and "already there" in again[1]
    for split in ("train", "validation"):
        sidecar = open_sidecar(tmp_path / "predicted", info, AGENT, split)
        batches = ordered_batches(
            demos,
            (AGENT,),
            split,
            1000,
            fields=("state",),
            gap=GAP,
            views=high.cameras[1:],
            language=True,
        )
        batch = next(batches)
        seen = {
            "agentview": batch["frames"][:, 0],
            "eye_in_hand": batch["frames_eye_in_hand"][:, 0],
        }
        text = [batches.languages[i] for i in batch["language"]]
        expected = high.decide(seen, batch["state"][:, 0], text)[:, 0]
        np.testing.assert_allclose(sidecar.array("skill"), expected, atol=1e-5)
        assert len(np.unique(np.asarray(sidecar.array("skill")), axis=0)) > 1
        assert sidecar.facts.made_by["cuts"] == "learned" and sidecar.facts.made_by["predicted_by"]
    # For a low level they are the skills that the high level predicts.
    low = tiny_policy.flat(demos)
    low.reads.skill, low.data.gap = "skill", GAP
    low.data.sidecars = {"skill": str(tmp_path / "predicted")}
    assert with_data(low).reads.skill_source == with_data(config).predicts.source


def test_other_policies_are_refused(demos, tmp_path):
    flat = tiny_policy.flat(demos)
    flat.total_steps = flat.checkpoint.every = flat.eval.every = 2
    train(flat, str(tmp_path / "flat"))
    high_level(tmp_path, demos)
    high_level(tmp_path / "frames", demos, "frame")
    out = f"--out={tmp_path / 'predicted'}"
    lines = {
        "predicts actions; give a high level": [f"--policy={tmp_path / 'flat'}", out],
        "has no row per transition": [f"--policy={tmp_path / 'frames' / 'high'}", out],
        "has no split 'tests'": [f"--policy={tmp_path / 'high'}", out, "--splits=tests"],
    }
    ran = run_lines("predict_skills", list(lines.values()))
    for told, (code, _, error, _) in zip(lines, ran, strict=True):
        assert code == 1 and told in error
    assert not (tmp_path / "predicted").exists()

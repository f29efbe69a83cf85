"""Predicted skills in the place of those of the video: row by row what the high level says."""

import numpy as np
import pytest

import flexlam_jax
from data_pipelines.conversion.build import prepare
from data_pipelines.format.manifest import open_dataset
from data_pipelines.format.sidecar_writing import write_sidecar
from data_pipelines.format.sidecars import open_sidecar, split_episodes
from data_pipelines.loading.loader import ordered_batches
from data_pipelines.registry import recipe_options
from experiments.policy_data import with_data
from experiments.skill_manifest import write_skill_manifest
from experiments.tasks.registry import build_task
from experiments.train import train
from tests.experiments import tiny_policy
from tests.experiments.command_lines import run_lines

pytestmark = pytest.mark.usefixtures("shared_compilations")

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
    assert "already there" in again[1]
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
        predicted = np.asarray(sidecar.array("skill"))
        np.testing.assert_allclose(predicted, expected, atol=1e-5)
        true = np.asarray(open_sidecar(tmp_path / "skills", info, AGENT, split).array("skill"))
        error = np.square(predicted - true).sum() / true.var(axis=0).sum() / len(true)
        assert f"{split}: {len(true)} transitions, error {error:.2f} of the variance" in first[1]
        assert len(np.unique(predicted, axis=0)) > 1
        assert sidecar.facts.made_by["cuts"] == "learned" and sidecar.facts.made_by["predicted_by"]
    # For a low level they are the skills that the high level predicts.
    low = tiny_policy.flat(demos)
    low.reads.skill, low.data.gap = "skill", GAP
    low.data.sidecars = {"skill": str(tmp_path / "predicted")}
    assert with_data(low).reads.skill_source == with_data(config).predicts.source
    # They are there for the first camera alone, and the others are read beside it.
    low.reads.cameras, low.model.text = tiny_policy.CAMERAS, {"kind": "none"}
    hashes = build_task(with_data(low)).data_hashes()
    assert f"{AGENT}/train/skill" in hashes and "libero_goal_eye_in_hand/train" in hashes
    assert "libero_goal_eye_in_hand/train/skill" not in hashes


def test_other_policies_are_refused(demos, tmp_path):
    flat = tiny_policy.flat(demos)
    flat.total_steps = flat.checkpoint.every = flat.eval.every = 2
    train(flat, str(tmp_path / "flat"))
    high_level(tmp_path, demos)
    high_level(tmp_path / "frames", demos, "frame")
    out, kept, other = f"--out={tmp_path / 'predicted'}", tmp_path / "kept", tmp_path / "other"
    write_skill_manifest(kept, {"stage": 2, "cuts": "learned", "lam": {}, "model": "another"})
    before = (kept / "manifest.json").read_bytes()
    assert prepare("synthetic", other, recipe_options("synthetic", "--size=16"))
    lines = {
        "predicts actions; give a high level": [f"--policy={tmp_path / 'flat'}", out],
        "has no row per transition": [f"--policy={tmp_path / 'frames' / 'high'}", out],
        "holds other skills": [f"--policy={tmp_path / 'high'}", f"--out={kept}"],
        "holds none of the datasets": [f"--policy={tmp_path / 'high'}", out, f"--data={other}"],
        "has no split 'tests'": [f"--policy={tmp_path / 'high'}", out, "--splits=tests"],
    }
    ran = run_lines("predict_skills", list(lines.values()))
    for told, (code, _, error, _) in zip(lines, ran, strict=True):
        assert code == 1 and told in error
    assert not (tmp_path / "predicted").exists()
    assert [path.name for path in kept.iterdir() if path.name != ".lock"] == ["manifest.json"]
    assert (kept / "manifest.json").read_bytes() == before

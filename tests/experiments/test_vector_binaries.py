"""The binaries that read latent action models, on one of vectors with a history."""

import json

import numpy as np
import pytest

import flexlam_jax
from data_pipelines.conversion.build import prepare
from data_pipelines.loading.loader import ordered_batches
from data_pipelines.registry import recipe_options
from flexlam_jax import read_latents
from tests import untrained
from tests.experiments.command_lines import run_lines

COLUMNS = ["level_1", "level_2", "level_3"]
MODEL = {
    "image_size": [3, 2],
    "channels": 1,
    "slots": 2,
    "encoder": {"kind": "vector", "widths": [8]},
    "quantizer": {"kind": "fsq", "levels": [5]},
    "decoder": {"kind": "vector", "widths": [8]},
    "keep": {"kind": "uniform"},
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """place/data, of the plant; place/run and place/other, untrained models of it."""
    place = tmp_path_factory.mktemp("vectors")
    options = ("--episodes=6", "--length=60", "--actions=continuous")
    prepare("plant", place / "data", recipe_options("plant", *options))
    numbers = {"mean": [1.0] * 3, "level": [0.3] * 3, "change": [0.005] * 3}
    for name, columns in (("run", COLUMNS), ("other", ["level_1", "level_2", "pressure"])):
        vectors = {"columns": columns, "history": 2, **numbers}
        data = {"path": str(place / "data"), "datasets": [], "gap": 1}
        untrained.save_run(place / name, MODEL, kind="vector_lam", vectors=vectors, data=data)
    prepare("synthetic", place / "video", recipe_options("synthetic", "--size=16", "--episodes=6"))
    return place


def test_reports_leave_out_what_needs_pictures(place):
    out = place / "report"
    line = [f"--checkpoint={place / 'run'}", f"--out={out}", "--label_counts=20", "--draws=1"]
    other = [f"--checkpoint={place / 'other'}", f"--out={place / 'other_report'}"]
    video = [f"--checkpoint={place / 'run'}", f"--out={out}", f"--data={place / 'video'}"]
    done, wrong, pictures = run_lines("evaluate_lam", [line, other, video])
    assert done[0] == 0, done[2]
    report = json.loads((out / "report.json").read_text())
    rows = report["models"][0]["reconstruction"]
    assert [row["k"] for row in rows] == [1, 2] and "ssim" not in rows[0]
    # In units of the changes: copying has about 0 dB.
    assert abs(report["baselines"]["copy"]["psnr"]["mean"]) < 6
    names = {row["name"] for row in report["baselines"]["probes"]}
    assert names == {"majority", "observation", "pixel_pair", "shuffled"}
    assert report["metric"]["name"] == "R^2"
    assert report["notes"][0].startswith("The observations are vectors: PSNR is")
    assert "there are no pictures" in (out / "report.html").read_text()
    assert wrong[0] and "the model reads level_1, level_2, pressure: pressure missing" in wrong[2]
    assert pictures[0] and "reads level_1, level_2, level_3" in pictures[2]


def test_latents_of_all_blocks_are_those_of_the_loaded_model(place):
    lines = [
        [f"--checkpoint={place / 'run'}", f"--out={place / 'latents'}", "--splits=train"],
        [
            f"--checkpoint={place / 'run'}",
            f"--out={place / 'npz'}",
            "--splits=train",
            "--format=npz",
        ],
    ]
    for code, _, error, _ in run_lines("extract_latents", lines):
        assert code == 0, error
    found = read_latents(place / "latents", "tanks", "train")
    lam = flexlam_jax.load(place / "run")
    batches = ordered_batches(place / "data", split="train", batch_size=999, fields=("state",))
    state = np.concatenate([batch["state"] for batch in batches])[:, :, :3]
    past = np.stack([state[9, 0], state[10, 0]]), np.stack([state[10, 0], state[10, 1]])
    codes = lam.encode(*(one[None] for one in past))
    np.testing.assert_allclose(found.slots[10], codes[0], atol=1e-6)
    first = lam.encode(state[:1, 0], state[:1, 1])  # Nothing is known of what was before.
    np.testing.assert_allclose(found.slots[0], first[0], atol=1e-6)
    again = read_latents(place / "npz", "tanks", "train")
    np.testing.assert_array_equal(found.slots, again.slots)


def test_a_translator_is_fitted(place):
    out = place / "translator"
    line = [f"--checkpoint={place / 'run'}", "--labels=10%", f"--workdir={out}"]
    ((code, said, error, _),) = run_lines("align_translator", [line])
    assert code == 0, error
    assert "labels (10% of" in said
    to_action = flexlam_jax.load_translator(out)
    lam = flexlam_jax.load(place / "run")
    vectors = np.ones((4, 3), np.float32)
    assert to_action(lam.encode(vectors, vectors)).shape == (4, 2)

"""What the task of skills reads in its data, and refuses."""

import json

import numpy as np
import pytest

import flexlam_jax
from data_pipelines.errors import DataError
from experiments.latent_statistics import moments
from experiments.tasks.registry import build_task
from experiments.train import train
from flexlam_jax.errors import ConfigError
from tests.experiments import tiny_hilam
from tests.experiments.pretraining import Pretraining

pytestmark = pytest.mark.usefixtures("shared_compilations")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    pretraining = Pretraining(tmp_path_factory.mktemp("shared"))
    pretraining.prepare()
    return str(pretraining.data)


def test_a_run_is_recorded_with_its_latents_and_its_skills_load(data, tmp_path):
    config = tiny_hilam.with_latents(tiny_hilam.get_config(data), tmp_path / "latents")
    config.codes.slots = 9  # The data know better.
    config.data.column_chunk = 6
    config.lam.checkpoint = "runs/lam"
    train(config, tmp_path / "run")
    saved = json.loads((tmp_path / "run" / "config.json").read_text())
    codes = {"slots": 3, "codebook_size": 0, "slot_width": 2, "gap": 1}
    assert saved["codes"].items() >= codes.items()
    assert saved["lam"] == {"checkpoint": "runs/lam", "step": 3, "fingerprint": "f" * 64}
    np.testing.assert_allclose(saved["latents"]["mean"], [3.0] * 4, atol=0.1)
    np.testing.assert_allclose(saved["latents"]["scale"], [0.5] * 4, atol=0.1)
    rows = [json.loads(row) for row in (tmp_path / "run" / "metrics.jsonl").open()]
    assert {"latent", "copied_latent", "ratio_2", "boundary_rate_1"} <= rows[1].keys()
    assert any("validation/degenerate_2" in row for row in rows)

    skills = flexlam_jax.load(tmp_path / "run")
    assert (skills.stages, skills.widths, skills.size, skills.gap) == (2, (8, 8), 4, 1)
    slots = np.random.default_rng(1).normal(3.0, 0.5, (3, 9, 3, 2)).astype(np.float32)
    latents = skills.latents(slots)
    valid = np.arange(9) < np.array([[9], [5], [2]])
    cut = skills.segment(latents, valid)
    assert [b.shape for b in cut.boundaries] == [(3, 9)] * 2 and cut.boundaries[0].dtype == bool
    assert [s.shape for s in cut.skills] == [(3, 9, 8)] * 2
    assert not cut.boundaries[0][~valid].any() and cut.boundaries[1][:, 0].all()
    # A row is what it is alone, without padding, and step by step.
    alone = skills.segment(latents[1:2, :5])
    np.testing.assert_array_equal(alone.boundaries[0], cut.boundaries[0][1:2, :5])
    np.testing.assert_allclose(alone.skills[1], cut.skills[1][1:2, :5], atol=1e-5)
    state = skills.start(3, 2)
    for t in range(2):
        _, state, told = skills.advance(latents[:, t], valid[:, t], state)
        np.testing.assert_array_equal(told[0].cut, cut.boundaries[0][:, t])
        np.testing.assert_allclose(told[1].skill, cut.skills[1][:, t], atol=1e-5)
    with pytest.raises(ValueError, match="room for 2 steps and a row has had them"):
        skills.advance(latents[:, 2], valid[:, 2], state)
    with pytest.raises(ValueError, match=r"fewer than two latent actions, .* \(1 of 3\)"):
        skills.segment(latents, np.arange(9) < np.array([[9], [5], [1]]))
    with pytest.raises(ValueError, match=r"of float latent actions of shape \(B, T, 4\)"):
        skills.segment(latents[..., :3])
    with pytest.raises(ValueError, match="padding stands at the end"):
        skills.segment(latents, valid[:, ::-1])
    with pytest.raises(ValueError, match="of 3 slots of 2 numbers"):
        skills.latents(slots[..., :1])


def test_ids_are_no_latents(data, tmp_path):
    config = tiny_hilam.get_config(data)
    tiny_hilam.with_latents(config, tmp_path, codebook_size=5)
    config.data.sidecars = {"ids": config.data.sidecars.slots}
    with pytest.raises(ConfigError, match="give the same folder as config.data.sidecars.slots"):
        build_task(config)


@pytest.mark.parametrize(
    "key, value, message",
    [
        ("column_chunk", 1, "column_chunk=1: skills are learned from sequences .* 2 or more"),
        ("column_chunk", 0, "column_chunk=0: skills"),
        ("clip_length", 8, "clip_length=8, but the sequences are of config.data.column_chunk"),
    ],
)
def test_sequences_that_are_none(key, value, message):
    config = tiny_hilam.get_config()
    config.data[key] = value
    with pytest.raises(ConfigError, match=message):
        build_task(config)


def test_a_batch_ratio_cannot_be_accumulated():
    config = tiny_hilam.get_config()
    config.loss.ratio_over = "batch"
    assert build_task(config).objective.unsplittable == ("ratio_1", "ratio_2")


def test_latent_actions_that_are_all_alike_are_refused():
    rows = np.full((5, 3, 2), 7.0)
    with pytest.raises(DataError, match="there: all 5 latent actions are the same"):
        moments([("there", rows)], 4)
    rows[0, 2] = 8  # Beyond the numbers that are read.
    with pytest.raises(DataError, match="the model that made them has collapsed"):
        moments([("there", rows)], 4)
    rows[0, 0, 1] = 8
    mean, scale = moments([("there", rows)], 4)
    assert mean == (7, pytest.approx(7.2), 7, 7) and scale == (1, pytest.approx(0.4), 1, 1)


def test_no_latent_actions_at_all(data):
    with pytest.raises(ConfigError, match=r"sidecars.slots=latents, or .*config.lam.checkpoint="):
        build_task(tiny_hilam.get_config(data))

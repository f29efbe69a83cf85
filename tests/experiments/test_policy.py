"""Chunk policies on data: what they read and predict, and what is refused."""

import json

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

import flexlam_jax
from data_pipelines.errors import DataError
from data_pipelines.format.manifest import open_dataset
from data_pipelines.format.sidecar_writing import write_sidecar
from data_pipelines.format.sidecars import split_episodes
from experiments.policy_batches import policy_batches
from experiments.policy_data import with_data
from experiments.tasks.registry import build_task, check_config
from experiments.train import train
from flexlam_jax.errors import ConfigError
from flexlam_jax.models.text_features import HashedNgrams
from tests.data_pipelines.readers import robot_files
from tests.experiments import tiny_policy

pytestmark = pytest.mark.usefixtures("shared_compilations")

AGENT = "libero_goal_agentview"


@pytest.fixture(scope="module")
def demos(tmp_path_factory):
    return tiny_policy.demonstrations(tmp_path_factory.mktemp("policy"))


@pytest.fixture(scope="module")
def skills(demos):
    """Folder of skills, one row per frame: episode, time, 1 and 0.5."""
    return written(demos, demos.parent / "skills", "m" * 64)


def written(demos, folder, model, dtype=np.float32):
    info = open_dataset(demos)
    for name, splits in info.shards.items():
        for split in splits:
            episodes = split_episodes(info, name, split)
            times = np.concatenate([np.arange(length) for length in episodes.lengths])
            numbers = np.repeat(episodes.numbers, episodes.lengths)
            rows = np.stack([numbers, times, np.ones_like(times), 0.5 + 0 * times], 1)
            write_sidecar(
                folder,
                info,
                name,
                split,
                {"z2": rows.astype(dtype)},
                kind="skills",
                alignment="frame",
                made_by={"model": model},
            )
    return str(folder)


def batch_of(config, split="train", size=64):
    batches = policy_batches(with_data(config), split, seed=0, batch_size=size, rows=range(size))
    batch = next(batches)
    batches.close()
    return batch


def test_a_row_is_what_the_demonstration_holds(demos):
    batch = batch_of(tiny_policy.flat(demos))
    lengths = {e["episode"]: e["length"] for e in open_dataset(demos).episodes(AGENT, "train")}
    text = HashedNgrams(width=16).features(tiny_policy.SENTENCES)
    actions = [robot_files.action_value(i) for i in range(20)]
    ends = 0
    for row in range(64):
        t, left = batch["t"][row], lengths[batch["episode"][row]] - 1 - batch["t"][row]
        instant = round(float(batch["proprio"][row, 0, 0]))  # robot_states count instants.
        assert instant == t + 1  # The first row observes what follows its action.
        np.testing.assert_array_equal(batch["target_mask"][row], np.arange(3) < left)
        held = min(3, left)
        expected = actions[instant : instant + held]
        np.testing.assert_allclose(batch["target"][row, :held, 0], expected, atol=1e-6)
        assert not batch["target"][row, held:].any()
        ends += left < 3
        matches = [np.allclose(batch["text"][row], one) for one in text]
        assert sum(matches) == 1
        seed = 37 * matches.index(True)
        shown = [batch[key][row, 0, 8:, 8:].astype(float).mean() for key in _FRAMES]
        # The other camera is brighter by 3 at the same instant, demonstrations differ by 1 each.
        assert shown[1] - shown[0] == pytest.approx(3, abs=0.5)
        assert 0 <= shown[0] - robot_files.level(instant, seed) < 5
    assert 0 < ends < 64


_FRAMES = ("frames", "frames_eye_in_hand")


def test_the_position_of_the_batches_is_the_loaders(demos):
    config = with_data(tiny_policy.flat(demos))
    batches = policy_batches(config, "train", seed=0, batch_size=8, rows=range(8))
    first, second = next(batches), next(batches)
    state = batches.get_state()
    assert state == {"next_index": 2}
    batches.set_state({"next_index": 1})
    again = next(batches)
    batches.close()
    assert again.keys() == first.keys()
    for name in second:
        np.testing.assert_array_equal(second[name], again[name])
    parts = policy_batches(config, "train", seed=0, batch_size=8, rows=(2, 5))
    np.testing.assert_array_equal(next(parts)["target"], first["target"][[2, 5]])
    parts.close()


def test_the_flat_policy_trains_and_is_loaded(demos, tmp_path):
    config = tiny_policy.flat(demos)
    config.optimizer.schedule = "constant"
    check_config(config)
    whole = train(config, tmp_path / "run")
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").open()]
    assert {"chunk", "squared_error", "first_error", "constant_error"} <= rows[1].keys()
    assert any("validation/first_error" in row for row in rows)
    again = train(config, tmp_path / "run")  # It goes on from its end.
    assert jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), whole.params, again.params))
    policy = flexlam_jax.load(tmp_path / "run")
    assert policy.cameras == tiny_policy.CAMERAS and policy.image_size == (16, 16)
    assert policy.action_names[-1] == "gripper" and policy.proprio_width == 9
    assert (policy.chunk, policy.width, policy.skill_width) == (3, 7, 0)
    assert policy.config["predicts"]["low"] == [-1.0] * 7  # Bounds of the manifest.
    means = policy.config["reads"]["proprio_mean"]
    assert means[1] - means[0] == pytest.approx(
        0.1, abs=1e-5
    )  # Dimension i counts instants + i/10.
    batch = batch_of(config, size=8)
    frames = dict(zip(policy.cameras, (batch[key][:, 0] for key in _FRAMES), strict=True))
    chunk = policy.decide(frames, batch["proprio"][:, 0], ["close the drawer"] * 8)
    assert chunk.shape == (8, 3, 7) and np.isfinite(chunk).all()


def high(demos, skills):
    config = tiny_policy.flat(demos)
    config.predicts.columns, config.data.sidecars = ("z",), {"z": skills}
    return config


def low(demos, skills):
    config = tiny_policy.flat(demos)
    config.model.text = ConfigDict(dict(kind="none"))
    config.reads.skill, config.data.sidecars = "z", {"z": skills}
    return config


def test_the_high_level_predicts_skills_from_now_on(demos, skills):
    config = with_data(high(demos, skills))
    predicts = config.predicts
    assert (predicts.width, predicts.source) == (4, f"z2 (4) of model {'m' * 64}")
    assert predicts.low[1:] == (0.0, 1.0, 0.5) and predicts.high[2:] == (1.0, 0.5)
    batch = batch_of(config)
    times = batch["t"][:, None] + np.arange(3)
    expected = np.where(batch["target_mask"], times, 0)
    np.testing.assert_array_equal(batch["target"][..., 1], expected)
    assert (~batch["target_mask"]).any() and "skill" not in batch
    build_task(config)


def test_the_low_level_reads_the_skill_of_its_step(demos, skills):
    config = with_data(low(demos, skills))
    batch = batch_of(config)
    np.testing.assert_array_equal(
        batch["skill"][:, 0, :2], np.stack([batch["episode"], batch["t"]], 1)
    )
    assert "text" not in batch and batch["target"].shape == (64, 3, 7)
    reads = config.reads
    assert reads.skill_width == 4 and reads.skill_mean[2:] == (1.0, 0.5)
    assert reads.skill_scale[2:] == (1.0, 1.0)  # Constant numbers are not blown up.
    task = build_task(config)
    assert f"{AGENT}/train/z" in task.data_hashes()
    assert any(name.startswith("libero_goal_eye_in_hand") for name in task.data_hashes())


def test_slots_are_cut_to_a_prefix(demos, tmp_path):
    config = tiny_policy.with_latents(tiny_policy.get_config(str(demos)), tmp_path / "latents")
    config.data.cameras = ("agentview",)
    whole = batch_of(config)["target"]
    config.predicts.keep = 2
    assert with_data(config).predicts.width == 4
    np.testing.assert_array_equal(batch_of(config)["target"], whole[..., :4])
    config.predicts.keep = 4
    with pytest.raises(
        DataError, match="predicts.keep=4, but data.sidecars.slots has rows of shape"
    ):
        with_data(config)


def test_statistics_are_those_of_the_run_that_it_starts_from(demos, skills, monkeypatch):
    config = low(demos, skills)
    source = f"z2 (4) of model {'m' * 64}"
    saved = {"proprio_names": (), "skill_source": source, "skill_mean": [1.0] * 4}
    saved |= {"skill_scale": [2.0] * 4, "proprio_mean": [], "proprio_scale": []}
    run = {"kind": "policy", "reads": saved}
    monkeypatch.setattr("experiments.policy_data.saved_config", lambda path: run)
    config.reads.like, config.reads.proprio = "runs/low", False
    assert with_data(config).reads.skill_mean == (1.0,) * 4
    saved["skill_source"] = "z1 (4) of model x"
    with pytest.raises(
        ConfigError, match="reads.like='runs/low': that policy was trained with skill_s"
    ):
        with_data(config)
    run["kind"] = "lam"
    with pytest.raises(ConfigError, match="is a run of kind 'lam', not of a policy"):
        with_data(config)


def changed(config, **values):
    for name, value in values.items():
        section, _, key = name.partition("_in_")
        config[key][section] = value
    return config


@pytest.mark.parametrize(
    "change, error, message",
    [
        (dict(chunk_in_data=4), ConfigError, "config.data.chunk=4, but config.model.chunk decides"),
        (
            dict(views_in_data=("a",)),
            ConfigError,
            "config.data.views=.*config.reads.cameras decides",
        ),
        (
            dict(history_in_model=2, gap_in_data=3),
            ConfigError,
            "config.data.gap=3, but a policy acts",
        ),
        (
            dict(cameras_in_reads=("front",)),
            DataError,
            "no dataset of camera front; cameras: agent",
        ),
        (
            dict(skill_in_reads="z"),
            DataError,
            "names the column 'z', and data.sidecars of .* has none",
        ),
        (dict(columns_in_predicts=("z",)), DataError, "give its folder, data.sidecars.z=FOLDER"),
    ],
)
def test_configs_that_do_not_fit_the_data(demos, change, error, message):
    with pytest.raises(error, match=message):
        build_task(changed(tiny_policy.flat(demos), **change))


def test_columns_of_integers_and_of_two_models(demos, tmp_path):
    ids = written(demos, tmp_path / "ids", "m", np.int32)
    with pytest.raises(DataError, match="has rows <i4 .*vectors of real numbers; name an array of"):
        with_data(high(demos, ids))
    config = high(demos, written(demos, tmp_path / "a", "a"))
    other = written(demos, tmp_path / "b", "b")
    sidecars = config.data.sidecars
    config.data.sidecars, config.data.path = {}, ""
    entries = {"one": sidecars, "two": {"z": other}}
    config.data.mixture = {k: {"path": str(demos), "sidecars": v} for k, v in entries.items()}
    with pytest.raises(DataError, match="of model a, .* of model b; write both with one model"):
        with_data(config)

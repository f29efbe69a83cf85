"""Remedies as users switch them on: what data they read, and what is refused before any update."""

import json

import jax
import numpy as np
import pytest

import flexlam_jax
from data_pipelines.conversion.build import prepare
from data_pipelines.errors import DataError
from data_pipelines.format.manifest import open_dataset
from data_pipelines.format.sidecar_writing import write_sidecar
from data_pipelines.format.sidecars import split_episodes
from data_pipelines.registry import recipe_options
from experiments.tasks import remedies
from experiments.tasks.registry import build_task
from experiments.train import train
from flexlam_jax.errors import ConfigError
from tests.experiments import tiny, tiny_finetune

pytestmark = pytest.mark.usefixtures("shared_compilations")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    out = tmp_path_factory.mktemp("remedies") / "data"
    flags = ("--size=16", "--episodes=8", "--distractors=2", "--exogenous-pairs", "--masks")
    prepare("synthetic", out, recipe_options("synthetic", *flags))
    return str(out)


def config_on(data, kind="lam", **keys):
    config = tiny.get_config() if kind == "lam" else tiny_finetune.get_config()
    config.data.path = data
    for path, value in keys.items():
        section, _, key = path.partition("__")
        with config.unlocked(), config.ignore_type():
            config[section][key] = value
    return config


CROSS = {"data__pair_with": "exogenous", "loss__cross": 1.0}
MASK = {"data__views": ("agent_mask",), "loss__mask": "agent_mask"}
EVERYTHING = {
    **CROSS,
    **MASK,
    "loss__cross_slots": 1,
    "loss__own": "stopped",
    "loss__shift": 2,
    "loss__feature": 0.5,
    "loss__mask_weight": 0.1,
}


@pytest.mark.parametrize("kind", ["lam", "lam_finetune"])
def test_a_batch_of_the_data_is_what_the_task_says(data, kind):
    keys = EVERYTHING
    if kind == "lam_finetune":
        keys = keys | {"translator__steps": 3, "translator__slots": 1}
        keys = keys | {"loss__feature_space": "inverse"}
    config = config_on(data, kind, **keys)
    task = build_task(config)
    rows = range(8) if kind == "lam" else {"video": range(8), "labelled": range(4)}
    batches = task.data(rows)
    batch = next(batches)
    batches.close()
    for path, shape in jax.tree.leaves_with_path(task.batch):
        held = batch
        for key in path:
            held = held[key.key]
        assert (held.shape, held.dtype) == (shape.shape, shape.dtype), path
    if kind == "lam_finetune":
        assert not {"frames_pair", "frames_agent_mask"} & set(batch["labelled"])


def test_an_inverse_space_and_first_slots_of_actions_train(data, tmp_path):
    keys = {"translator__steps": 2, "translator__slots": 1, "loss__own": "longer"}
    keys |= {"loss__feature": 0.5, "loss__feature_space": "inverse", "loss__feature_width": 4}
    config = config_on(data, "lam_finetune", **keys)
    config.optimizer.warmup_steps, config.eval.batches = 1, 0
    config.total_steps, config.checkpoint.every = 2, 2
    train(config, tmp_path)
    last = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[-1])
    assert all(np.isfinite(last[name]) for name in ("inverse", "action", "feature"))
    assert flexlam_jax.load(tmp_path).slots == 2


def test_everything_at_once_trains_and_is_loaded_without_its_heads(data, tmp_path):
    config = config_on(data, **EVERYTHING)
    config.optimizer.warmup_steps = 1
    config.total_steps, config.checkpoint.every, config.eval.every = 3, 3, 3
    train(config, tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").open()]
    last = {name: value for row in rows for name, value in row.items()}
    for name in ("cross", "cross_psnr", "feature", "feature_std", "reconstruction"):
        assert np.isfinite(last[name]) and np.isfinite(last[f"validation/{name}"])
    lam = flexlam_jax.load(tmp_path)
    assert set(lam.variables) == {"params", "codebook"}
    assert "heads" not in lam.variables["params"]
    frames = np.zeros((2, 16, 16, 3), np.uint8)
    assert lam.encode(frames, frames, keep=1).shape == (2, 2, 4)


@pytest.mark.parametrize("alignment", ["frame", "episode"])
def test_features_come_from_a_sidecar_of_frames(data, tmp_path, alignment):
    info, name = open_dataset(data), "square_a"
    for split in ("train", "validation"):
        rows = int(split_episodes(info, name, split).offsets(alignment, None)[-1])
        values = np.ones((rows, 2, 3), np.float32)
        write_sidecar(tmp_path, info, name, split, values, kind="features", alignment=alignment)
    loss = {"loss__feature": 1.0, "loss__feature_space": "dino", "data__datasets": (name,)}
    with pytest.raises(ConfigError, match="--config.data.sidecars.dino=FOLDER"):
        build_task(config_on(data, **loss))
    config = config_on(data, **loss, data__sidecars={"dino": str(tmp_path)})
    if alignment == "episode":
        with pytest.raises(ConfigError, match="has a row for every episode"):
            build_task(config)
        return
    task = build_task(config)
    batches = task.data(range(8))
    assert next(batches)["dino"].shape == task.batch["dino"].shape == (8, 3, 2, 3)
    batches.close()


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"loss__mask": "agent_mask"}, "give --config.data.views"),
        ({"loss__cross": 1.0}, "give --config.data.pair_with=exogenous"),
        (MASK | CROSS | {"data__pair_with": "camera"}, "for one camera"),
        ({"loss__own": "stopped"}, "give their number"),
        ({"loss__feature": 1.0, "loss__feature_space": "inverse"}, "config.translator.steps"),
        ({"loss__mask": "cat"}, "config.loss.mask='cat'"),
    ],
)
def test_what_is_refused(data, keys, words):
    with pytest.raises(ConfigError, match=words):
        build_task(config_on(data, **keys))


def test_data_without_what_a_remedy_needs(tmp_path):
    prepare("synthetic", tmp_path / "d", recipe_options("synthetic", "--size=16", "--episodes=4"))
    for keys, words in (
        (MASK, "cannot be read with the cameras of data.views .agent_mask."),
        (CROSS, "has no synchronous dataset with another exogenous process"),
    ):
        task = build_task(config_on(str(tmp_path / "d"), **keys))
        with pytest.raises(DataError, match=words):
            task.data(range(8))


def test_partners_are_compared_before_training(data, monkeypatch):
    def differ(datasets, pairs):
        raise DataError("they differ")

    monkeypatch.setattr(remedies, "check_shared_agent", differ)
    build_task(config_on(data)).data(range(8)).close()
    with pytest.raises(DataError, match="they differ"):
        build_task(config_on(data, **CROSS)).data(range(8))

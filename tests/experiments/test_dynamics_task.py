"""Dynamics from frames: frozen models inside the step, and the world that a checkpoint is."""

import json
import shutil

import jax
import numpy as np
import pytest
from etils import epath

import flexlam_jax
from experiments.configs import dynamics
from experiments.tasks.registry import as_run, build_task
from experiments.train import train
from flexlam_jax.checkpoints.files import item_metadata
from flexlam_jax.errors import CheckpointError, ConfigError
from flexlam_jax.world.token_world import TokenWorld
from tests.experiments import tiny_dynamics
from tests.experiments.pretraining import Pretraining
from tests.models.tiny_tokenizers import LIGHT

pytestmark = pytest.mark.usefixtures("shared_compilations")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    pretraining = Pretraining(tmp_path_factory.mktemp("shared"))
    pretraining.prepare()
    return str(pretraining.data)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A config with both models, without data."""
    folder = tmp_path_factory.mktemp("models")
    return tiny_dynamics.with_models(tiny_dynamics.get_config(), folder)


@pytest.fixture
def config(models, data):
    config = tiny_dynamics.get_config(data)
    for name in ("tokenizer", "lam"):
        config[name].checkpoint = models[name].checkpoint
    return config


@pytest.fixture(scope="module")
def run(models, data, tmp_path_factory):
    """(Folder of three runs beside one another, rows of metrics, the final state)."""
    folder = tmp_path_factory.mktemp("world")
    config = tiny_dynamics.with_models(tiny_dynamics.get_config(data), folder)
    config.optimizer.schedule = "constant"
    config.total_steps = 2
    train(config, folder / "run")
    config.total_steps = 4
    state = train(config, folder / "run")  # Goes on.
    rows = [json.loads(row) for row in (folder / "run" / "metrics.jsonl").open()]
    return folder, rows, state


def test_a_run_learns_with_frozen_models_and_saves_none_of_them(run):
    folder, rows, state = run
    saved = json.loads((folder / "run" / "config.json").read_text())
    lam, tokenizer = (flexlam_jax.load(folder / name) for name in ("lam", "tokenizer"))
    for name, model in (("lam", lam), ("tokenizer", tokenizer)):
        path = str(folder / name)
        expected = {"checkpoint": path, "step": 2, "fingerprint": model.fingerprint()}
        assert saved[name] == expected and saved["init_from"][name]["path"] == path
        same = dict(model.variables["params"])
        jax.tree.map(np.testing.assert_array_equal, state.frozen[name], same)
    assert saved["frozen"] == ["tokenizer", "lam"]
    assert saved["tokens"] == {"count": 4, "codebook_size": 8}
    assert saved["actions"]["slots"] == 3 and saved["actions"]["keep"]["kind"] == "powers_of_two"
    trained = [row for row in rows if "cross_entropy" in row]
    assert [row["step"] for row in trained] == [1, 2, 3, 4]
    assert {"accuracy", "copy_accuracy", "perplexity"} <= trained[0].keys()
    assert any("validation/perplexity" in row for row in rows)
    tree = item_metadata(epath.Path(folder / "run" / "checkpoints"), 4, "params").tree
    assert set(tree["params"]) == {"dynamics"}


def test_a_checkpoint_is_a_world_wherever_all_three_were_moved(run, tmp_path):
    folder, _, state = run
    moved = shutil.copytree(folder, tmp_path / "moved")
    for name in ("lam", "tokenizer"):
        shutil.move(folder / name, folder / f"{name}.hidden")
    try:
        world = flexlam_jax.load(moved / "run")
        assert isinstance(world, TokenWorld) and world.lam["checkpoint"] == str(moved / "lam")
        with pytest.raises(CheckpointError, match="were trained with the tokenizer .*, step 2, wh"):
            flexlam_jax.load(folder / "run")
    finally:
        for name in ("lam", "tokenizer"):
            shutil.move(folder / f"{name}.hidden", folder / name)
    jax.tree.map(
        np.testing.assert_array_equal,
        world.variables["dynamics"]["params"],
        dict(state.params["dynamics"]),
    )
    frames, after = world.step(
        world.start(np.zeros((2, 2, 16, 16, 3), np.uint8)), np.zeros((2, 3, 2), np.float32)
    )
    assert frames.shape == (2, 16, 16, 3) and after.cache.count.tolist() == [3, 3]


def test_another_model_in_the_place_of_one_is_refused(run, tmp_path):
    folder, _, _ = run
    moved = shutil.copytree(folder, tmp_path / "moved")
    for name in ("lam", "tokenizer"):
        shutil.move(folder / name, folder / f"{name}.hidden")
    try:
        shutil.rmtree(moved / "tokenizer")
        tiny_dynamics.save_tokenizer(moved / "tokenizer", seed=1)
        with pytest.raises(CheckpointError, match="step 2 in .*moved/tokenizer is model"):
            flexlam_jax.load(moved / "run")
    finally:
        for name in ("lam", "tokenizer"):
            shutil.move(folder / f"{name}.hidden", folder / name)


def test_a_plan_freezes_what_the_run_freezes(models):
    config = as_run(models)
    assert config.frozen == ("tokenizer", "lam")
    assert build_task(config).batch["frames"].shape == (8, 3, 16, 16, 3)
    assert as_run(config).to_dict() == config.to_dict()


def test_true_actions_are_those_of_the_data(config):
    config.model.action, config.lam.checkpoint = "true", ""
    task = build_task(config)
    assert set(task.batch) == {"frames", "action"} and task.batch["action"].shape[:2] == (8, 2)
    assert task.config.actions.slots == 1 and task.config.frozen == ("tokenizer",)
    assert len(task.config.actions.names) == task.config.actions.slot_width


def test_the_floor_reads_no_action_and_tells_whose_it_is_measured_with(config):
    config.model.action = "none"
    task = build_task(config)
    assert set(task.batch) == {"frames"} and task.config.frozen == ("tokenizer",)
    assert task.config.lam.fingerprint and task.config.actions.slots == 3


def _other_size(config, folder):
    section = {**LIGHT, "image_size": 32}
    config.tokenizer.checkpoint = tiny_dynamics.save_tokenizer(folder, section)


@pytest.mark.parametrize(
    "change, message",
    [
        (_other_size, "tokenizer.checkpoint reads frames of 32 x 32 x 3 and .* of 16 x 16 x 3"),
        (lambda c, _: c.model.update(drafts=True, action="true"), "action='true' reads no latent"),
        (lambda c, _: c.tokenizer.update(checkpoint=""), "config.tokenizer.checkpoint is empty"),
        (lambda c, _: c.lam.update(checkpoint=""), "--config.lam.checkpoint=runs/lam"),
        (lambda c, _: c.tokenizer.update(fingerprint="f" * 64), "and the run is of model ffffffff"),
        (lambda c, _: c.lam.update(fingerprint="f" * 64), "is model .* of model ffffffffffff"),
        (lambda c, _: c.tokenizer.update(checkpoint=c.lam.checkpoint), "'lam', where one of kind"),
        (lambda c, _: c.model.update(action="true"), "config.model.action='true' reads no latent"),
        (lambda c, _: c.data.update(image_size=32), "image_size=32, but the frozen tokenizer read"),
        (lambda c, _: c.data.update(gap="0.5s"), "gap='0.5s': .* give a number of frames"),
        (lambda c, _: c.update(init_from={"tokenizer": {"path": "x"}}), "leave config.init_from.t"),
    ],
)
def test_what_is_refused(change, message, config, tmp_path):
    change(config, tmp_path)
    with pytest.raises((ConfigError, CheckpointError), match=message):
        build_task(config)


def test_variants_of_the_preset():
    config = dynamics.get_config("genie,action=true")
    assert (config.model.layers, config.model.action, config.model.enters) == (12, "true", "add")
    assert dynamics.get_config("").model.enters == "token"
    assert dynamics.get_config("added").model.enters == "add"
    assert dynamics.get_config("causal").model.context == "shown"
    with pytest.raises(ConfigError, match="variant action=x: give one of latent, true, none"):
        dynamics.get_config("action=x")

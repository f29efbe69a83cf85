"""Dynamics that train their latent action model: runs, what loads them, and what is refused."""

import json

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
from flexlam_jax.loading.actions import Actions
from flexlam_jax.loading.load import load_as
from flexlam_jax.models.lam import build_lam
from tests.experiments import tiny_dynamics
from tests.experiments.pretraining import Pretraining
from tests.models.tiny_lam import random_frames
from tests.untrained import MODEL as LAM
from tests.untrained import save_run

pytestmark = pytest.mark.usefixtures("shared_compilations")

VQ = {**LAM, "quantizer": {"kind": "vq", "codes": 5, "width": 2}}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A folder with a tokenizer and a latent action model."""
    folder = tmp_path_factory.mktemp("models")
    tiny_dynamics.save_tokenizer(folder / "tokenizer")
    save_run(folder / "lam", VQ)
    return folder


def cotrained(models, data=""):
    config = tiny_dynamics.get_config(data)
    config.tokenizer.checkpoint = str(models / "tokenizer")
    config.lam.checkpoint = str(models / "lam")
    config.lam.update(train=True, warmup_steps=1)
    return config


@pytest.fixture
def config(models):
    return cotrained(models)


@pytest.fixture(scope="module")
def run(models, tmp_path_factory):
    """(Work directory, rows of metrics, the final state) of a run that was stopped and went on."""
    pretraining = Pretraining(tmp_path_factory.mktemp("shared"))
    pretraining.prepare()
    config, folder = cotrained(models, str(pretraining.data)), models / "run"
    config.optimizer.schedule, config.eval.batches = "constant", 0
    config.total_steps = 2
    train(config, folder)
    config.total_steps = 4
    state = train(config, folder)
    return folder, [json.loads(row) for row in (folder / "metrics.jsonl").open()], state


def test_a_run_learns_both_saves_both_and_goes_on_where_the_warm_up_was(run, models):
    folder, rows, state = run
    trained = [row for row in rows if "lam_gradient" in row]
    assert [row["lam_gradient"] for row in trained] == [0, 1, 1, 1]
    assert {"cross_entropy", "reconstruction", "code_usage"} <= trained[0].keys()
    tree = item_metadata(epath.Path(folder / "checkpoints"), 4, "params").tree
    assert set(tree["params"]) == {"dynamics", "lam"}
    assert set(tree["codebook"]) == {"tokenizer", "lam"}
    saved = json.loads((folder / "config.json").read_text())
    start = flexlam_jax.load(models / "lam")
    assert saved["frozen"] == ["tokenizer"] and set(saved["init_from"]) == {"tokenizer", "lam"}
    assert saved["lam"]["fingerprint"] == start.fingerprint() and saved["actions"]["slots"] == 3
    assert saved["lam"]["model"]["quantizer"]["codes"] == 5
    # It began with the parameters of the other run: four updates of 1e-3 at most change them little.
    far = jax.tree.map(
        lambda a, b: float(np.abs(a - b).max()), state.params["lam"], start.variables["params"]
    )
    assert 0 < max(jax.tree.leaves(far)) < 0.02


def test_its_world_obeys_the_model_that_it_trained(run):
    folder, _, state = run
    frames = random_frames((4, 2, 16, 16, 3))
    own = {"params": state.params["lam"], "codebook": state.extra["codebook"]["lam"]}
    slots, ids = jax.jit(lambda v, x: build_lam(VQ).apply(v, x, method="encode"))(own, frames)
    world = flexlam_jax.load(folder)
    for lam in (world.latent_actions, load_as("lam", folder)):
        np.testing.assert_array_equal(lam.tokens(frames[:, 0], frames[:, 1]), ids[:, 0])
        # Another program, whose sums may be taken in another order.
        codes = lam.encode(frames[:, 0], frames[:, 1])
        np.testing.assert_allclose(codes, slots[:, 0], rtol=1e-5, atol=1e-6)
        assert world.lam == {
            "checkpoint": str(folder),
            "step": 4,
            "fingerprint": lam.fingerprint(),
        }
    assert isinstance(lam.actions, Actions)
    shown, _ = world.step(world.start(frames), codes, keep=2)
    assert shown.shape == (4, 16, 16, 3)


def test_other_dynamics_may_freeze_it_or_train_it_on(run, config):
    config.lam.checkpoint = str(run[0])
    assert as_run(config).init_from.lam.take == "lam"
    config.lam.train = False
    config = as_run(config)
    assert config.init_from.lam.take == "lam" and config.frozen == ("tokenizer", "lam")


def test_a_model_that_was_frozen_is_not_in_the_checkpoint(models, tmp_path):
    config = {"kind": "dynamics", "lam": {"checkpoint": "runs/lam"}}
    save_run(tmp_path / "run", **config)
    with pytest.raises(CheckpointError, match="give the one that they obey, runs/lam"):
        load_as("lam", tmp_path / "run")


def test_from_scratch_and_on_paper():
    config = dynamics.get_config("cotrain,debug")
    assert config.lam.warmup_steps == 5
    task = build_task(config)
    assert {name: x.shape for name, x in task.batch.items()} == {
        "ids": (8, 12, 64),
        "frames": (8, 12, 64, 64, 3),
    }
    assert task.config.actions.slots == config.lam.model.slots and not task.config.init_from
    assert as_run(task.config).to_dict() == task.config.to_dict()


@pytest.mark.parametrize(
    "change, message",
    [
        ({"lam": {"checkpoint": ""}}, "give one of them"),
        ({"lam": {"warmup_steps": 4}}, "last to the end of config.total_steps=4"),
        ({"lam": {"warmup_steps": 2, "ramp_steps": 2}}, "ramp_steps=2 last to the end"),
        ({"lam": {"fingerprint": "f" * 64}}, "is model .* of model ffffffffffff"),
        ({"model": {"action": "none"}}, "config.model.action='none' reads no latent actions"),
        ({"model": {"drafts": True}}, "trains one along; leave one of the two out"),
        ({"data": {"gap": "0.5s"}}, "give a number of frames"),
        ({"tokenizer": {"checkpoint": ""}}, "config.tokenizer.checkpoint is empty"),
        (
            {"lam": {"checkpoint": "", "model": {**LAM, "image_size": 32}}},
            "reads frames of 16 x 16 x 3 and config.lam of 32 x 32 x 3",
        ),
        (
            {"lam": {"checkpoint": "", "model": LAM, "loss": {"cross": 1.0}}},
            "config.lam.loss.cross=1.0 needs more of the data than frames",
        ),
        ({"lam": {"checkpoint": "", "model": LAM, "loss": {"x": 1}}}, "config.lam.loss.x"),
        ({"lam": {"checkpoint": "", "model": {**LAM, "slots": 0}}}, "config.lam.model.slots=0"),
        ({"init_from": {"lam": {"path": "x"}}}, "leave config.init_from.lam out"),
    ],
)
def test_what_is_refused(change, message, config):
    for name, values in change.items():
        config[name].update(values)
    with pytest.raises((ConfigError, CheckpointError), match=message):
        build_task(config)


def test_a_model_of_labelled_video_is_frozen_or_left(config, tmp_path):
    config.lam.checkpoint = str(save_run(tmp_path / "lam", VQ, kind="lam_finetune"))
    with pytest.raises((ConfigError, CheckpointError), match="learned from labelled actions too"):
        build_task(config)

"""Training a policy on data: where its actions come from, and what is refused."""

import json

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

import flexlam_jax
from data_pipelines.errors import DataError
from experiments import data_actions
from experiments.tasks.registry import build_task
from experiments.train import train
from flexlam_jax.errors import ConfigError
from tests.experiments import tiny_cloning
from tests.experiments.pretraining import Pretraining

pytestmark = pytest.mark.usefixtures("shared_compilations")

NAMES = ("stay", "left", "right", "up", "down")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    pretraining = Pretraining(tmp_path_factory.mktemp("shared"))
    pretraining.prepare()
    return str(pretraining.data)


def config_of(data, **model):
    config = tiny_cloning.get_config(data)
    config.model.update(model)
    return config


def test_the_names_of_the_data_go_with_the_checkpoint_and_the_run_goes_on(data, tmp_path):
    config = config_of(data, action_names=())
    whole = train(config, tmp_path / "run")
    policy = flexlam_jax.load(tmp_path / "run")
    assert policy.action_names == NAMES and policy.discrete and policy.step == 4
    assert config.model.action_names == ()  # What was given is left alone.
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").open()]
    assert {"cross_entropy", "accuracy", "majority_accuracy"} <= rows[1].keys()
    assert any("validation/accuracy" in row for row in rows)
    again = train(config_of(data), tmp_path / "run")  # Named, they are the same config.
    assert jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), whole.params, again.params))
    frames = np.zeros((2, policy.history, 16, 16, 3), np.uint8)
    assert policy.decide(frames, np.zeros(2, np.uint32)).probabilities.shape == (2, 5)


def test_names_that_are_not_those_of_the_data(data, tmp_path):
    for change in ({"action_names": ("up", "down")}, {"discrete": False}):
        with pytest.raises(ConfigError, match=r"but the data have discrete actions \('stay', "):
            train(config_of(data, **change), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_neither_data_nor_names():
    with pytest.raises(ConfigError, match="action_names is empty; name the actions, or give the"):
        build_task(config_of("", action_names=()))


def test_gaps_sizes_and_streams(data):
    config = config_of(data)
    config.data.gap = 2
    with pytest.raises(ConfigError, match="config.data.gap=2, but a policy acts at every frame"):
        build_task(config)
    config = config_of("")
    config.data.mixture = ConfigDict({"a": {"path": data, "gap": "0.5s"}})
    with pytest.raises(ConfigError, match="config.data.mixture.a.gap='0.5s', but"):
        build_task(config)
    config = config_of(data)
    config.data.image_size = 32
    with pytest.raises(ConfigError, match="data.image_size=32 but config.model.image_size=16"):
        build_task(config)
    del config.data.image_size, config.batch_size
    config.batch_size = ConfigDict({"a": 4})
    with pytest.raises(ConfigError, match="a batch of config.kind='behaviour_cloning' has none"):
        build_task(config)


class Folder:
    """What is read of a dataset folder, of the actions of its datasets."""

    def __init__(self, actions):
        self.datasets = actions

    def spec(self, name):
        held = {"name": name, "action": self.datasets[name], "camera": "", "is_map": False}
        return type("Spec", (), held)


@pytest.mark.parametrize(
    "other, message",
    [
        (None, "dataset b holds no actions; leave it out"),
        (("x",), "datasets a and b have different actions, discrete left, right and continuous x"),
    ],
)
def test_datasets_that_no_one_policy_can_serve(monkeypatch, other, message):
    spec = data_actions.ActionSpec
    actions = {"a": spec("discrete", ("left", "right")), "b": other and spec("continuous", other)}
    monkeypatch.setattr(data_actions, "open_dataset", lambda path: Folder(actions))
    with pytest.raises(DataError, match=message):
        build_task(config_of("anywhere", action_names=()))
    only = config_of("anywhere", action_names=("left", "right"))
    only.data.datasets = ("a",)
    assert build_task(only).config.model.action_names == ("left", "right")

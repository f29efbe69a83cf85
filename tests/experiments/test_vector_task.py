"""Models of vectors from data to checkpoint: what a run finds, learns and refuses."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import flexlam_jax
from data_pipelines.conversion.build import prepare
from data_pipelines.errors import DataError
from data_pipelines.format.manifest import open_dataset
from data_pipelines.loading.loader import ordered_batches
from data_pipelines.registry import recipe_options
from data_pipelines.simulators.plant import recipe
from experiments.configs import lam_finetune, plant
from experiments.tasks.registry import build_task, on_paper
from experiments.train import train
from experiments.vector_statistics import shared_columns, vector_columns
from flexlam_jax.errors import ConfigError

pytestmark = pytest.mark.usefixtures("shared_compilations")

SIZES = ("--episodes=6", "--length=200", "--actions=continuous", "--disturbance=2")


def make(out, *options):
    prepare("plant", out, recipe_options("plant", *SIZES, *options))
    return str(out)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make(tmp_path_factory.mktemp("plant") / "data", "--measure-disturbances")


def config_of(data, variant="debug"):
    config = plant.get_config(variant)
    config.data.path = data
    return config


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    """A run that has learned something."""
    config = config_of(data)
    config.total_steps = 400
    config.model.slots = 5
    config.checkpoint.every = config.eval.every = 200
    workdir = tmp_path_factory.mktemp("run")
    train(config, workdir)
    return workdir


def states(data, split="validation"):
    batches = ordered_batches(data, split=split, batch_size=512, fields=("state",))
    return np.concatenate([batch["state"] for batch in batches])


def test_a_run_finds_columns_and_units(data):
    found = vector_columns({"path": data, "split": "train"}, ())
    rows = states(data, "train")
    assert found.columns == ("level_1", "level_2", "level_3", "demand", "inflow")
    assert found.exogenous == ("demand", "inflow")
    np.testing.assert_allclose(found.mean, rows[:, 0].mean(0), rtol=1e-5)
    np.testing.assert_allclose(found.level, rows[:, 0].std(0), rtol=1e-4)
    np.testing.assert_allclose(found.change, (rows[:, 1] - rows[:, 0]).std(0), rtol=1e-4)


def test_columns_that_nobody_measured_are_not_read(tmp_path):
    data = make(tmp_path / "hidden", "--hide-actions")
    assert vector_columns({"path": data, "split": "train"}, ()).columns == recipe.tanks.LEVELS
    chosen = vector_columns({"path": data, "split": "train"}, ("level_3", "pump_1"))
    assert chosen.columns == ("level_3", "pump_1") and chosen.exogenous == ()
    with pytest.raises(ConfigError, match="'level_9', and the data's state has level_1, "):
        vector_columns({"path": data, "split": "train"}, ("level_9",))


def test_a_run_learns_and_what_it_wrote_reads_raw_vectors(run, data):
    rows = [json.loads(line) for line in (run / "metrics.jsonl").open()]
    last = [row for row in rows if "validation/reconstruction" in row][-1]
    assert last["validation/reconstruction"] < 0.6 * last["validation/copy"]
    assert not any("psnr" in key for row in rows for key in row)
    lam = flexlam_jax.load(run)
    assert lam.columns[:3] == recipe.tanks.LEVELS and lam.exogenous == recipe.tanks.DISTURBANCES
    o_t, o_next = np.swapaxes(states(data), 0, 1)
    scale = np.asarray(lam.units.scale)
    whole = lam.decode(o_t, lam.encode(o_t, o_next))
    error = np.square((whole - o_next) / scale).mean()
    assert error < 0.8 * np.square((o_t - o_next) / scale).mean()
    nothing = lam.decode(o_t, lam.encode(o_t, o_next, keep=0))
    assert error < np.square((nothing - o_next) / scale).mean()


def test_a_masked_loss_holds_the_columns_that_the_agent_controls(data):
    state, key = states(data)[:32], jax.random.key(0)

    def felt(variant, columns):
        objective = build_task(config_of(data, variant)).objective
        variables = dict(jax.jit(objective.init)(key, {"state": state}))
        params = variables.pop("params")
        params["encoder"] = jax.tree.map(jnp.zeros_like, params["encoder"])  # Codes say nothing.

        def loss(state):
            return objective.values(objective.outcome(params, variables, {"state": state}, key))

        of_state = jax.jit(jax.grad(lambda state: loss(state)["loss"]))(state)
        return float(jnp.abs(of_state[:, 1, columns]).max())

    levels, disturbances = slice(0, 3), slice(3, 5)
    assert felt("debug", disturbances) > 0 and felt("debug,endogenous", levels) > 0
    assert felt("debug,endogenous", disturbances) == 0


def test_on_paper_there_are_as_many_columns_as_the_config_says():
    objective, batch = on_paper(plant.get_config("memory=3"))
    assert batch["state"].shape == (16, 33, 8)
    assert objective.transitions_per_row == 32


@pytest.mark.parametrize(
    "key, value, message",
    [
        ("model.encoder", {"kind": "motion"}, "model.encoder.kind='motion' is for pictures"),
        ("model.residual", False, "predicts a change"),
        ("loss.motion", 0.1, "config.loss.motion=0.1 is for pictures"),
        ("eval.evaluators", ("codes",), "run experiments.evaluate_lam"),
        ("vectors.exogenous", ("lvel",), "names 'lvel', and the data's state has level_1, "),
        ("loss.shift", 2, "config.loss.shift=2 is for pictures"),
        ("vectors.mean", (1.0, 2.0), "numbers of"),
    ],
)
def test_bad_configs(key, value, message, data):
    config = config_of(data)
    section, name = key.split(".")
    with config.unlocked():
        config[section][name] = value
    with pytest.raises(ConfigError, match=message):
        build_task(config)


def test_a_mask_of_no_columns_is_refused(tmp_path):
    config = config_of(make(tmp_path / "levels"), "debug,endogenous")
    with pytest.raises(ConfigError, match="none of level_1, level_2, level_3 are such; name them"):
        build_task(config)
    config.vectors.exogenous = ("level_3",)
    build_task(config)


def with_states(monkeypatch, change):
    plain = recipe.state_of

    def changed(options, shift):
        state = plain(options, shift)
        change(state)
        return state

    monkeypatch.setattr(recipe, "state_of", changed)


def test_a_column_that_never_varies_is_named(monkeypatch, tmp_path):
    def still(state):
        state[:, 1] = 7.3

    with_states(monkeypatch, still)
    with pytest.raises(DataError, match=r"column level_2 .*\.columns=\('level_1', 'level_3'\)"):
        vector_columns({"path": make(tmp_path / "data"), "split": "train"}, ())


def test_a_column_that_varies_between_episodes_alone_counts_by_its_level(monkeypatch, tmp_path):
    def settings(state):
        state[:, 1] = state[0, 1]

    with_states(monkeypatch, settings)
    found = vector_columns({"path": make(tmp_path / "data"), "split": "train"}, ())
    assert found.change[1] == found.level[1] > 0 and found.change[0] < found.level[0]


def test_data_without_state_or_with_another_is_told(data):
    info = open_dataset(data)
    spec = info.spec("tanks")
    without = dataclasses.replace(spec, state_names=(), exogenous_state=())
    with pytest.raises(DataError, match="holds no state, the vectors to learn from"):
        shared_columns([(info, without, 1)])
    other = dataclasses.replace(spec, name="other", state_names=("demand", "inflow"))
    with pytest.raises(DataError, match="state of other is .demand, inflow., and of tanks"):
        shared_columns([(info, spec, 1), (info, other, 1)])


def test_labels_train_a_model_of_vectors_together_with_its_translator(data, run, tmp_path):
    config = lam_finetune.get_config("debug,of=experiments/configs/plant.py:debug")
    config.data.path = data
    config.translator.update(outputs=2, discrete=False)
    config.labelled.labels = "10%"
    config.batch_size = {"video": 2, "labelled": 8}
    config.total_steps = config.checkpoint.every = config.eval.every = 4
    train(config, tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").open()]
    assert {"action", "reconstruction", "copy"} <= {key for row in rows for key in row}
    lam = flexlam_jax.load(tmp_path)
    assert lam.columns == flexlam_jax.load(run).columns
    o_t, o_next = np.swapaxes(states(data)[:4], 0, 1)
    assert lam.encode(o_t, o_next).shape == (4, 3, 1)

"""Every kind of task through the code that knows none: training, plans, timings, bad configs."""

import json
import sys
import types

import jax
import numpy as np
import pytest

from experiments import benchmark_parts
from experiments.benchmark_run import build_that_fits
from experiments.tasks.registry import TASKS, build_task, on_paper
from experiments.train import main, train
from flexlam_jax.errors import ConfigError
from flexlam_jax.planning.plan import plan
from flexlam_jax.planning.report import describe
from flexlam_jax.planning.search import changed, flags, search
from flexlam_jax.planning.topology import parse_topology
from tests.experiments import (
    joint_task,
    tiny,
    tiny_cloning,
    tiny_dynamics,
    tiny_finetune,
    tiny_hilam,
    tiny_policy,
    tiny_tokenizer,
    tiny_tokens,
    tiny_vectors,
)
from tests.experiments.pretraining import Pretraining

pytestmark = pytest.mark.usefixtures("shared_compilations")

CONFIGS = {
    "lam": tiny.get_config,
    "behaviour_cloning": tiny_cloning.get_config,
    "lam_finetune": tiny_finetune.get_config,
    "vector_lam": tiny_vectors.get_config,
    "token_policy": tiny_tokens.get_config,
    "hilam": tiny_hilam.get_config,
    "policy": tiny_policy.get_config,
    "tokenizer": tiny_tokenizer.get_config,
    "dynamics": tiny_dynamics.get_config,
    "tests.experiments.joint_task": joint_task.get_config,
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    pretraining = Pretraining(tmp_path_factory.mktemp("shared"))
    pretraining.prepare()
    return str(pretraining.data)


@pytest.fixture
def config_on(data, tmp_path):
    """The config of a kind with data."""

    def make(kind):
        config = CONFIGS[kind]()
        config.data.path = data
        beside = {
            "token_policy": tiny_tokens.with_codes,
            "hilam": tiny_hilam.with_latents,
            "policy": tiny_policy.with_latents,
            "dynamics": tiny_dynamics.with_models,
        }
        return beside[kind](config, tmp_path) if kind in beside else config

    return make


def rows(workdir):
    return [json.loads(line) for line in (workdir / "metrics.jsonl").open()]


def test_every_kind_of_this_package_is_tested_here():
    assert set(TASKS) <= set(CONFIGS)


@pytest.mark.parametrize("kind", CONFIGS)
def test_a_batch_of_the_data_is_what_the_task_says(kind, config_on):
    task = build_task(config_on(kind))
    whole = jax.tree.map(lambda x: np.arange(len(x)), _first_leaves(task.batch))
    batches = task.data(whole)
    batch = next(batches)
    batches.close()
    for path, shape in jax.tree.leaves_with_path(task.batch):
        found = batch
        for key in path:
            found = found[key.key]
        assert (found.shape, jax.dtypes.canonicalize_dtype(found.dtype)) == (
            shape.shape,
            shape.dtype,
        )
    assert task.data_hashes()


def _first_leaves(batch):
    """One array of each stream, or of the whole batch."""
    if all(isinstance(part, dict) for part in batch.values()):
        return {name: next(iter(part.values())) for name, part in batch.items()}
    return next(iter(batch.values()))


@pytest.mark.parametrize("kind", CONFIGS)
def test_every_kind_is_planned(kind):
    config = CONFIGS[kind]()
    made = plan(config, parse_topology("v5e-1"), jax.devices()[:1], on_paper)
    assert made.fits and made.transitions in (8 * 2, 4 + 8)
    # One layer needs no gradient of its input, which is a third of what model FLOPs count.
    assert made.executed_flops >= 0.65 * made.model_flops > 0
    assert "rows" in describe(made)
    json.dumps(made.row())


@pytest.mark.parametrize("kind", CONFIGS)
def test_every_kind_is_timed(kind, config_on):
    config = config_on(kind)
    run = build_that_fits(config)
    assert jax.tree.map(lambda x: x.shape, run.batch) == jax.tree.map(
        lambda x: x.shape, run.task.batch
    )
    row = json.loads(json.dumps(benchmark_parts.train(config, 1)))
    assert row["transitions_per_second"] * row["step_seconds"] == pytest.approx(run.transitions)
    assert benchmark_parts.loader(config, 1)["transitions_per_second"] > 0


def test_a_task_of_ones_own_with_streams_trains_and_goes_on_exactly(data, tmp_path):
    config = joint_task.get_config(data)
    whole = train(config, tmp_path / "whole")
    first = rows(tmp_path / "whole")
    assert {"video", "action", "loss"} <= first[1].keys() and any(
        "validation/norm" in row for row in first
    )
    shorter = joint_task.get_config(data)
    shorter.optimizer.schedule = config.optimizer.schedule = "constant"
    whole = train(config, tmp_path / "constant")
    shorter.total_steps = 4
    train(shorter, tmp_path / "parts")
    again = train(config, tmp_path / "parts")
    assert jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), whole.params, again.params))


def test_search_and_its_flags_scale_every_stream():
    config, tried = joint_task.get_config(), []

    def make(variant):
        tried.append(dict(variant.batch_size))
        raise ConfigError("not compiled")

    search(config, parse_topology("v5e-1"), make, limit=4)
    assert tried == [{"labelled": 4 * n // 2, "video": 8 * n // 2} for n in (2, 4, 8, 1)]
    made = plan(
        changed(config, batch_size={"labelled": 2, "video": 6}),
        parse_topology("v5e-1"),
        jax.devices()[:1],
        on_paper,
    )
    assert flags(made).startswith("--config.batch_size.labelled=2 --config.batch_size.video=6 --")
    assert "remat" not in flags(made)


@pytest.mark.parametrize(
    "kind, message",
    [
        (
            "dreamer",
            "config.kind='dreamer' is unknown; choose one of lam, .*, or give the dotted path",
        ),
        ("my_lab.tasks.kitchen", "No module named 'my_lab'; is its folder on PYTHONPATH"),
        ("tests.experiments.tiny", "tests.experiments.tiny is no task; it needs .* build"),
    ],
)
def test_a_kind_that_does_not_exist(kind, message, tmp_path):
    config = tiny.get_config()
    config.kind = kind
    with pytest.raises(ConfigError, match=message):
        train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_what_a_module_of_ones_own_cannot_import_is_not_called_a_bad_config(monkeypatch, tmp_path):
    (tmp_path / "their_task.py").write_text("import not_installed_anywhere\n")
    package = types.ModuleType("their_lab")
    package.__path__ = [str(tmp_path)]
    monkeypatch.setitem(sys.modules, "their_lab", package)
    config = tiny.get_config()
    config.kind = "their_lab.their_task"
    with pytest.raises(ModuleNotFoundError, match="not_installed_anywhere"):
        build_task(config)


def test_a_command_for_one_kind_refuses_others(monkeypatch):
    monkeypatch.setattr("experiments.cli.config_value", lambda flag: joint_task.get_config())
    with pytest.raises(ConfigError, match="this command is for 'lam'; use experiments.train"):
        main([], only="lam")


def test_a_size_of_frames_that_is_not_the_models(tmp_path):
    config = tiny.get_config()
    config.data.image_size = 32
    with pytest.raises(ConfigError, match="data.image_size=32 but config.model.image_size=16"):
        train(config, tmp_path / "run")
    config.data.image_size = 16
    build_task(config)


def test_rows_for_streams_of_a_kind_that_has_none(tmp_path):
    config = tiny.get_config()
    del config.batch_size  # Of another type.
    config.batch_size = dict(labelled=4, video=8)
    with pytest.raises(ConfigError, match="streams labelled, video, and a batch of config.kind='l"):
        train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()

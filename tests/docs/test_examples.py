"""The examples that CONTRIBUTING.md shows are short, and work as a newcomer would use them."""

import pathlib

import jax
import numpy as np
import pytest

import flexlam_jax
from data_pipelines.conversion.build import prepare
from data_pipelines.loading.loader import ordered_batches
from data_pipelines.registry import recipe_options
from docs.examples import toy_family
from experiments.tasks.registry import build_task
from flexlam_jax.parallel.mesh import make_mesh
from flexlam_jax.training.loop import fit

EXAMPLES = pathlib.Path(toy_family.__file__).parent


@pytest.mark.parametrize("name", ["toy_family", "toy_simulator"])
def test_an_example_is_shorter_than_eighty_lines(name):
    assert len((EXAMPLES / f"{name}.py").read_text().splitlines()) < 80


def test_the_contributing_page_shows_the_examples_as_they_are():
    page = (EXAMPLES.parents[1] / "CONTRIBUTING.md").read_text()
    for name in ("toy_family", "toy_simulator"):
        assert (EXAMPLES / f"{name}.py").read_text() in page


@pytest.fixture(scope="module")
def paddle(tmp_path_factory):
    """A dataset of the toy simulator, found by its dotted path."""
    out = tmp_path_factory.mktemp("toy") / "paddle"
    recipe = "docs.examples.toy_simulator"
    prepare(recipe, out, recipe_options(recipe, "--plan=catch_sticky=200,catch_expert=200"))
    return out


def test_the_toy_simulator_plays_and_its_expert_catches(paddle):
    actions = [
        set(np.unique(batch["action"]))
        for batch in ordered_batches(paddle, ("catch_sticky",), "train", fields=("action",))
    ]
    assert set().union(*actions) == {0, 1, 2}


def test_the_toy_family_trains_on_it_goes_on_and_loads(paddle, tmp_path):
    config = toy_family.get_config()
    config.data.path, config.log.tensorboard = str(paddle), False
    task, mesh = build_task(config), make_mesh(config.mesh)
    rows = range(config.batch_size)
    state = fit(task.objective, task.data(rows), config, tmp_path / "run", mesh=mesh)
    again = fit(task.objective, task.data(rows), config, tmp_path / "run", mesh=mesh)
    assert int(again.step) == config.total_steps == int(state.step)
    predictor = flexlam_jax.load(tmp_path / "run")
    frames = next(task.data(rows))["frames"]
    predicted, copied = predictor(frames[:, 0]), frames[:, 0] / 255.0
    errors = [float(np.mean((x - frames[:, 1] / 255.0) ** 2)) for x in (predicted, copied)]
    assert errors[0] < errors[1]
    assert jax.tree.structure(state.params) == jax.tree.structure(again.params)

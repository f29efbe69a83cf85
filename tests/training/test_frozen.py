"""Frozen parameters: neither trained nor saved, read again from where they came from."""

import json
import shutil

import jax
import numpy as np
import pytest
from etils import epath

from flexlam_jax.checkpoints.files import item_metadata
from flexlam_jax.checkpoints.fingerprint import fingerprint
from flexlam_jax.checkpoints.params import restore_params, saved_fingerprint
from flexlam_jax.errors import CheckpointError, ConfigError, Interrupted
from flexlam_jax.training.frozen import part
from flexlam_jax.training.loop import fit
from tests.training import toy
from tests.training.sources import KINDS, config_from, save_source

pytestmark = pytest.mark.usefixtures("shared_compilations")


def train(workdir, source, rows=None):
    config = config_from(source, frozen=("mlp/up",), take="mlp", to="mlp", total_steps=6)
    return fit(toy.objective(**KINDS), rows or toy.Rows(), config, workdir)


def same(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.fixture(scope="module")
def runs(tmp_path_factory, shared_compilations):
    """(folder of `source` and `run`, parameters of the source, final state of the run)."""
    place = tmp_path_factory.mktemp("runs")
    given = save_source(place / "source")
    return place, given, train(place / "run", place / "source")


@pytest.fixture
def copy(runs, tmp_path):
    """Both runs elsewhere, the ones they were copied from gone meanwhile."""
    place = shutil.copytree(runs[0], tmp_path / "place")
    hidden = runs[0].rename(runs[0].with_name("hidden"))
    yield place
    hidden.rename(runs[0])


def test_frozen_parameters_do_not_move_and_the_rest_does(runs):
    _, given, state = runs
    same(state.frozen["mlp"]["up"], given["mlp"]["up"])
    assert "up" not in state.params["mlp"] and "up" not in state.ema["mlp"]
    assert (state.params["mlp"]["down"]["kernel"] != given["mlp"]["down"]["kernel"]).all()


def test_they_are_not_saved_but_referred_to(runs):
    step = epath.Path(runs[0]) / "run" / "checkpoints"
    for item in ("params", "ema", "optimizer"):
        paths = jax.tree_util.tree_leaves_with_path(item_metadata(step, 6, item).tree)
        names = [jax.tree_util.keystr(path) for path, _ in paths]
        assert any("down" in name for name in names) and not any("up" in name for name in names)
    (reference,) = json.loads((step / "6" / "meta" / "metadata").read_text())["frozen"]
    assert reference.pop("fingerprint") > 0
    assert reference == {
        "path": str(runs[0] / "source"),
        "relative": "../../source",
        "step": 0,
        "take": "mlp/up",
        "to": "mlp/up",
    }


def test_a_killed_run_continues_to_the_bit(runs, tmp_path):
    with pytest.raises(Interrupted):
        train(tmp_path, runs[0] / "source", toy.StopAt(3))
    same(train(tmp_path, runs[0] / "source"), runs[2])


def test_loading_gives_all_parameters(runs):
    variables, _, step = restore_params(runs[0] / "run")
    assert step == 6
    same(variables, runs[2].variables)
    abstract = jax.eval_shape(lambda: runs[2].variables)
    same(restore_params(runs[0] / "run", abstract)[0], runs[2].variables)
    other = jax.eval_shape(lambda: jax.tree.map(lambda x: x[..., None], runs[2].variables))
    with pytest.raises(CheckpointError, match="another architecture"):
        restore_params(runs[0] / "run", other)


def test_the_saved_fingerprint_is_that_of_all_that_is_loaded(runs):
    for run in ("source", "run"):  # One holds all itself, averaged ones too; the other refers.
        variables, _, step = restore_params(runs[0] / run)
        assert saved_fingerprint(runs[0] / run, step) == fingerprint(variables)
    with pytest.raises(CheckpointError, match="no step 7 in"):
        saved_fingerprint(runs[0] / "run", 7)


def test_runs_that_move_together_find_each_other(copy, runs):
    same(restore_params(copy / "run")[0], runs[2].variables)


def test_a_reference_that_vanished_is_one_message(copy):
    shutil.rmtree(copy / "source")
    for read in (lambda: restore_params(copy / "run"), lambda: train(copy / "run", "gone")):
        with pytest.raises(Exception) as error:
            read()
        assert isinstance(error.value, ValueError)
    with pytest.raises(
        CheckpointError,
        match="frozen parameters 'mlp/up' by reference .*place .*as it was. no checkpoint in",
    ):
        restore_params(copy / "run")


def test_a_reference_that_changed_is_one_message(copy):
    shutil.rmtree(copy / "source")
    save_source(copy / "source", seed=8)
    with pytest.raises(CheckpointError, match="has other parameters at 'mlp/up' .*fingerprint"):
        restore_params(copy / "run")


def test_resuming_checks_them_too(runs, tmp_path):
    place = tmp_path / "place"
    save_source(place / "source")
    with pytest.raises(Interrupted):
        train(place / "run", place / "source", toy.StopAt(3))
    shutil.rmtree(place / "source")
    save_source(place / "source", seed=8)
    with pytest.raises(CheckpointError, match="has other parameters at 'mlp/up'"):
        train(place / "run", place / "source")
    shutil.rmtree(place / "source")
    with pytest.raises(CheckpointError, match="'mlp/up' by reference .*no checkpoint in"):
        train(place / "run", place / "source")


PARAMS = {"lam": {"encoder": 1, "decoder": 2}, "head": 3}


def test_parting_parameters():
    assert part(PARAMS, ()) == (PARAMS, None)
    assert part(PARAMS, ("lam/encoder",)) == (
        {"lam": {"decoder": 2}, "head": 3},
        {"lam": {"encoder": 1}},
    )
    with pytest.raises(ConfigError, match="'lam/policy', which matches nothing .*lam has decoder,"):
        part(PARAMS, ("lam/policy",))
    with pytest.raises(ConfigError, match="leaves no parameter to train"):
        part(PARAMS, ("lam", "head"))

"""One `load` for every kind of checkpoint, which reads parameters only."""

import dataclasses
import shutil
import subprocess
import sys
import types

import jax.numpy as jnp
import pytest

import flexlam_jax
from flexlam_jax.checkpoints.params import restore_params
from flexlam_jax.checkpoints.references import refer
from flexlam_jax.checkpoints.write import save_model
from flexlam_jax.errors import CheckpointError
from flexlam_jax.loading import load as loading
from flexlam_jax.loading.lam import LoadedLam
from flexlam_jax.loading.translator import LoadedTranslator
from flexlam_jax.output_folder import TRANSLATOR
from flexlam_jax.training.checkpoint import Checkpoints
from flexlam_jax.training.state import TrainState
from tests.loading.test_translator import make
from tests.untrained import save_run

KITCHEN = dataclasses.replace(TRANSLATOR, name="kitchen")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return save_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def translator(tmp_path_factory):
    folder = tmp_path_factory.mktemp("translator") / "t"
    make(folder, True)
    return folder


def test_kinds(run, translator, tmp_path):
    assert type(flexlam_jax.load(run)) is LoadedLam
    assert type(flexlam_jax.load(save_run(tmp_path, kind="lam"))) is LoadedLam
    assert type(flexlam_jax.load(translator)) is LoadedTranslator
    assert type(flexlam_jax.load(translator / "checkpoints", step=0)) is LoadedTranslator


def test_code_for_one_kind_refuses_others(run, translator):
    assert type(loading.load_as("lam", run, 2)) is LoadedLam
    with pytest.raises(
        CheckpointError, match="kind 'translator', where one of kind 'lam' is needed"
    ):
        loading.load_as("lam", translator)
    with pytest.raises(CheckpointError, match="kind 'lam', where one of kind 'translator'"):
        flexlam_jax.load_translator(run)


def test_an_unknown_kind_lists_those_that_are_known(tmp_path):
    save_model(tmp_path, KITCHEN, {"params": {}}, {})
    with pytest.raises(
        CheckpointError, match="kind 'kitchen', this program loads .*lam, .*translator"
    ):
        flexlam_jax.load(tmp_path)


def test_a_kind_of_ones_own(tmp_path, monkeypatch):
    monkeypatch.setattr(loading, "KINDS", dict(loading.KINDS))
    module = types.ModuleType("my_kitchen")
    module.from_checkpoint = lambda path, step: restore_params(path, step=step)
    monkeypatch.setitem(sys.modules, "my_kitchen", module)
    save_model(tmp_path, KITCHEN, {"params": {}}, {"pans": 3})
    loading.register("kitchen", "my_kitchen")
    loading.register("kitchen", "my_kitchen")
    assert flexlam_jax.load(tmp_path) == (
        {"params": {}},
        {"kind": "kitchen", "pans": 3},
        0,
    )
    with pytest.raises(ValueError, match="read by flexlam_jax.loading.lam already"):
        loading.register("lam", "my_kitchen")


def test_a_run_with_frozen_parameters_is_loaded_whole(run, tmp_path):
    variables, config, _ = restore_params(run)
    params = dict(variables["params"])
    encoder = params.pop("encoder")
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        checkpoints.references = (refer(run, tmp_path, 2, "encoder", "encoder", encoder),)
        state = TrainState(step=jnp.int32(9), params=params, extra={}, opt_state={})
        checkpoints.save(state, {"next_index": 9}, config)
    loaded = flexlam_jax.load(tmp_path)
    assert loaded.step == 9 and loaded.fingerprint() == flexlam_jax.load(run).fingerprint()


@pytest.mark.parametrize("remove", [True, False], ids=["missing", "unreadable"])
def test_only_parameters_are_read(run, tmp_path, remove):
    shutil.copytree(run, tmp_path / "run")
    for item in ("optimizer", "data"):
        folder = tmp_path / "run" / "checkpoints" / "2" / item
        for file in [file for file in folder.rglob("*") if file.is_file()]:
            file.unlink() if remove else file.write_bytes(b"\xff")
    loaded = flexlam_jax.load(tmp_path / "run")
    assert loaded.fingerprint() == flexlam_jax.load(run).fingerprint()


def test_loading_imports_neither_training_nor_data_nor_logging(run, translator):
    """It is also what keeps load plus first encode within seconds."""
    script = (
        "import sys, flexlam_jax\n"
        "assert 'jax' not in sys.modules\n"
        f"flexlam_jax.load({str(run)!r}), flexlam_jax.load({str(translator)!r})\n"
        "heavy = ('tensorflow', 'tensorflow_datasets', 'grain', 'tensorboard', 'array_record',\n"
        "         'PIL', 'tqdm', 'experiments', 'data_pipelines', 'optax',\n"
        "         'flexlam_jax.training', 'flexlam_jax.objectives', 'flexlam_jax.evaluation')\n"
        "print([m for m in sys.modules if m.startswith(tuple(h + '.' for h in heavy))\n"
        "       or m in heavy])\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip().splitlines()[-1] == "[]"

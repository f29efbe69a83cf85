"""Wrong input to the pretraining binary: each is one message, and nothing is written."""

import jax
import numpy as np
import pytest

from data_pipelines.errors import DataError
from experiments import cli
from experiments.pretrain_lam import pretrain
from flexlam_jax.errors import Interrupted, UserError
from tests.experiments import tiny
from tests.experiments.pretraining import Pretraining


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    pretraining = Pretraining(tmp_path_factory.mktemp("shared"))
    pretraining.prepare()
    return str(pretraining.data)


@pytest.mark.parametrize("key, value, kind, message", [
    ("data.path", "/nowhere", DataError, "/nowhere.*data_pipelines.prepare"),
    ("data.split", "exam", DataError, "exam"),
    ("data.gap", 1000, DataError, "1000|frames"),
    ("data.datasets", ("circle",), DataError, "circle"),
    ("model.image_size", 32, DataError, "16x16 frames, the config asks for 32x32"),
    ("model.quantizer.kind", "codes", UserError, "bad config: .*'codes' is unknown"),
    ("model.slots", 0, UserError, "bad config: "),
    ("loss.pixel", "l3", UserError, "bad config: .*l3"),
    ("mesh.data", 3, UserError, "there are 1 devices"),
    ("optimizer.accumulate", 3, UserError, "batch_size=8 must be a multiple of 3"),
    ("optimizer.schedule", "linear", UserError, "schedule='linear' is not one of"),
    ("optimizer.warmup_steps", 99, UserError, "do not fit into total_steps=24"),
])
def test_wrong_settings(data, tmp_path, key, value, kind, message):
    config = tiny.get_config()
    config.data.path = data
    with config.ignore_type():
        config.update_from_flattened_dict({key: value})
    with pytest.raises(kind, match=message):
        pretrain(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("error, code, shown", [
    (UserError("what, where, remedy"), 1, "error: what, where, remedy"),
    (DataError("no shard"), 1, "error: no shard"),
    (FloatingPointError("step 3: nan"), 1, "error: step 3: nan"),
    (Interrupted("stopped and saved"), 75, "stopped and saved"),
])
def test_exit_codes(error, code, shown, capsys):
    def main(argv):
        raise error
    with pytest.raises(SystemExit) as stop:
        cli.guarded(main, [])
    assert stop.value.code == code and capsys.readouterr().err == shown + "\n"


def test_our_own_bugs_keep_their_traceback():
    def main(argv):
        return np.zeros(3).reshape(2)
    with pytest.raises(ValueError, match="cannot reshape"):
        cli.guarded(main, [])


def test_a_run_that_does_not_fit_says_what_to_change(capsys):
    def main(argv):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes.\n...")

    with pytest.raises(SystemExit) as stop:
        cli.guarded(main, [])
    told = capsys.readouterr().err
    assert stop.value.code == 1 and "allocating 9 bytes.)" in told and "optimizer.accumulate=2" in told

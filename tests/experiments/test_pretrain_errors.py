"""Wrong input to the pretraining binary: each is one message, and nothing is written."""

import json
import shutil
import sys

import jax
import numpy as np
import pytest
from absl import flags

from data_pipelines.errors import DataError
from data_pipelines.loading.options import loader_options
from experiments import cli, preset_flag
from experiments.data_hashes import data_hashes
from experiments.tasks import clips
from experiments.train import train
from flexlam_jax.errors import Interrupted, UserError, WorkdirError
from flexlam_jax.training.workdir import Workdir
from tests.experiments import tiny
from tests.experiments.pretraining import Pretraining


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    pretraining = Pretraining(tmp_path_factory.mktemp("shared"))
    pretraining.prepare()
    return str(pretraining.data)


@pytest.mark.parametrize(
    "key, value, kind, message",
    [
        ("data.path", "/nowhere", DataError, "/nowhere.*data_pipelines.prepare"),
        ("data.split", "exam", DataError, "exam"),
        ("data.gap", 1000, DataError, "1000|frames"),
        ("data.datasets", ("circle",), DataError, "circle"),
        ("model.image_size", 32, DataError, "16x16 frames, the config asks for 32x32"),
        ("model.quantizer.kind", "codes", UserError, "bad config: .*'codes' is not one of fsq"),
        ("model.slots", 0, UserError, "bad config: "),
        ("loss.pixel", "l3", UserError, "bad config: .*l3"),
        ("mesh.data", 3, UserError, "there are 1 devices"),
        ("optimizer.accumulate", 3, UserError, "batch_size=8 must be a multiple of 3"),
        ("optimizer.schedule", "linear", UserError, "schedule='linear' is not one of"),
        ("optimizer.warmup_steps", 99, UserError, "do not fit into total_steps=24"),
    ],
)
def test_wrong_settings(data, tmp_path, key, value, kind, message):
    config = tiny.get_config()
    config.data.path = data
    with config.ignore_type():
        config.update_from_flattened_dict({key: value})
    with pytest.raises(kind, match=message):
        train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_folders_of_others_are_refused_before_any_work(tmp_path):
    (tmp_path / "metrics.jsonl").write_text("mine")
    for workdir, told in ((tmp_path, "holds metrics.jsonl, not a training run"), ("", "is empty")):
        with pytest.raises(WorkdirError, match=told):
            train(tiny.get_config(), workdir)  # Without data: nothing is opened.
    assert [file.name for file in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_a_run_goes_on_on_the_same_content_only(data, tmp_path):
    config = tiny.get_config()
    config.data.path = data
    hashes = data_hashes(config.data, ["train", "validation"])
    assert set(hashes) == {"square/train", "square/validation"}
    other = hashes | {"square/train": "0" * 64}
    with Workdir(tmp_path, json.loads(config.to_json()), other) as run:
        run.file("metrics.jsonl").write_text('{"step": 24}\n')
    with pytest.raises(
        WorkdirError,
        match=r"on other data:\n  square/train: sha256 0{16} there, " + hashes["square/train"][:16],
    ):
        train(config, tmp_path)


def test_hashes_are_of_the_records_wherever_they_lie(data, tmp_path):
    shutil.copytree(data, tmp_path / "moved")
    here, moved = ({"mixture": {"a": {"path": str(path)}}} for path in (data, tmp_path / "moved"))
    assert data_hashes(here, ["train"]) == data_hashes(moved, ["train"])
    assert set(data_hashes(here, ["test"])) == {"a/square/test"}
    manifest = tmp_path / "moved" / "manifest.json"
    values = json.loads(manifest.read_text())
    values["datasets"]["square"]["shards"]["train"][0]["sha256"] = "0" * 64
    manifest.write_text(json.dumps(values))
    assert data_hashes(here, ["train"]) != data_hashes(moved, ["train"])
    assert data_hashes(here, ["test"]) == data_hashes(moved, ["test"])


@pytest.mark.parametrize(
    "given, gap",
    [("3", 3), ("0.2s", "0.2s"), ("(1,4)", (1, 4)), ("('0.1s', '0.3s')", ("0.1s", "0.3s"))],
)
@pytest.mark.parametrize("preset", ["debug", "doom"])
def test_every_gap_can_be_given_as_a_flag(preset, given, gap, monkeypatch):
    values = flags.FlagValues()
    preset_flag.define_config("", values)
    monkeypatch.setattr(
        "sys.argv",
        [
            "",
            f"--config=experiments/configs/{preset}.py",
            f"--config.data.gap={given}",
            "--config.data.path=somewhere",
        ],
    )
    values(sys.argv)
    assert loader_options(values.config.data).gap == gap


@pytest.mark.parametrize(
    "error, code, shown",
    [
        (UserError("what, where, remedy"), 1, "error: what, where, remedy"),
        (DataError("no shard"), 1, "error: no shard"),
        (FloatingPointError("step 3: nan"), 1, "error: step 3: nan"),
        (Interrupted("stopped and saved"), 75, "stopped and saved"),
    ],
)
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
        raise jax.errors.JaxRuntimeError(
            "RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes.\n..."
        )

    with pytest.raises(SystemExit) as stop:
        cli.guarded(main, [])
    told = capsys.readouterr().err
    assert (
        stop.value.code == 1 and "allocating 9 bytes.)" in told and "optimizer.accumulate=2" in told
    )


@pytest.mark.parametrize(
    "key, value, message",
    [
        (
            "model.encoder.heads",
            3,
            "model.encoder.width=32 is not divisible by model.encoder.heads=3",
        ),
        ("model.decoder.patch", 5, "model.decoder.patch=5 does not divide model.image_size, 16x16"),
        ("model.channels", 1, "model.channels=1 but the data has frames of 3"),
        ("watchdog_seconds", -1.0, r"config.watchdog_seconds=-1.0 .*\n*.*0 for never"),
        ("optimizer.b2", 2.0, "config.optimizer.b2=2.0 is out of range"),
        ("batch_size", 10**12, "config.batch_size=1000000000000 must be at least 1, .* below 2"),
        ("eval.batches", 10**9, "config.eval.batches=1000000000, need .* GiB of memory"),
    ],
)
def test_numbers_that_no_run_can_have(data, tmp_path, key, value, message):
    config = tiny.get_config()
    config.data.path = data
    config.update_from_flattened_dict({key: value})
    with pytest.raises(UserError, match=f"bad config: .*{message}"):
        train(config, tmp_path / "run")


@pytest.mark.parametrize("error", [KeyError("episode"), ValueError("ours"), DataError("shard 3")])
def test_only_the_config_is_called_a_bad_config(tmp_path, monkeypatch, error):
    def broken(*args, **kwargs):
        raise error

    monkeypatch.setattr(clips, "training_batches", broken)
    with pytest.raises(type(error)) as told:
        train(tiny.get_config(), tmp_path / "run")
    assert told.value is error

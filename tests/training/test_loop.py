"""`fit` from outside: what it writes, resumes, falls back to, and refuses. On a toy objective."""

import dataclasses
import json
import logging
import shutil
import signal

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from flexlam_jax.checkpoints.params import restore_params
from flexlam_jax.errors import CheckpointError, Interrupted, UserError
from flexlam_jax.training.loop import fit
from tests.training import toy

pytestmark = pytest.mark.usefixtures("shared_compilations")
KINDS = dict(noise=0.3, count_updates=True)


def evaluate(state):
    return {"validation/w": float(state.params["mlp"]["up"]["kernel"][0, 0])}


def train(workdir, rows=None, **overrides):
    return fit(
        toy.objective(**KINDS),
        rows or toy.Rows(),
        toy.config(**overrides),
        workdir,
        evaluate=evaluate,
    )


def same(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def steps(workdir):
    return sorted(int(p.name) for p in (workdir / "checkpoints").iterdir() if p.name.isdigit())


@pytest.fixture(scope="module")
def whole(tmp_path_factory, shared_compilations):
    """(work directory, final state) of a run that nothing interrupted."""
    workdir = tmp_path_factory.mktemp("whole")
    return workdir, train(workdir)


def test_a_plain_dict_that_a_flag_left_in_the_config_is_a_section(tmp_path):
    config = toy.config(total_steps=2)
    config.data = ConfigDict()
    config.data._fields["datasets"] = {"square": 2.0}  # As a flag of a tuple leaves it.
    fit(toy.objective(**KINDS), toy.Rows(), config, tmp_path, evaluate=evaluate)
    assert json.loads((tmp_path / "config.json").read_text())["data"] == {
        "datasets": {"square": 2.0}
    }


def test_what_a_run_leaves(whole):
    workdir, state = whole
    assert int(state.step) == 12 and steps(workdir) == [10, 12]
    rows = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    assert [r["step"] for r in rows] == [0, 2, 4, 4, 6, 8, 8, 10, 12, 12]
    assert ["validation/w" in r for r in rows] == [
        r["step"] % 4 == 0 and i in (0, 3, 6, 9) for i, r in enumerate(rows)
    ]
    assert {"loss", "mae", "grad_norm", "learning_rate", "batch"} <= set(rows[1])
    performance = [json.loads(line) for line in (workdir / "performance.jsonl").open()]
    assert {
        "performance/step_seconds",
        "performance/mfu",
        "performance/peak_tflops",
        "performance/data_wait_fraction",
        "performance/host_gib",
    } <= set(performance[-1])
    saved = workdir / "checkpoints" / "12"
    assert {p.name for p in saved.iterdir() if p.is_dir()} == {
        "params",
        "ema",
        "optimizer",
        "data",
        "config",
        "meta",
    }
    assert json.loads((saved / "data" / "metadata").read_text()) == {"next_index": 12}


def test_a_finished_run_is_not_trained_again(whole):
    workdir, state = whole
    before = (workdir / "metrics.jsonl").read_bytes()
    same(train(workdir), state)
    assert (workdir / "metrics.jsonl").read_bytes() == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_saves_and_the_rest_equals_the_whole_run(whole, tmp_path, number):
    handler = signal.getsignal(number)
    for at in (3, 8):
        with pytest.raises(Interrupted, match=r"stopped and saved at step \d+ of 12"):
            train(tmp_path, toy.StopAt(at, number))
        assert signal.getsignal(number) == handler
    with (tmp_path / "performance.jsonl").open("a") as file:
        file.write('{"step": 99, "cut of')  # As by a full disk.
    same(train(tmp_path), whole[1])
    assert (tmp_path / "metrics.jsonl").read_bytes() == (whole[0] / "metrics.jsonl").read_bytes()
    timed = [json.loads(line)["step"] for line in (tmp_path / "performance.jsonl").open()]
    assert timed == sorted(set(timed)) and timed[-1] == 12


def damage(workdir, step, how):
    item = workdir / "checkpoints" / str(step) / "optimizer"
    if how == "flip":
        for file in item.rglob("d/*"):
            content = bytearray(file.read_bytes())
            content[len(content) // 2] ^= 0xFF
            file.write_bytes(content)
    elif how == "truncate":
        for file in item.rglob("d/*"):
            file.write_bytes(file.read_bytes()[:10])
    elif how == "metadata":
        (item / "_METADATA").unlink()
    elif how == "json":
        (item.parent / "data" / "metadata").write_text("{")
    elif how == "position":
        (item.parent / "data" / "metadata").write_text('{"next_index": 13}')
    elif how == "other step":
        shutil.rmtree(item.parent)
        shutil.copytree(item.parents[1] / "10", item.parent)
    elif how == "content":  # As if bytes had changed where no file format notices.
        meta = json.loads((item.parent / "meta" / "metadata").read_text())
        meta["fingerprints"]["optimizer"] ^= 1
        (item.parent / "meta" / "metadata").write_text(json.dumps(meta))
    elif how == "empty":
        for file in [p for p in item.parent.rglob("*") if p.is_file()]:
            file.unlink()


@pytest.mark.parametrize(
    "how", ["flip", "truncate", "content", "metadata", "json", "empty", "position", "other step"]
)
def test_damaged_newest_step_falls_back_and_says_so(whole, tmp_path, caplog, how):
    train(tmp_path)
    damage(tmp_path, 12, how)
    with caplog.at_level(logging.ERROR):
        same(train(tmp_path), whole[1])
    assert "CHECKPOINT DAMAGED: step 12" in caplog.text and "FALLING BACK TO STEP 10" in caplog.text
    assert steps(tmp_path) == [10, 12]
    assert (tmp_path / "checkpoints.damaged" / "12.0").is_dir()
    assert (tmp_path / "metrics.jsonl").read_bytes() == (whole[0] / "metrics.jsonl").read_bytes()


def test_nothing_readable_is_an_error_and_moves_nothing(tmp_path):
    train(tmp_path)
    for step in (10, 12):
        damage(tmp_path, step, "json")
    with pytest.raises(CheckpointError, match="no step in .* can be restored; nothing was changed"):
        train(tmp_path)
    assert steps(tmp_path) == [10, 12]


def test_half_written_step_is_never_loaded(whole, tmp_path):
    with pytest.raises(Interrupted):
        train(tmp_path, toy.StopAt(5))
    saved = tmp_path / "checkpoints"
    newest = max(steps(tmp_path))
    (saved / str(newest)).rename(saved / f"{newest + 1}.orbax-checkpoint-tmp")
    same(train(tmp_path), whole[1])
    assert not list(saved.glob("*tmp*"))


def test_checkpoint_of_another_architecture_names_the_parameters(tmp_path):
    train(tmp_path)
    config = toy.config()
    with pytest.raises(CheckpointError) as error:
        fit(toy.objective(hidden=32), toy.Rows(), config, tmp_path)
    text = str(error.value)
    assert "! params: params/mlp/up/kernel is float32(8, 16), expected float32(8, 32)" in text
    assert "+ params: counter/n float32() only in the checkpoint" in text
    assert len(text.splitlines()) <= 23 and "NoEntryError" not in text
    assert steps(tmp_path) == [10, 12]


def test_nan_stops_with_step_and_value_and_is_never_saved(tmp_path):
    rows = toy.Rows(nan_at=9)
    with pytest.raises(FloatingPointError, match="diverged at step 10: loss nan"):
        train(tmp_path, rows)
    assert steps(tmp_path) == [5, 7] and rows.closed
    last = (tmp_path / "metrics.jsonl").read_text().splitlines()[-1]
    assert json.loads(last)["step"] == 8


def test_nan_that_a_metric_explains_says_what_to_do(tmp_path):
    advice = {"mae": "mend the error", "drift": "never"}
    objective = dataclasses.replace(toy.objective(**KINDS), advice=advice)
    with pytest.raises(FloatingPointError, match="of this step was saved; mend the error.$"):
        fit(objective, toy.Rows(nan_at=9), toy.config(), tmp_path)


def test_data_that_ends_and_data_of_the_wrong_size(tmp_path):
    with pytest.raises(UserError, match="data ended before config.total_steps"):
        train(tmp_path / "a", toy.Rows(end=7))
    with pytest.raises(UserError, match=r"'episode' of shape \(6,\).* global batch of 8"):
        train(tmp_path / "b", toy.Rows(batch_size=6))


def test_batch_not_divisible_writes_nothing(tmp_path):
    with pytest.raises(UserError, match="batch_size=8 must be a multiple of 3"):
        train(tmp_path / "run", optimizer__accumulate=3)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("key", ["total_steps", "log__every", "eval__every", "checkpoint__every"])
def test_intervals_of_zero(tmp_path, key):
    with pytest.raises(UserError, match=f"config.{key.replace('__', '.')}=0 must be at least 1"):
        train(tmp_path / "run", **{key: 0})
    assert not (tmp_path / "run").exists()


def test_parameters_load_alone(whole):
    workdir, state = whole
    for path in (workdir, workdir / "checkpoints"):
        variables, config, step = restore_params(path)
        same(variables, {"params": state.ema, "counter": state.extra["counter"]})
        assert step == 12 and config["optimizer"]["schedule"] == "cosine"
    variables, _, step = restore_params(workdir, step=10, prefer_ema=False)
    assert step == 10 and not np.array_equal(
        variables["params"]["mlp"]["up"]["kernel"], state.params["mlp"]["up"]["kernel"]
    )


def test_parameters_of_a_damaged_step_come_from_the_one_before(whole, tmp_path, caplog):
    shutil.copytree(whole[0], tmp_path / "run")
    for file in (tmp_path / "run" / "checkpoints" / "12" / "ema").rglob("d/*"):
        file.write_bytes(b"")
    with caplog.at_level(logging.ERROR):
        assert restore_params(tmp_path / "run")[2] == 10
    assert "CHECKPOINT DAMAGED: step 12" in caplog.text
    with pytest.raises(CheckpointError, match="no readable checkpoint.*12"):
        restore_params(tmp_path / "run", step=12)
    assert steps(tmp_path / "run") == [10, 12]  # A reader changes nothing.


def test_a_config_that_is_not_the_one_that_was_saved_is_damage(whole, tmp_path, caplog):
    shutil.copytree(whole[0], tmp_path / "run")
    file = tmp_path / "run" / "checkpoints" / "12" / "config" / "metadata"
    file.write_text(json.dumps({**json.loads(file.read_text()), "batch_size": 3}))
    assert restore_params(tmp_path / "run")[2] == 10
    assert "step 12" in caplog.text and "item 'config' does not match its hash" in caplog.text
    file = file.parents[1] / "meta" / "metadata"
    meta = json.loads(file.read_text())
    del meta["config_sha256"]  # Early runs have none.
    file.write_text(json.dumps(meta))
    assert restore_params(tmp_path / "run")[2] == 12


def test_a_newer_format_is_not_guessed_at(whole, tmp_path):
    shutil.copytree(whole[0], tmp_path / "run")
    file = tmp_path / "run" / "checkpoints" / "12" / "meta" / "metadata"
    file.write_text(json.dumps({**json.loads(file.read_text()), "format": 99}))
    with pytest.raises(CheckpointError, match="format 99.*update flexlam_jax"):
        restore_params(tmp_path / "run")


def test_a_config_that_does_not_build_is_no_damage(whole, caplog):
    def abstract(config):
        raise ValueError("model.depth is unknown")

    with pytest.raises(CheckpointError, match="step 12 .*cannot build: model.depth is unknown"):
        restore_params(whole[0], abstract)
    assert "DAMAGED" not in caplog.text


def test_parameters_do_not_load_from_elsewhere(whole, tmp_path):
    workdir, state = whole
    with pytest.raises(CheckpointError, match=r"no step 3 in .*it has \[10, 12\]"):
        restore_params(workdir, step=3)
    with pytest.raises(CheckpointError, match="no checkpoint in"):
        restore_params(tmp_path)
    with pytest.raises(CheckpointError, match="params/extra float32.* missing in the checkpoint"):
        restore_params(
            workdir,
            {
                "params": {**state.params, "extra": np.zeros(3, np.float32)},
                "counter": state.extra["counter"],
            },
        )


def test_profile_window_leaves_a_trace(tmp_path):
    config = toy.config(total_steps=5, checkpoint__every=5)
    config.profile = dict(start=2, steps=2)
    fit(toy.objective(), toy.Rows(), config, tmp_path)
    assert list((tmp_path / "profile").rglob("*.xplane.pb"))

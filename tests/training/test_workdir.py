"""One writer, one config, readable errors."""

import json
import os
import subprocess
import sys

import pytest

from flexlam_jax.errors import WorkdirError
from flexlam_jax.training.workdir import Workdir

CONFIG = {
    "seed": 0,
    "total_steps": 10,
    "log": {"every": 1},
    "data": {"path": "a", "gap": [1, 2]},
    "optimizer": {"schedule": "cosine"},
    "mesh": {"data": 1},
}


def begin(path, **options):
    """Leaves a run that trained a step."""
    with Workdir(path, CONFIG, **options) as run:
        run.file("metrics.jsonl").write_text('{"step": 0, "eval/loss": NaN}\n{"step": 1}\n')


def test_writes_config_and_how_it_was_started(tmp_path):
    for _ in range(2):
        with Workdir(tmp_path / "new" / "run", CONFIG) as run:
            assert json.loads(run.file("config.json").read_text()) == CONFIG
    starts = json.loads(run.file("run.json").read_text())["starts"]
    assert len(starts) == 2 and {"git", "argv", "versions", "devices"} <= set(starts[0])


@pytest.mark.parametrize(
    "change, named",
    [
        ({"seed": 1}, r"seed: 0 there, 1 now"),
        ({"total_steps": 20}, r"total_steps: 10 there, 20 now"),
        ({"data": {"path": "a", "gap": [1, 3]}}, r"data.gap: \[1, 2\] there, \[1, 3\] now"),
        ({"model": {"slots": 4}}, r"model.slots: \(unset\) there, 4 now"),
    ],
)
def test_another_config_is_refused_and_nothing_written(tmp_path, change, named):
    begin(tmp_path)
    before = (tmp_path / "config.json").read_text()
    with pytest.raises(WorkdirError, match=named):
        Workdir(tmp_path, {**CONFIG, **change}).__enter__()
    assert (tmp_path / "config.json").read_text() == before


def test_what_lies_beside_the_steps_stays_once_there_are_some(tmp_path):
    """A table that its owner added to, of a run that goes on; not that of a first start that failed."""
    file = tmp_path / "checkpoints" / "a.npz"
    for content in (b"first", b"second"):
        with Workdir(tmp_path, CONFIG, beside={"a.npz": content}):
            assert file.read_bytes() == content
    begin(tmp_path, beside={"a.npz": b"third"})
    file.write_bytes(b"mine")
    with Workdir(tmp_path, CONFIG, beside={"a.npz": b"fourth", "b": b""}):
        assert file.read_bytes() == b"mine" and (tmp_path / "checkpoints" / "b").exists()


def test_harmless_changes_are_taken_over(tmp_path):
    begin(tmp_path)
    other = {
        **CONFIG,
        "log": {"every": 5},
        "model": {"text": {"path": "b"}},
        "mesh": {"data": 8},
        "data": {"path": "b", "gap": [1, 2]},
    }
    with Workdir(tmp_path, other):
        assert json.loads((tmp_path / "config.json").read_text()) == other


def test_a_key_of_its_default_may_be_missing_on_either_side(tmp_path):
    defaults = {"kind": "lam", "data": {"gap": [1, 1], "fraction": 1.0}, "init_from": {}}
    begin(tmp_path, defaults=defaults)
    new = {**CONFIG, "kind": "lam", "init_from": {}, "data": {**CONFIG["data"], "fraction": 1.0}}
    for config in (new, CONFIG):
        with Workdir(tmp_path, config, defaults=defaults):
            assert json.loads((tmp_path / "config.json").read_text()) == config
    for change, told in (
        ({"kind": "other"}, "kind: lam there, other now"),
        ({"init_from": {"encoder": "runs/a"}}, r"init_from.encoder: \(unset\) there, runs/a now"),
        ({"data": {"path": "a"}}, r"data.gap: \[1, 2\] there, \[1, 1\] now"),
    ):
        with pytest.raises(WorkdirError, match=told):
            Workdir(tmp_path, {**new, **change}, defaults=defaults).__enter__()


@pytest.mark.parametrize("schedule", ["constant", "wsd"])
def test_schedules_without_a_fixed_end_may_be_extended(tmp_path, schedule):
    config = {**CONFIG, "optimizer": {"schedule": schedule}}
    with Workdir(tmp_path, config):
        pass
    with Workdir(tmp_path, {**config, "total_steps": 20}):
        pass


@pytest.mark.parametrize("left", ["metrics.jsonl", "checkpoints/3", "checkpoints.damaged/3.0"])
def test_a_run_without_a_step_becomes_another(tmp_path, left, caplog):
    caplog.set_level("INFO")
    data = {"square/train": "a"}
    with Workdir(tmp_path, CONFIG, data) as run:
        run.file("metrics.jsonl").write_text('{"step": 0, "eval/loss": 1.0}\n')
        run.file("checkpoints").mkdir()
    with Workdir(tmp_path, {**CONFIG, "seed": 1}, {"square/train": "b"}):
        pass
    assert "never saved a step" in caplog.text
    assert json.loads(run.file("config.json").read_text())["seed"] == 1
    assert json.loads(run.file("run.json").read_text())["data"] == {"square/train": "b"}
    if left == "metrics.jsonl":
        run.file(left).write_text('{"step": 0}\n{"step": 1}\n')
    else:
        run.file(left).mkdir(parents=True)
    with pytest.raises(WorkdirError, match="seed: 1 there, 0 now"):
        Workdir(tmp_path, CONFIG).__enter__()


def test_rows_before_the_first_save_bind_nobody(tmp_path):
    config = {**CONFIG, "checkpoint": {"every": 10}}
    with Workdir(tmp_path, config) as run:
        run.file("metrics.jsonl").write_text('{"step": 4, "loss": 9.9}\n')  # Diverged.
    with Workdir(tmp_path, {**config, "seed": 1}):
        run.file("metrics.jsonl").write_text('{"step": 5}\n')  # Somebody moved the checkpoints.
    with pytest.raises(WorkdirError, match="seed: 1 there, 0 now"):
        Workdir(tmp_path, config).__enter__()


def test_other_content_behind_the_same_path_is_another_run(tmp_path):
    begin(tmp_path)  # As early versions did: nothing is known of the data.
    first = {"square/train": "1" * 64, "square/validation": "2" * 64}
    with Workdir(tmp_path, CONFIG, first):
        pass
    with Workdir(tmp_path, {**CONFIG, "data": {"path": "moved", "gap": [1, 2]}}, first):
        pass
    with Workdir(tmp_path, CONFIG):  # Whoever says nothing changes nothing.
        pass
    for data, told in (
        ({**first, "square/train": "3" * 64}, "square/train: sha256 1{16} there, 3{16} now"),
        ({"square/train": "1" * 64}, "square/validation: .* now"),
        ({**first, "disc/train": "4" * 64}, r"disc/train: sha256 \(none\) there"),
    ):
        with pytest.raises(WorkdirError, match=f"holds a run on other data:\n  {told}"):
            Workdir(tmp_path, CONFIG, data).__enter__()


@pytest.mark.parametrize(
    "name, content, told",
    [
        ("run.json", b"\x89PNG\r\n\x1a\n\xff", "run.json is damaged: it is not JSON"),
        ("run.json", b"[]", "run.json is damaged: the whole: expected `object`, got `array`"),
        ("run.json", b'{"starts": [3]}', r"run.json is damaged: starts\[0\]: .*, it is 3"),
        ("run.json", b'{"starts": [], "data": {"a": 1}}', "data.*expected `str`, got `int`"),
        ("config.json", b"\xff\xfe{", "config.json is damaged: it is not JSON"),
        ("metrics.jsonl", b'{"step": 1}\n[3]\n', "line 2, is damaged: the whole: .* is \\[3\\]"),
        ("metrics.jsonl", b'{"step": "1"}\n', 'line 1, is damaged: step: .*, it is "1"'),
        ("metrics.jsonl", b'{"step": 1}\n\0\0{"step": 2}\n', "line 2, is damaged: it is not JSON"),
        ("metrics.jsonl", b"\x89PNG", "line 1, is damaged: it is not the beginning of a row"),
    ],
)
def test_damaged_files_of_a_run_are_one_message_and_stay(tmp_path, name, content, told):
    begin(tmp_path)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WorkdirError, match=told):
        Workdir(tmp_path, {**CONFIG, "seed": 3}).__enter__()
    assert (tmp_path / name).read_bytes() == content


def test_two_runs_in_one_directory(tmp_path):
    with Workdir(tmp_path, CONFIG):
        with pytest.raises(WorkdirError, match=rf"in use by pid {os.getpid()} on "):
            Workdir(tmp_path, CONFIG).__enter__()
    with Workdir(tmp_path, CONFIG):
        pass


def test_a_killed_owner_leaves_no_lock(tmp_path):
    code = (
        "import os, signal, sys; from flexlam_jax.training.workdir import Workdir\n"
        f"Workdir(sys.argv[1], {CONFIG!r}).__enter__(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        env={**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": os.getcwd()},
    )
    assert done.returncode == -9 and (tmp_path / ".lock").read_text().startswith("pid ")
    with Workdir(tmp_path, CONFIG):
        pass


def test_directory_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkdirError, match="cannot write to work directory .*Not a directory"):
        Workdir(tmp_path / "file" / "run", CONFIG).__enter__()


def test_read_only_directory(tmp_path, monkeypatch):
    """Mocked at `open`, because root writes wherever it likes."""

    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(WorkdirError, match="cannot write .*Permission denied; give another"):
        Workdir(tmp_path, CONFIG).__enter__()


def test_bucket_url_is_refused(tmp_path):
    with pytest.raises(WorkdirError, match="mounted path"):
        Workdir("gs://bucket/run", CONFIG)

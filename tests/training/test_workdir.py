"""One writer, one config, readable errors."""

import json
import os
import subprocess
import sys

import pytest

from flexlam_jax.errors import WorkdirError
from flexlam_jax.training.workdir import Workdir

CONFIG = {"seed": 0, "total_steps": 10, "log": {"every": 1}, "data": {"path": "a", "gap": [1, 2]},
          "optimizer": {"schedule": "cosine"}, "mesh": {"data": 1}}


def test_writes_config_and_how_it_was_started(tmp_path):
    for _ in range(2):
        with Workdir(tmp_path / "new" / "run", CONFIG) as run:
            assert json.loads(run.file("config.json").read_text()) == CONFIG
    starts = json.loads(run.file("run.json").read_text())["starts"]
    assert len(starts) == 2 and {"git", "argv", "versions", "devices"} <= set(starts[0])


@pytest.mark.parametrize("change, named", [
    ({"seed": 1}, r"seed: 0 there, 1 now"),
    ({"total_steps": 20}, r"total_steps: 10 there, 20 now"),
    ({"data": {"path": "a", "gap": [1, 3]}}, r"data.gap: \[1, 2\] there, \[1, 3\] now"),
    ({"model": {"slots": 4}}, r"model.slots: \(unset\) there, 4 now"),
])
def test_another_config_is_refused_and_nothing_written(tmp_path, change, named):
    with Workdir(tmp_path, CONFIG):
        pass
    before = (tmp_path / "config.json").read_text()
    with pytest.raises(WorkdirError, match=named):
        Workdir(tmp_path, {**CONFIG, **change}).__enter__()
    assert (tmp_path / "config.json").read_text() == before


def test_harmless_changes_are_taken_over(tmp_path):
    with Workdir(tmp_path, CONFIG):
        pass
    other = {**CONFIG, "log": {"every": 5}, "mesh": {"data": 8},
             "data": {"path": "b", "gap": [1, 2]}}
    with Workdir(tmp_path, other):
        assert json.loads((tmp_path / "config.json").read_text()) == other


@pytest.mark.parametrize("schedule", ["constant", "wsd"])
def test_schedules_without_a_fixed_end_may_be_extended(tmp_path, schedule):
    config = {**CONFIG, "optimizer": {"schedule": schedule}}
    with Workdir(tmp_path, config):
        pass
    with Workdir(tmp_path, {**config, "total_steps": 20}):
        pass


def test_two_runs_in_one_directory(tmp_path):
    with Workdir(tmp_path, CONFIG):
        with pytest.raises(WorkdirError, match=rf"in use by pid {os.getpid()} on "):
            Workdir(tmp_path, CONFIG).__enter__()
    with Workdir(tmp_path, CONFIG):
        pass


def test_a_killed_owner_leaves_no_lock(tmp_path):
    code = ("import os, signal, sys; from flexlam_jax.training.workdir import Workdir\n"
            f"Workdir(sys.argv[1], {CONFIG!r}).__enter__(); os.kill(os.getpid(), signal.SIGKILL)")
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)],
                          env={**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": os.getcwd()})
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

"""The launch scripts: what they refuse, and that they say what to do."""

import os
import pathlib
import subprocess

import pytest

REPO = pathlib.Path(__file__).resolve().parent.parent
SCRIPTS = sorted((REPO / "launch").glob("*.sh"))


def bash(*arguments, **environment):
    return subprocess.run(
        ["bash", *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=60,
    )


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: p.name)
def test_scripts_parse(script):
    assert bash("-n", script).returncode == 0


@pytest.mark.parametrize("script", ["quickstart.sh", "hilam.sh"])
def test_scripts_for_newcomers_tell_their_options_and_refuse_others(script):
    done = bash(REPO / "launch" / script, "--quick")
    assert done.returncode == 1 and "--quick" in done.stderr and "--help" in done.stderr
    done = bash(REPO / "launch" / script, "--help")
    assert done.returncode == 0 and "--fast" in done.stdout and "--out=DIR" in done.stdout


def test_a_missing_interpreter_is_named(tmp_path):
    done = bash(REPO / "launch/test.sh", PYTHON="python9.9", FLEXLAM_VENV=str(tmp_path / "venv"))
    assert done.returncode == 1 and "python9.9" in done.stderr and "PYTHON=" in done.stderr
    assert not (tmp_path / "venv").exists()


def test_an_old_interpreter_is_refused(tmp_path):
    old = tmp_path / "old-python"
    old.write_text("#!/bin/sh\necho 38\n")
    old.chmod(0o755)
    done = bash(REPO / "launch/test.sh", PYTHON=str(old), FLEXLAM_VENV=str(tmp_path / "venv"))
    assert done.returncode == 1 and "3.11 or newer" in done.stderr
    assert not (tmp_path / "venv").exists()


def test_only_one_constraints_file_per_python():
    names = {p.name for p in (REPO / "launch").glob("constraints-py*.txt")}
    assert names == {"constraints-py311.txt", "constraints-py312.txt"}

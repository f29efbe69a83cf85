"""The benchmark's binary on a toy preset: one row with what a reader needs to repeat it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.experiments.command_lines import run_lines

REPO = Path(__file__).resolve().parents[2]


def run(*flags):
    command = [
        sys.executable,
        "-m",
        "experiments.benchmark",
        "--config=tests/experiments/tiny.py",
        "--repeats=1",
        *flags,
    ]
    return subprocess.run(
        command,
        cwd=REPO,
        text=True,
        capture_output=True,
        timeout=600,
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
    )


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    out = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    out.write_text('{"earlier": 1}\n')
    done = run("--what=train,parts,checkpoint", f"--out={out}")
    assert done.returncode == 0, done.stderr
    return done.stdout, out.read_text().splitlines()


def test_the_row_is_printed_and_appended(rows):
    printed, (earlier, appended) = rows
    assert json.loads(earlier) == {"earlier": 1}
    assert json.loads(printed) == json.loads(appended)


def test_the_row_says_what_was_measured_where(rows):
    row = json.loads(rows[1][-1])
    assert {"command", "git", "python", "jax", "device", "cpu", "cores", "load"} <= row.keys()
    train = row["train"]
    assert train["transitions_per_second"] == pytest.approx(16 / train["step_seconds"])
    assert train["mfu"] == pytest.approx(train["tflops_per_second"] / train["peak_tflops"])
    assert train["gflops_per_transition"] * 16 == pytest.approx(
        train["tflops_per_second"] * 1e3 * train["step_seconds"]
    )


def test_parts_row(rows):
    parts = json.loads(rows[1][-1])["parts"]
    assert set(parts) == {f"{part}_seconds" for part in ("encoder", "decoder", "optimizer", "step")}
    assert all(seconds > 0 for seconds in parts.values())


def test_checkpoint_row(rows):
    saved = json.loads(rows[1][-1])["checkpoint"]
    assert saved["gib"] > 0 and saved["restore_seconds"] > 0
    assert 0 < saved["save_blocks_seconds"] and 0 < saved["stall_fraction"] < 1


def test_wrong_flags_are_told_what_to_give():
    told = {
        "--what=everything": "choose any of train, parts",
        "--sweep=colour": "choose any of batch, resolution",
        "--what=loader": "--data=DIR",
    }
    said = run_lines("benchmark", [["--config=tests/experiments/tiny.py", flag] for flag in told])
    for (code, _, err, _), message in zip(said, told.values(), strict=True):
        assert code == 1 and message in err, err

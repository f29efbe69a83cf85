"""A killed run is the run that was never killed: parameters, optimizer, data order, metrics."""

import json
import random
import signal

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

from flexlam_jax.errors import WorkdirError
from flexlam_jax.training.workdir import Workdir
from tests.experiments.command_lines import run_lines
from tests.experiments.pretraining import Pretraining, wait_for_rows

STEPS = 40
LONG = (f"--config.total_steps={STEPS}",)


@pytest.fixture(scope="module")
def pretraining(tmp_path_factory):
    pretraining = Pretraining(tmp_path_factory.mktemp("shared"))
    pretraining.prepare()
    return pretraining


@pytest.fixture(scope="module")
def whole(pretraining, tmp_path_factory):
    """Work directory of a run that nothing interrupted."""
    workdir = tmp_path_factory.mktemp("whole")
    done = pretraining.run(workdir, *LONG)
    assert done.returncode == 0, done.stderr
    return workdir


def assert_same_result(workdir, whole):
    """Everything on disk after the last step, bit for bit."""
    assert (workdir / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()
    mine, its = (path / "checkpoints" / str(STEPS) for path in (workdir, whole))
    reader = ocp.StandardCheckpointer()
    for item in ("params", "ema", "optimizer"):
        a, b = (reader.restore(path / item) for path in (mine, its))
        jax.tree.map(np.testing.assert_array_equal, a, b)
    for item in ("data", "meta"):
        assert (mine / item / "metadata").read_bytes() == (its / item / "metadata").read_bytes()


def test_killed_twice_at_random_steps(pretraining, whole, tmp_path):
    kills = [random.randint(1, STEPS // 2), random.randint(STEPS // 2 + 1, STEPS - 4)]
    print("killed after rows", kills)  # Shown if the test fails.
    for rows in kills:
        process = pretraining.start(tmp_path, *LONG)
        wait_for_rows(process, tmp_path, rows)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    done = pretraining.run(tmp_path, *LONG)
    assert done.returncode == 0, done.stderr
    assert_same_result(tmp_path, whole)
    assert len(json.loads((tmp_path / "run.json").read_text())["starts"]) == 3


def test_terminated_run_saves_says_so_and_continues(pretraining, whole, tmp_path):
    process = pretraining.start(tmp_path, *LONG)
    wait_for_rows(process, tmp_path, 8)
    with pytest.raises(WorkdirError, match=f"in use by pid {process.pid} on "):
        Workdir(tmp_path, {}).__enter__()
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 75
    stopped = max(int(p.name) for p in (tmp_path / "checkpoints").iterdir())
    assert f"stopped and saved at step {stopped} of {STEPS}" in process.stderr.read()
    assert 7 <= stopped < STEPS
    done = pretraining.run(tmp_path, *LONG)
    assert done.returncode == 0 and f"continuing from step {stopped}" in done.stderr
    assert_same_result(tmp_path, whole)


def test_rows_tell_the_data_order(whole):
    rows = [json.loads(line) for line in (whole / "metrics.jsonl").open()]
    training = [row for row in rows if "batch" in row]
    assert [row["step"] for row in training] == list(range(1, STEPS + 1))
    assert len({row["batch"] for row in training}) == STEPS
    assert [row["step"] for row in rows if "validation/loss" in row] == list(range(0, STEPS + 1, 8))


def test_mistakes_are_one_message_without_a_traceback(pretraining, whole):
    told = {
        "--config.model.slotz=3": "slotz=3; did you mean slots?",
        "--config.batch_size=abc": "--config.batch_size=abc: invalid literal",
        "--config.seed=1": "holds a run with another config:\n  seed: 0 there, 1 now",
    }
    before = (whole / "metrics.jsonl").read_bytes()
    _, _, binary, *flags = pretraining.command(whole, *LONG)
    said = run_lines(binary.removeprefix("experiments."), [[*flags, flag] for flag in told])
    for (code, _, err, _), message in zip(said, told.values(), strict=True):
        assert code == 1 and message in err, err
        assert "Traceback" not in err and len(err.splitlines()) < 5, err
    assert (whole / "metrics.jsonl").read_bytes() == before

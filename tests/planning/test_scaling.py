"""Weak scaling, counted in compiled programs: more devices neither add collectives nor memory."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

JOBS = ("data:2:2", "data:8:2", "fsdp:2:2", "fsdp:8:4")


@pytest.fixture(scope="module")
def compiled():
    """{job: what scaling.py printed}."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.planning.scaling", *JOBS],
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        timeout=500,
        env={**os.environ, "JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": "8"},
    )
    assert done.returncode == 0, done.stderr
    return dict(zip(JOBS, map(json.loads, done.stdout.splitlines()), strict=True))


def count(row):
    return sum(entry["count"] for entry in row["collectives"].values())


def sent(row):
    return sum(entry["bytes"] for entry in row["collectives"].values())


@pytest.mark.parametrize("two, eight", [JOBS[:2], JOBS[2:]])
def test_collectives_per_step_do_not_grow_with_devices(compiled, two, eight):
    """Nor, under FSDP, with twice the rows on each: parameters are sent, and not activations."""
    assert 0 < count(compiled[eight]) <= count(compiled[two])
    # Bytes per device: the same, but for the padding of arrays that eight does not divide.
    assert sent(compiled[eight]) == pytest.approx(sent(compiled[two]), rel=0.01)


def test_replicas_are_summed_in_a_handful_of_all_reduces(compiled):
    assert list(compiled["data:8:2"]["collectives"]) == ["all-reduce"]
    assert count(compiled["data:8:2"]) <= 4  # Gradients in one, metrics, code usage.


@pytest.mark.parametrize("part", ["params", "opt_state", "ema"])
def test_state_of_fsdp_is_one_nth(compiled, part):
    whole = compiled["data:8:2"]["state"][part]
    for devices, job in ((2, "fsdp:2:2"), (8, "fsdp:8:4")):
        # Not split: counters, and biases of a few values that no device count divides.
        share = compiled[job]["state"][part]
        assert share == pytest.approx(whole / devices, rel=0.005, abs=256)


def test_state_is_what_the_compiler_takes_and_gives_back(compiled):
    for row in compiled.values():
        state = row["argument"] - row["frames"]
        # The codebook's statistics and the step are state too.
        assert sum(row["state"].values()) <= state <= sum(row["state"].values()) + 2048
        assert row["alias"] >= 0.99 * state  # All of it is donated.

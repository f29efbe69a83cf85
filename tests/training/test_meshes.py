"""One device and meshes of eight: equal batches, equal losses to rounding, sharded state."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

MESHES = ("8-1-1", "1-8-1", "2-4-1", "2-2-2", "2-1-2-2", "8-1-1+2-2-2")
# float32 sums in another order round differently, by about 1e-7 relative. Measured over ten steps:
# at most 3.3e-7.
RTOL = 2e-6


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """{mesh: (rows of metrics.jsonl, what meshes.py printed)}, a process per device count."""
    out, repo = tmp_path_factory.mktemp("meshes"), Path(__file__).resolve().parents[2]
    printed = {}
    for devices, meshes in ((1, ("1-1-1",)), (8, MESHES)):
        done = subprocess.run(
            [sys.executable, "-m", "tests.training.meshes", str(out), *meshes],
            cwd=repo,
            env={**os.environ, "JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": str(devices)},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        for line in done.stdout.splitlines():
            row = json.loads(line)
            printed[row["mesh"]] = row
    return {
        mesh: ([json.loads(line) for line in (out / mesh / "metrics.jsonl").open()], row)
        for mesh, row in printed.items()
    }


@pytest.mark.parametrize("mesh", MESHES)
def test_losses_equal_those_of_one_device(runs, mesh):
    expected, rows = runs["1-1-1"][0], runs[mesh][0]
    assert [row["step"] for row in rows] == [row["step"] for row in expected] == list(range(1, 11))
    assert [row["batch"] for row in rows] == [row["batch"] for row in expected]
    for name in ("loss", "mae", "grad_norm", "learning_rate"):
        np.testing.assert_allclose(
            [row[name] for row in rows], [row[name] for row in expected], rtol=RTOL, err_msg=name
        )


def test_state_is_really_sharded(runs):
    assert runs["8-1-1"][1]["specs"] == {}
    assert runs["1-8-1"][1]["specs"]["params/mlp/up/kernel"] == [None, "fsdp"]
    both = runs["2-2-2"][1]["specs"]
    assert both["params/mlp/up/kernel"] == ["fsdp", "model"]
    assert both["params/mlp/up/bias"] == ["model"]
    sliced = runs["2-1-2-2"][1]["specs"]  # Replicated over slices.
    assert sliced == both
    followers = [spec for path, spec in both.items() if path.endswith("mlp/up/kernel")]
    assert followers == [["fsdp", "model"]] * 4  # The parameter, two moments, the average.


def test_fsdp_divides_the_memory_of_big_leaves(runs):
    replicated, sharded = runs["8-1-1"][1]["bytes"], runs["1-8-1"][1]["bytes"]
    kernels = 4 * 4 * 8 * 32  # Four copies of one float32 (8, 32) kernel are over the threshold.
    assert replicated - sharded == kernels - kernels // 8

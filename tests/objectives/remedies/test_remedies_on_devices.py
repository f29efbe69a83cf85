"""All remedies at once on several devices: the same numbers, and rows stay where they are."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

REPO = Path(__file__).resolve().parents[3]


def test_partners_shifts_and_masks_move_no_rows_between_devices():
    done = subprocess.run(
        [sys.executable, "-m", "tests.objectives.remedies.devices"],
        cwd=REPO,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": "4"},
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    for name, (one, four) in found["values"].items():
        np.testing.assert_allclose(four, one, rtol=1e-5, err_msg=name)
    assert found["gradient"] < 1e-6
    assert found["collectives"] == ["all-reduce"]  # Of sums, none of frames or codes.

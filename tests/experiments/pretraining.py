"""Starts the real binary on the real (tiny) dataset, for the tests beside this file."""

import os
import subprocess
import sys
import time
from pathlib import Path

from data_pipelines.conversion.build import prepare
from data_pipelines.registry import recipe_options

REPO = Path(__file__).resolve().parents[2]
CONFIG = "tests/experiments/tiny.py"


class Pretraining:
    """Builds commands that share one dataset and one compilation cache."""

    def __init__(self, folder):
        self.data, self.cache = folder / "data", folder / "cache"
        self.environment = {**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(REPO)}
        self.environment.pop("JAX_NUM_CPU_DEVICES", None)

    def prepare(self):
        options = recipe_options("synthetic", "--size=16", "--episodes=12")
        assert prepare("synthetic", self.data, options)

    def command(self, workdir, *overrides, config=CONFIG):
        return [
            sys.executable,
            "-m",
            "experiments.pretrain_lam",
            f"--config={config}",
            f"--workdir={workdir}",
            f"--config.data.path={self.data}",
            f"--config.compilation_cache={self.cache}",
            *overrides,
        ]

    def start(self, workdir, *overrides):
        return subprocess.Popen(
            self.command(workdir, *overrides),
            cwd=REPO,
            text=True,
            env=self.environment,
            stderr=subprocess.PIPE,
        )

    def run(self, workdir, *overrides, config=CONFIG):
        return subprocess.run(
            self.command(workdir, *overrides, config=config),
            cwd=REPO,
            text=True,
            env=self.environment,
            capture_output=True,
            timeout=300,
        )


def wait_for_rows(process, workdir, count, timeout=240):
    """Returns when metrics.jsonl has `count` rows; fails when the process ends before."""
    file, end = Path(workdir) / "metrics.jsonl", time.monotonic() + timeout
    while not file.exists() or file.read_bytes().count(b"\n") < count:
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < end, f"{file} did not reach {count} rows"
        time.sleep(0.002)

"""A small checkout with the real launch scripts, and a pretended cloud on PATH."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
SCRIPTS = (
    "tpu_pod.sh",
    "tpu_pod_slice.sh",
    "tpu_pod_workers.sh",
    "tpu_pod_run.sh",
    "pod_common.sh",
    "worker.sh",
    "gpu_slurm.sh",
    "gke_jobset.sh",
)

# What a training does, as far as a launcher can see: saves and leaves with 75 at SIGTERM.
JOB = """
import json, os, pathlib, signal, sys, time
kind, *arguments = sys.argv[1:]
# Outside of the worker, so that it outlives a preempted slice.
file = pathlib.Path(os.environ["HOME"] + ".starts")
starts = len(file.read_text()) if file.exists() else 0
file.write_text("x" * (starts + 1))
print("arguments", json.dumps(arguments), flush=True)
print("environment", json.dumps({k: os.environ.get(k) for k in (
    "COORDINATOR_ADDRESS", "NUM_PROCESSES", "PROCESS_ID", "JAX_COORDINATOR_PORT", "COLOUR",
    "FLEXLAM_REVISION", "JAX_COMPILATION_CACHE_DIR")}), flush=True)
if kind == "wait" or kind == "wait-once" and starts == 0:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))
elif kind == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
elif kind == "interrupted" or kind == "interrupted-once" and starts == 0:
    sys.exit(75)
elif kind == "fails-on-1" and os.environ["TPU_WORKER_ID"] == "1":
    time.sleep(1.5)     # Longer than a start is watched.
    sys.exit("no such preset")
elif kind == "fails-at-once-on-1" and os.environ["TPU_WORKER_ID"] == "1":
    sys.exit(3)
elif kind in ("done", "interrupted-once", "wait-once"):
    sys.exit(0)
print("ready", flush=True)
time.sleep(60)
"""

# Stands for the real one, which would install a few hundred MB.
ENVIRONMENT = f"""
ensure_environment() {{
  mkdir -p "$FLEXLAM_VENV/bin" && ln -sf {sys.executable} "$FLEXLAM_VENV/bin/python"
  echo "extras $1 with $PYTHON"
}}
"""


def load_fake_gcloud():
    spec = importlib.util.spec_from_file_location(
        "fake_gcloud", Path(__file__).with_name("fake_gcloud.py")
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def checkout(tmp_path):
    """A checkout without git, with a blank in its path."""
    folder = tmp_path / "my checkout"
    (folder / "launch").mkdir(parents=True)
    for script in SCRIPTS:
        shutil.copy(REPO / "launch" / script, folder / "launch")
    (folder / "launch/env.sh").write_text(ENVIRONMENT)
    (folder / "pyproject.toml").write_text("")
    (folder / "job.py").write_text(JOB)
    return folder


@pytest.fixture
def cloud(tmp_path):
    module = load_fake_gcloud()
    module.install(tmp_path / "cloud")
    cloud = module.Cloud(tmp_path / "cloud")
    yield cloud
    cloud.release()  # No worker outlives its test.


class Pod:
    """tpu_pod.sh of a checkout, in the pretended cloud."""

    NAME = ("--name=pod", "--zone=moon-1", "--project=lab")

    def __init__(self, checkout, cloud, path=None):
        self.checkout, self.cloud = checkout, cloud
        old = cloud.folder / "any-python"
        old.write_text("#!/bin/sh\nexit 0\n")
        old.chmod(0o755)
        self.environment = {
            **os.environ,
            "PYTHON": str(old),
            "TMPDIR": str(cloud.folder),
            "PATH": f"{path or cloud.folder / 'bin'}:{os.environ['PATH']}",
        }

    def arguments(self, action, *arguments):
        return ["bash", str(self.checkout / "launch/tpu_pod.sh"), action, *self.NAME, *arguments]

    def __call__(self, action, *arguments, timeout=60):
        return subprocess.run(
            self.arguments(action, *arguments),
            capture_output=True,
            text=True,
            env=self.environment,
            timeout=timeout,
        )

    def ready(self):
        """A slice that is set up."""
        self.cloud.allocate()
        assert self("setup").returncode == 0
        return self

    def printed(self, worker, what):
        """What the last start of the job printed as `what`."""
        lines = [
            line for line in self.cloud.log(worker).splitlines() if line.startswith(what + " ")
        ]
        return json.loads(lines[-1].removeprefix(what))

    def pids(self):
        return [int(self.cloud.run_file(worker, "pid").read_text()) for worker in (0, 1)]

    @staticmethod
    def alive(pid):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        return True

    @staticmethod
    def wait_for(condition, seconds=20):
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "nothing came in time"
            time.sleep(0.02)


@pytest.fixture
def pod(checkout, cloud):
    return Pod(checkout, cloud)

"""The real model, trained half on one device and continued on data x fsdp x model = 2x2x2."""

import json
import shutil
import subprocess

import numpy as np
import pytest

from tests.experiments.pretraining import REPO, Pretraining

STEPS = 8
CHANGES = (
    f"--config.total_steps={STEPS}",
    "--config.checkpoint.every=4",
    "--config.eval.batches=0",
    "--config.log.tensorboard=False",
)
# float32 sums in another order round differently, by about 1e-7 relative, and Adam, which divides
# small gradients by their own size, grows that. Measured over these four steps: at most 1.4e-6.
RTOL = 1e-5


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """Rows of metrics.jsonl of the run on one device, and of the one moved to eight at step 4."""
    folder = tmp_path_factory.mktemp("meshes")
    pretraining = Pretraining(folder)
    pretraining.prepare()
    one, eight = folder / "one", folder / "eight"
    done = pretraining.run(one, *CHANGES)
    assert done.returncode == 0, done.stderr
    shutil.copytree(one, eight)
    shutil.rmtree(eight / "checkpoints" / str(STEPS))
    pretraining.environment["JAX_NUM_CPU_DEVICES"] = "8"
    done = subprocess.run(
        pretraining.command(
            eight,
            *CHANGES,
            "--config.mesh.data=2",
            "--config.mesh.fsdp=2",
            "--config.mesh.model=2",
            "--config.mesh.fsdp_min_size=256",
        ),
        cwd=REPO,
        env=pretraining.environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0 and "continuing from step 4" in done.stderr, done.stderr
    assert "8 x " in json.loads((eight / "run.json").read_text())["starts"][-1]["devices"]
    return [[json.loads(line) for line in (path / "metrics.jsonl").open()] for path in (one, eight)]


def test_moved_run_sees_the_same_batches_and_losses(rows):
    one, eight = rows
    assert [row["step"] for row in eight] == [row["step"] for row in one] == list(range(1, 9))
    assert [row["batch"] for row in eight] == [row["batch"] for row in one]
    assert one[:4] == eight[:4] and one[4:] != eight[4:]  # Really another computation.
    for name in ("loss", "grad_norm", "psnr", "keep", "code_perplexity"):
        np.testing.assert_allclose(
            [row[name] for row in eight], [row[name] for row in one], rtol=RTOL, err_msg=name
        )

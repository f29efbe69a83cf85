"""Every command of the README is run here, in its order, as a reader would run them."""

import os
import pathlib
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

REPO = pathlib.Path(__file__).resolve().parent.parent
README = (REPO / "README.md").read_text()

# Run in another form, and why. The key must be in the README, so that the two cannot drift apart.
FAST = "the full run takes minutes; this one has the same stages"
INSTEAD = {
    "bash launch/quickstart.sh": (
        "bash launch/quickstart.sh --fast --out={cwd}/quickstart_out",
        FAST,
    ),
    "bash launch/test.sh": (
        "bash launch/test.sh tests/models/test_bottleneck.py",
        "the suite would run itself",
    ),
    "python -m experiments.pretrain_lam --config=experiments/configs/doom.py --workdir=runs/mine "
    '--config.data.path=data/mine --config.data.datasets="()"': (
        "python -m experiments.pretrain_lam --config=experiments/configs/doom.py:debug "
        '--workdir=runs/mine --config.data.path=data/mine --config.data.datasets="()"',
        FAST,
    ),
    "python -m experiments.plan_pod --config=experiments/configs/base.py --topology=v5e-256": (
        "python -m experiments.plan_pod --config=experiments/configs/debug.py --topology=v5e-4",
        FAST,
    ),
    "python -m data_pipelines.prepare doom_suite --out=data/suite": (
        "python -m data_pipelines.prepare doom_suite --out=data/suite --fast",
        FAST,
    ),
    "python -m experiments.pretrain_lam --config=experiments/configs/doom_suite.py "
    "--workdir=runs/suite --config.data.path=data/suite": (
        "python -m experiments.pretrain_lam --config=experiments/configs/doom_suite.py:debug "
        "--workdir=runs/suite --config.data.path=data/suite",
        FAST,
    ),
    "python -m experiments.train --config=experiments/configs/token_policy.py --workdir=runs/policy "
    "--config.data.path=data/suite --config.data.sidecars.ids=data/codes "
    "--config.lam.checkpoint=runs/suite": (
        "python -m experiments.train --config=experiments/configs/token_policy.py:debug "
        "--workdir=runs/policy --config.data.path=data/suite --config.data.sidecars.ids=data/codes "
        "--config.lam.checkpoint=runs/suite",
        FAST,
    ),
    "python -m experiments.rollout --policy=runs/policy --translator=runs/suite_translator --keep=4 "
    "--tasks=suite --episodes=40 --videos=1 --out=runs/play": (
        "python -m experiments.rollout --policy=runs/policy --translator=runs/suite_translator "
        "--keep=4 --tasks=rocket_basic,health_gathering --episodes=1 --rule=sample --videos=1 "
        "--out=runs/play",
        FAST,
    ),
    "pip install --quiet -e '.[datasets]'": ("true", "the tests run in an environment that has it"),
    "source .venv/bin/activate": ("true", "the tests run in that environment already"),
}


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def commands():
    text = "".join(blocks("bash")).replace("\\\n", " ")
    lines = [re.sub(r"\s+# .*", "", line) for line in text.splitlines()]
    return [re.sub(r"\s+", " ", line).strip() for line in lines if line.strip()]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """A folder that looks like the checkout to relative paths, with a folder of videos in it."""
    folder = tmp_path_factory.mktemp("readme")
    for name in ("launch", "experiments"):
        (folder / name).symlink_to(REPO / name)
    rng = np.random.default_rng(0)
    for clip in range(4):
        frames = folder / "my_videos" / f"clip{clip}"
        frames.mkdir(parents=True)
        scene = rng.integers(0, 255, (64, 96, 3), np.uint8)
        for t in range(24):
            Image.fromarray(np.roll(scene, 2 * t, axis=1)).save(frames / f"{t:04}.png")
    return folder


def run(command, cwd):
    environment = dict(os.environ, JAX_PLATFORMS="cpu")
    for setting in ("JAX_DISABLE_MOST_OPTIMIZATIONS", "XLA_FLAGS"):  # Of tests, not of a reader.
        environment.pop(setting, None)
    # The scripts make .venv themselves for a reader; here they use the environment that runs this
    # test.
    environment["FLEXLAM_VENV"] = str(pathlib.Path(sys.executable).parent.parent)
    environment["PYTHON"] = sys.executable
    environment["PATH"] = f"{pathlib.Path(sys.executable).parent}:{environment['PATH']}"
    environment["PYTHONPATH"] = str(REPO)
    return subprocess.run(
        ["bash", "-c", command],
        cwd=cwd,
        env=environment,
        text=True,
        capture_output=True,
        timeout=900,
    )


def test_substitutes_are_for_commands_that_the_readme_has():
    assert set(INSTEAD) <= set(commands())


def test_every_command_of_the_readme_runs(workspace):
    for command in commands():
        tested, _ = INSTEAD.get(command, (command, ""))
        done = run(tested.format(cwd=workspace), workspace)
        assert done.returncode == 0, f"{tested}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    report = workspace / "quickstart_out" / "report"
    assert (report / "report.html").stat().st_size > 10_000
    assert (report / "report.json").exists()

    # The Python block reads what the quick start wrote, so it belongs after the commands.
    prologue = (
        "import numpy as np\nframes = np.zeros((3, 64, 64, 3), np.uint8)\nnext_frames = frames\n"
    )
    epilogue = (
        "\nassert codes.shape[:2] == ids.shape and future.shape == frames.shape"
        "\nassert len(actions) == 3"
    )
    (workspace / "policy.py").write_text(prologue + "".join(blocks("python")) + epilogue)
    done = run("python policy.py", workspace)
    assert done.returncode == 0, done.stderr[-3000:]

    # Run again, the quick start has nothing left to do.
    again = run(INSTEAD["bash launch/quickstart.sh"][0].format(cwd=workspace), workspace)
    assert again.returncode == 0 and again.stdout.count("finished before, skipped") == 6
    shutil.rmtree(workspace)


def test_links_point_to_files_that_exist():
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (REPO / target).exists(), target

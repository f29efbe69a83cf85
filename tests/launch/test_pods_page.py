"""docs/pods.md: the commands on it are commands that the launchers take."""

import re
import subprocess
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
PAGE = (REPO / "docs/pods.md").read_text()
COMMANDS = [
    command
    for block in re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL)
    for command in re.split(r"\n(?! )", block.strip())
    if "launch/" in command and not command.startswith("docker")
]
POD = re.search(r'^pod=".*"$', PAGE, re.MULTILINE)[0]


def test_the_page_shows_every_action():
    shown = {action for command in COMMANDS for action in re.findall(r"tpu_pod.sh (\w+)", command)}
    assert shown == {"create", "setup", "run", "logs", "status", "stop", "delete"}


@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: " ".join(c.split()[1:3]))
def test_a_command_of_the_page_is_taken(command):
    command = command.split("|")[0]
    if "gke_jobset" not in command:  # It only prints anyway.
        command = re.sub(r"(launch/\w+\.sh( [a-z]+)?)", r"\1 --dry-run", command, count=1)
    done = subprocess.run(
        ["bash", "-c", f"{POD}\n{command}"], cwd=REPO, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.mark.parametrize(
    "message, file",
    [
        (
            "not all processes reached this one, the coordinator,",
            "flexlam_jax/parallel/distributed.py",
        ),
        (
            "the coordinator answers, but not all processes reached it",
            "flexlam_jax/parallel/distributed.py",
        ),
        ("the coordinator cannot be reached", "flexlam_jax/parallel/distributed.py"),
        ("as process 0 sees it, is not visible to", "flexlam_jax/training/workdir.py"),
        ("the processes of this run do not agree:", "flexlam_jax/training/agreement.py"),
        ("data_wait_fraction", "flexlam_jax/training/performance.py"),
        ("could not get Python 3.11 or 3.12; is there a way to the internet?", "launch/worker.sh"),
        ("could not mount the bucket", "launch/worker.sh"),
        ("cannot be renamed, as checkpoints must be", "launch/worker.sh"),
        ("has revision", "launch/tpu_pod_run.sh"),
        ("not reached: ", "launch/tpu_pod_workers.sh"),
    ],
)
def test_messages_on_the_page_are_those_of_the_code(message, file):
    assert message in " ".join(PAGE.split()) and message in (REPO / file).read_text()

"""gpu_slurm.sh with pretended Slurm commands: what is submitted, and what the job then does."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

# What each command of Slurm is told goes to a file; srun runs its tasks for real, on this machine.
# As the real one does, it takes SIGTERM for an order to kill its tasks.
COMMANDS = {
    "sbatch": 'json.dump(sys.argv[1:], open(f"{box}/sbatch.json", "w"))',
    "scontrol": """
open(f"{box}/scontrol", "a").write(" ".join(sys.argv[1:]) + "\\n")
if sys.argv[1:3] == ["show", "hostnames"]: print("node7\\nnode8")""",
    "scancel": """
import signal
open(f"{box}/scancel", "a").write(" ".join(sys.argv[1:]) + "\\n")
for pid in open(f"{box}/tasks").read().split(): os.kill(int(pid), signal.SIGTERM)""",
    "srun": """
import signal, subprocess
at = next(i for i, word in enumerate(sys.argv[1:], 1) if not word.startswith("--"))
json.dump(sys.argv[1:at], open(f"{box}/srun.json", "w"))
tasks = [subprocess.Popen(sys.argv[at:], env={**os.environ, "SLURM_PROCID": str(i)})
         for i in range(2)]
signal.signal(signal.SIGTERM, lambda *_: [task.kill() for task in tasks])
open(f"{box}/tasks.new", "w").write(" ".join(str(task.pid) for task in tasks))
os.rename(f"{box}/tasks.new", f"{box}/tasks")
codes = [task.wait() % 256 for task in tasks]
for i, code in enumerate(codes):
    if code:
        sys.stderr.write(f"srun: error: node{7 + i}: task {i}: Exited with exit code {code}\\n")
sys.exit(max(codes))""",
}

JOB = """
import json, os, signal, sys, time
box, code, *arguments = sys.argv[1:]
names = ("COORDINATOR_ADDRESS", "NUM_PROCESSES", "PROCESS_ID", "JAX_COORDINATOR_PORT",
         "JAX_COMPILATION_CACHE_DIR", "SRUN_CPUS_PER_TASK")
json.dump({"arguments": arguments, "folder": os.getcwd(), **{k: os.environ.get(k) for k in names}},
          open(f"{box}/task-{os.environ['SLURM_PROCID']}.json", "w"))
if code == "wait":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))
    open(f"{box}/ready-{os.environ['SLURM_PROCID']}", "w")
    time.sleep(60)
sys.exit(int(code.split(",")[int(os.environ["SLURM_PROCID"])]) if "," in code else int(code))
"""

ASKED = ("--nodes=2", "--gpus-per-node=8", "--time=1:00:00")


class Slurm:
    def __init__(self, checkout, box):
        self.checkout, self.box = checkout, box
        (box / "bin").mkdir(parents=True)
        for name, text in COMMANDS.items():
            file = box / "bin" / name
            file.write_text(
                f"#!{sys.executable} -SE\nimport json, os, sys\nbox = {str(box)!r}\n{text}\n"
            )
            file.chmod(0o755)
        (box / "job.py").write_text(JOB)
        self.environment = {**os.environ, "PATH": f"{box}/bin:{os.environ['PATH']}"}
        self.script = checkout / "launch/gpu_slurm.sh"

    def submit(self, *arguments):
        return subprocess.run(
            ["bash", str(self.script), *arguments],
            capture_output=True,
            text=True,
            env=self.environment,
            timeout=60,
        )

    def submitted(self, *flags, words):
        """(flags of sbatch, the job's script and its arguments)."""
        done = self.submit(*ASKED, *flags, "--", *words)
        assert done.returncode == 0, done.stderr
        argv = json.loads((self.box / "sbatch.json").read_text())
        at = next(i for i, word in enumerate(argv) if not word.startswith("--"))
        return argv[:at], argv[at:]

    def start(self, *flags, code, words=(), restarts=0):
        """The batch job, begun as Slurm does: a copy of the script in a folder of its own."""
        command = [sys.executable, str(self.box / "job.py"), str(self.box), code, *words]
        _, (script, *arguments) = self.submitted(*flags, words=command)
        spool = self.box / "slurm_script"
        spool.write_text(open(script).read())
        return subprocess.Popen(
            ["bash", str(spool), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.box,
            env={
                **self.environment,
                "SLURM_JOB_ID": "5000",
                "SLURM_NTASKS": "2",
                "SLURM_JOB_NODELIST": "node[7-8]",
                "SLURM_RESTART_COUNT": str(restarts),
                "SLURM_CPUS_PER_TASK": "12",
            },
        )

    def run(self, *args, **kwargs):
        process = self.start(*args, **kwargs)
        return process.communicate(timeout=60)[0], process.returncode

    def task(self, number):
        return json.loads((self.box / f"task-{number}.json").read_text())

    def requeued(self):
        file = self.box / "scontrol"
        return file.exists() and "requeue 5000" in file.read_text().splitlines()

    def wait_until_ready(self):
        end = time.monotonic() + 20
        while (
            not all((self.box / f"ready-{i}").exists() for i in (0, 1))
            or not (self.box / "tasks").exists()
        ):
            assert time.monotonic() < end
            time.sleep(0.02)


@pytest.fixture
def slurm(checkout, tmp_path):
    return Slurm(checkout, tmp_path / "slurm")


@pytest.mark.parametrize("missing", ["nodes", "gpus-per-node", "time"])
def test_a_missing_flag_is_named(slurm, missing):
    done = slurm.submit(*(flag for flag in ASKED if missing not in flag.split("=")[0]), "--", "x")
    assert done.returncode == 2 and f"--{missing} is missing" in done.stderr


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((*ASKED,), "a command is missing"),
        ((*ASKED, "--gpus=8", "--", "x"), "unknown argument '--gpus=8'"),
        (("--nodes=0", *ASKED[1:], "--", "x"), "--nodes=0 must be at least 1"),
        ((*ASKED, "--coordinator=here", "--", "x"), "unknown argument '--coordinator=here'"),
    ],
)
def test_bad_arguments_are_refused(slurm, arguments, message):
    done = slurm.submit(*arguments)
    assert done.returncode == 2 and message in done.stderr
    assert not (slurm.box / "sbatch.json").exists()


def test_what_is_asked_of_slurm(slurm):
    flags, (script, *_) = slurm.submitted(
        "--name=big",
        "--partition=a100",
        "--account=lab",
        "--cpus-per-task=12",
        "--grace=200",
        "--sbatch-flag=--constraint=ib|nvl",
        words=["x"],
    )
    assert flags == [
        "--job-name=big",
        "--nodes=2",
        "--gpus-per-node=8",
        "--ntasks-per-node=8",
        "--time=1:00:00",
        "--requeue",
        "--open-mode=append",
        "--signal=B:USR1@200",
        f"--output={slurm.checkout}/slurm_logs/%x-%j.log",
        "--constraint=ib|nvl",
        "--partition=a100",
        "--account=lab",
        "--cpus-per-task=12",
    ]
    assert script == str(slurm.script) and (slurm.checkout / "slurm_logs").is_dir()
    assert "--ntasks-per-node=1" in slurm.submitted("--per-node", words=["x"])[0]


def test_a_dry_run_prints_the_command_and_needs_no_slurm(slurm):
    (slurm.box / "bin/sbatch").unlink()
    done = slurm.submit(*ASKED, "--dry-run", "--", "python", "it's")
    assert done.returncode == 0 and "sbatch --job-name=flexlam" in done.stdout
    assert "python 'it'\\''s'" in done.stdout and not (slurm.checkout / "slurm_logs").exists()
    assert "no sbatch on PATH" in slurm.submit(*ASKED, "--", "x").stderr


def test_words_reach_every_task_as_they_were_typed(slurm):
    words = ["a b", "it's", "$HOME", "two\nlines", ""]
    for flags in ((), ("--per-node",)):
        output, code = slurm.run(*flags, code="0", words=words)
        assert code == 0, output
        for number in (0, 1):
            assert slurm.task(number)["arguments"] == words
            assert slurm.task(number)["folder"] == str(slurm.checkout)


def test_jax_finds_slurm_itself_with_a_process_per_gpu(slurm):
    slurm.run(code="0")
    assert slurm.task(1)["COORDINATOR_ADDRESS"] is None and slurm.task(1)["PROCESS_ID"] is None
    slurm.run("--coordinator-port=7777", code="0")
    assert slurm.task(1)["JAX_COORDINATOR_PORT"] == "7777"
    # Alone, so that JAX still gives each task its own GPU.
    slurm.run("--coordinator=10.0.0.1:99", code="0")
    assert slurm.task(1)["COORDINATOR_ADDRESS"] == "10.0.0.1:99"
    assert slurm.task(1)["NUM_PROCESSES"] is None and slurm.task(1)["PROCESS_ID"] is None


def test_tasks_keep_their_cpus_and_find_compiled_programs(slurm):
    slurm.environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    slurm.run(code="0")
    assert slurm.task(1)["SRUN_CPUS_PER_TASK"] == "12"
    assert slurm.task(1)["JAX_COMPILATION_CACHE_DIR"] == str(
        slurm.checkout / "slurm_logs/compilation_cache"
    )
    slurm.environment["JAX_COMPILATION_CACHE_DIR"] = "/fast/cache"
    slurm.run(code="0")
    assert slurm.task(1)["JAX_COMPILATION_CACHE_DIR"] == "/fast/cache"


def test_a_process_per_node_is_told_who_it_is(slurm):
    slurm.run("--per-node", code="0")
    for number in (0, 1):
        task = slurm.task(number)
        assert task["COORDINATOR_ADDRESS"] == f"node7:{61440 + 5000 % 4096}"
        assert (task["NUM_PROCESSES"], task["PROCESS_ID"]) == ("2", str(number))
    slurm.run("--per-node", "--coordinator=10.0.0.1:99", code="0")
    assert slurm.task(0)["COORDINATOR_ADDRESS"] == "10.0.0.1:99"


def test_tasks_are_neither_killed_early_nor_waited_for_without_end(slurm):
    slurm.run("--grace=200", code="0")
    flags = json.loads((slurm.box / "srun.json").read_text())
    assert "--kill-on-bad-exit=0" in flags and "--wait=200" in flags


@pytest.mark.parametrize(
    "code, restarts, requeued",
    [
        ("75", 0, True),
        ("76", 1, True),
        ("77,137", 0, True),
        ("75", 2, False),
        ("0", 0, False),
        ("1", 0, False),
        ("2", 0, False),
    ],
)
def test_an_interruption_queues_the_job_again_while_it_may(slurm, code, restarts, requeued):
    output, returned = slurm.run("--requeues=2", code=code, restarts=restarts)
    assert slurm.requeued() == requeued
    used_up = restarts == 2
    assert returned == (1 if used_up else max(map(int, code.split(","))))
    assert ("interrupted again after 2 requeues" in output) == used_up


def test_an_error_of_one_task_is_not_hidden_by_those_that_lost_it(slurm):
    output, code = slurm.run(code="77,1")
    assert code == 1 and not slurm.requeued()
    assert "node8: task 1 exited with code 1: a restart would not mend that" in output


def test_before_the_time_limit_the_tasks_save_and_the_job_is_queued_again(slurm):
    process = slurm.start(code="wait")
    slurm.wait_until_ready()
    process.send_signal(signal.SIGUSR1)
    output = process.communicate(timeout=90)[0]
    assert (slurm.box / "scancel").read_text() == "--signal=TERM 5000\n"
    assert process.returncode == 75 and slurm.requeued(), output


def test_a_cancelled_job_is_not_queued_again(slurm):
    process = slurm.start(code="wait")
    slurm.wait_until_ready()
    process.send_signal(signal.SIGTERM)
    for pid in (slurm.box / "tasks").read_text().split():
        os.kill(int(pid), signal.SIGTERM)
    output = process.communicate(timeout=90)[0]
    assert process.returncode == 75 and not slurm.requeued(), output

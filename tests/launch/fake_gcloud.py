"""A `gcloud` for tests: a slice of two workers that are folders of this machine.

What it prints, where, and what it mistakes is that of the Google Cloud SDK 528, whose commands were
run against a pretended TPU API to see it.

`install(folder)` puts it on a PATH. Every call is a line of JSON in calls.jsonl. Remote commands
run for real, in a shell whose home is the worker's folder. Files in the folder steer it:

    state        what `describe` says of the slice; absent: no such slice
    request      what `describe` says of its request, for so many looks: "SUSPENDING 2"
    unrequested  the slice was made without a request
    preempt      number of looks at the slice after which it is preempted
    broken       numbers of workers that cannot be reached
    refuse       gcloud fails with this text
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

WORKERS = 2


def install(folder: Path) -> Path:
    """Returns the folder to put on PATH."""
    (folder / "bin").mkdir(parents=True)
    script = folder / "bin/gcloud"
    script.write_text(
        f"#!{sys.executable} -SE\nimport sys\nsys.path.insert(0, {str(here())!r})\n"
        f"import fake_gcloud\nsys.exit(fake_gcloud.Cloud({str(folder)!r})"
        ".call(sys.argv[1:]))\n"
    )
    script.chmod(0o755)
    return folder / "bin"


def here() -> Path:
    return Path(__file__).resolve().parent


class Cloud:
    """The state of the pretended cloud, in files."""

    def __init__(self, folder):
        self.folder = Path(folder)

    def home(self, worker: int) -> Path:
        return self.folder / f"worker-{worker}"

    def run_file(self, worker: int, name: str) -> Path:
        return self.home(worker) / "flexlam/run" / name

    def log(self, worker: int) -> str:
        return (self.home(worker) / "flexlam/logs/latest.log").read_text()

    def starts(self, worker: int) -> int:
        """How often the job began, on this slice and those before it."""
        return len((self.folder / f"worker-{worker}.starts").read_text())

    def calls(self) -> list[list[str]]:
        file = self.folder / "calls.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def verbs(self) -> list[str]:
        """ "tpu-vm ssh", ... in the order of the calls (of gcloud, not gcloud alpha)."""
        return [" ".join(call[2:4]) for call in self.calls()]

    def allocate(self) -> None:
        for worker in range(WORKERS):
            self.home(worker).mkdir()
        (self.folder / "state").write_text("READY")

    def release(self) -> None:
        """The machines vanish, with whatever ran on them."""
        for worker in range(WORKERS):
            self.kill(worker)
            shutil.rmtree(self.home(worker), ignore_errors=True)
        (self.folder / "state").unlink(missing_ok=True)

    def kill(self, worker: int) -> None:
        supervisor = self.run_file(worker, "supervisor")
        if supervisor.exists():
            try:
                os.killpg(int(supervisor.read_text()), signal.SIGKILL)
            except ProcessLookupError:
                pass

    def call(self, arguments: list[str]) -> int:
        with open(self.folder / "calls.jsonl", "a") as file:
            file.write(json.dumps(arguments) + "\n")
        if (self.folder / "refuse").exists():
            print((self.folder / "refuse").read_text(), file=sys.stderr)
            return 1
        noun, verb, *rest = arguments[arguments.index("tpus") + 1 :]
        flags = dict(a[2:].split("=", 1) for a in rest if a.startswith("--") and "=" in a)
        return getattr(self, f"_{noun}_{verb}".replace("-", "_"))(rest, flags)

    def _queued_resources_create(self, rest, flags) -> int:
        self.allocate()
        return 0

    def _queued_resources_delete(self, rest, flags) -> int:
        if (self.folder / "request").exists():
            print("ERROR: (gcloud) FAILED_PRECONDITION: it is SUSPENDING", file=sys.stderr)
            return 1
        known = (self.folder / "state").exists() and not (self.folder / "unrequested").exists()
        if known:
            self.release()
        return 0 if known else self._not_found()

    def _tpu_vm_delete(self, rest, flags) -> int:
        known = (self.folder / "state").exists()
        self.release()
        return 0 if known else self._not_found()

    def _queued_resources_describe(self, rest, flags) -> int:
        if not (self.folder / "state").exists():
            return self._not_found()
        request = self.folder / "request"
        if request.exists():
            state, looks = request.read_text().split()
            if int(looks) == 1:
                request.unlink()
            else:
                request.write_text(f"{state} {int(looks) - 1}")
        else:
            state = "SUSPENDED" if self._state() == "PREEMPTED" else "WAITING_FOR_RESOURCES"
        print(state)
        return 0

    def _tpu_vm_describe(self, rest, flags) -> int:
        preempt, state = self.folder / "preempt", self.folder / "state"
        if preempt.exists():
            left = int(preempt.read_text()) - 1
            preempt.write_text(str(left))
            if left == 0:
                preempt.unlink()
                self.release()
                state.write_text("PREEMPTED")
        if not state.exists() or self._state() == "WAITING":
            return self._not_found()
        print(f"{self._state()}\t{WORKERS}")
        return 0

    def _tpu_vm_scp(self, rest, flags) -> int:
        for worker in range(WORKERS):
            shutil.copy(rest[0], self.home(worker) / rest[1].split(":", 1)[1])
        return 0

    def _tpu_vm_ssh(self, rest, flags) -> int:
        broken = self.folder / "broken"
        broken_ones = broken.read_text().split() if broken.exists() else []
        chosen = range(WORKERS) if flags["worker"] == "all" else [int(flags["worker"])]
        running, code = [], 0
        for worker in chosen:
            # The mistake of that version: the folder is "None", whatever was asked for.
            log = open(f"None/{worker}.log", "w") if "output-directory" in flags else None
            print(
                f"Warning: Permanently added 'tpu.7-{worker}' (ED25519) to the list of known "
                "hosts.",
                file=log or sys.stderr,
                flush=True,
            )
            if str(worker) in broken_ones:
                print(
                    f"ssh: connect to host worker-{worker} port 22: timed out",
                    file=log or sys.stderr,
                    flush=True,
                )
                print(
                    "ERROR: CommandError: [/usr/bin/ssh] exited with return code [255].",
                    file=sys.stderr,
                )
                code = 1
                continue
            # sshd hands the text to the login shell, which need not be bash.
            running.append(
                subprocess.Popen(
                    ["sh", "-c", flags["command"]],
                    cwd=self.home(worker),
                    stdout=log,
                    stderr=log and subprocess.STDOUT,
                    env={
                        **os.environ,
                        "HOME": str(self.home(worker)),
                        "TPU_WORKER_ID": str(worker),
                    },
                )
            )
        return max([code, *(process.wait() for process in running)])

    def _state(self) -> str:
        return (self.folder / "state").read_text()

    @staticmethod
    def _not_found() -> int:
        print("ERROR: (gcloud) NOT_FOUND: Resource was not found", file=sys.stderr)
        return 1

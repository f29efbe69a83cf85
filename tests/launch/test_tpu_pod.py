"""tpu_pod.sh against a pretended cloud: flags, dry runs, setup, and what a stranger meets."""

import json
import os
import pty
import re
import shutil
import subprocess

import pytest

from flexlam_jax.planning import topology

PYTHON_JOB = ("--", "python", "job.py")


# ---- flags ----


@pytest.mark.parametrize("missing", ["name", "zone", "project", "topology"])
def test_a_missing_flag_is_named(pod, missing):
    given = [f"--{name}=x" for name in ("name", "zone", "project") if name != missing]
    given += ["--topology=v5e-16"] if missing != "topology" else []
    done = subprocess.run(
        [*pod.arguments("create")[:3], *given], capture_output=True, text=True, env=pod.environment
    )
    assert done.returncode == 2 and f"--{missing} is missing" in done.stderr
    assert pod.cloud.calls() == []


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("create", "--topology=v5e-16", "--spott"), "unknown argument '--spott'"),
        (("create", "--topology=v5e-16", "--spot", "--reserved"), "exclude each other"),
        (("create", "--topology=v5e-16", "--name=My_Pod"), "--name=My_Pod: up to 63 small letters"),
        (("status", "--name=pod-"), "--name=pod-: up to 63 small letters"),
        (("status", f"--name=a{'b' * 63}"), "up to 63 small letters"),
        (("run",), "run needs a command"),
        (("run", "--retry=some", *PYTHON_JOB), "--retry=some is not a whole number"),
        (("run", "--coordinator=here", *PYTHON_JOB), "--coordinator=here is not HOST:PORT"),
        (("run", "--coordinator-port=0", *PYTHON_JOB), "--coordinator-port=0 must be at least 1"),
        (("setup", "--bucket=videos/runs"), "only the bucket's name"),
        (("destroy",), "unknown action 'destroy'"),
    ],
)
def test_bad_arguments_are_refused_before_any_call(pod, arguments, message):
    done = pod(*arguments)
    assert done.returncode == 2 and message in done.stderr
    assert pod.cloud.calls() == []


def test_an_unknown_slice_lists_those_that_exist(pod):
    done = pod("create", "--topology=v5e-7")
    assert done.returncode == 1 and 'no TPU slice "v5e-7"' in done.stderr
    listed = [
        name for line in done.stderr.splitlines() if line.startswith("  v") for name in line.split()
    ]
    assert listed == [name for names in topology.known_topologies().values() for name in names]
    assert pod.cloud.calls() == []


@pytest.mark.parametrize(
    "name, accelerator, runtime",
    [
        ("v4-32", "v4-32", "tpu-ubuntu2204-base"),
        ("v5e-256", "v5litepod-256", "v2-alpha-tpuv5-lite"),
        ("v5p-64", "v5p-64", "v2-alpha-tpuv5"),
        ("v6e-16", "v6e-16", "v2-alpha-tpuv6e"),
    ],
)
def test_a_slice_has_its_accelerator_type_and_runtime(pod, name, accelerator, runtime):
    assert pod("create", f"--topology={name}").returncode == 0
    [call] = pod.cloud.calls()
    assert call == [
        "compute",
        "tpus",
        "queued-resources",
        "create",
        "pod",
        "--node-id=pod",
        f"--accelerator-type={accelerator}",
        f"--runtime-version={runtime}",
        "--project=lab",
        "--zone=moon-1",
        "--quiet",
    ]


def test_type_and_runtime_can_be_given_for_slices_that_are_not_in_the_table(pod):
    done = pod(
        "create",
        "--accelerator-type=v9-4",
        "--runtime-version=v9",
        "--spot",
        "--create-flag=--network=my net",
    )
    assert done.returncode == 0
    [call] = pod.cloud.calls()
    assert {"--accelerator-type=v9-4", "--runtime-version=v9", "--spot", "--network=my net"} <= set(
        call
    )


def test_every_call_names_project_and_zone(pod):
    pod.ready()
    pod("status"), pod("run", *PYTHON_JOB, "done"), pod("logs"), pod("stop"), pod("delete")
    assert len(pod.cloud.calls()) > 8
    assert all(c[:2] == ["compute", "tpus"] for c in pod.cloud.calls())
    assert all({"--project=lab", "--zone=moon-1", "--quiet"} <= set(c) for c in pod.cloud.calls())


def test_flags_of_gcloud_alpha_need_gcloud_alpha(pod):
    pod.ready()
    before = len(pod.cloud.calls())
    assert pod("status", "--alpha", "--ssh-flag=--tunnel-through-iap").returncode == 0
    *_, ssh = calls = pod.cloud.calls()[before:]
    assert all(call[:3] == ["alpha", "compute", "tpus"] for call in calls)
    assert "--tunnel-through-iap" in ssh


# ---- dry runs ----


@pytest.mark.parametrize(
    "action, command",
    [
        ("create", ()),
        ("setup", ()),
        ("run", PYTHON_JOB),
        ("logs", ()),
        ("status", ()),
        ("stop", ()),
        ("delete", ()),
    ],
)
def test_a_dry_run_prints_commands_and_needs_no_gcloud(pod, tmp_path, action, command):
    (pod.cloud.folder / "bin/gcloud").unlink()
    done = pod(action, "--dry-run", "--topology=v4-32", *command)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if not line.startswith("#")]
    assert lines and all(line.startswith("gcloud compute tpus ") for line in lines)
    assert pod.cloud.calls() == []


def test_one_line_serves_every_action(pod):
    for action in ("create", "setup", "run", "logs", "status", "stop", "delete"):
        done = pod(action, "--dry-run", "--topology=v4-32", "--spot", "--retry=3", *PYTHON_JOB, "x")
        assert done.returncode == 0, done.stderr


def test_without_gcloud_the_message_says_where_it_comes_from(pod, tmp_path):
    (tmp_path / "tools").mkdir()
    for tool in ("bash", "dirname", "awk", "sed", "mktemp", "rm"):
        (tmp_path / "tools" / tool).symlink_to(shutil.which(tool))
    done = subprocess.run(
        pod.arguments("status"),
        capture_output=True,
        text=True,
        env={**pod.environment, "PATH": str(tmp_path / "tools")},
    )
    assert done.returncode == 1 and "no gcloud on PATH; see https://" in done.stderr


def test_a_dry_run_of_retry_shows_how_the_slice_is_made_anew(pod):
    done = pod("run", "--dry-run", "--topology=v4-32", "--spot", "--retry=3", *PYTHON_JOB, "a b")
    verbs = re.findall(r"^gcloud compute tpus (\S+ \S+)", done.stdout, re.MULTILINE)
    middle = verbs.index("queued-resources delete")
    assert verbs[middle + 1] == "queued-resources create"
    assert verbs[-3:] == ["tpu-vm scp", "tpu-vm ssh", "tpu-vm ssh"]
    assert "--spot" in done.stdout and pod.cloud.calls() == []


def test_the_printed_commands_are_those_that_are_run(pod):
    pod.ready()
    printed_lines = pod("run", "--dry-run", *PYTHON_JOB, "done", "it's", "a b").stdout.splitlines()
    printed_calls = [
        json.loads(
            subprocess.run(
                [
                    "bash",
                    "-c",
                    'python3 -c "import json, sys; print(json.dumps(sys.argv[2:]))" ' + line,
                ],
                capture_output=True,
                text=True,
            ).stdout
        )
        for line in printed_lines
        if not line.startswith("#")
    ]
    before = len(pod.cloud.calls())
    assert pod("run", *PYTHON_JOB, "done", "it's", "a b").returncode == 0
    run = pod.cloud.calls()[before:]

    def without_scratch(calls):
        return [[re.sub(r"=/.*/tmp\.\w+/", "=", word) for word in call] for call in calls]

    assert without_scratch(printed_calls) == without_scratch(run)


# ---- setup ----


def test_setup_copies_the_tree_as_git_sees_it(pod):
    git = ["git", "-C", str(pod.checkout), "-c", "user.name=n", "-c", "user.email=e@e"]
    (pod.checkout / ".gitignore").write_text(".venv/\ndata/\n")
    (pod.checkout / "deleted.py").write_text("")
    for name in (".venv/big", "data/big", "new file.py"):
        (pod.checkout / name).parent.mkdir(exist_ok=True)
        (pod.checkout / name).write_text("x")
    for command in (
        ["init", "--quiet"],
        ["add", "*.py", "launch", "pyproject.toml"],
        ["commit", "--quiet", "-m", "start"],
    ):
        subprocess.run([*git, *command], check=True)
    (pod.checkout / "deleted.py").unlink()
    (pod.checkout / "link").symlink_to("/not/here")
    status = subprocess.run([*git, "status", "--short"], capture_output=True).stdout
    pod.cloud.allocate()
    done = pod("setup", "--extras=tpu,datasets")
    assert done.returncode == 0, done.stderr
    for worker in (0, 1):
        there = pod.cloud.home(worker) / "flexlam/checkout"
        assert (there / "new file.py").exists() and (there / "launch/worker.sh").exists()
        assert not any((there / name).exists() for name in (".git", ".venv", "data", "deleted.py"))
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True).stdout
        assert re.fullmatch(head.strip() + r"\+changes-[\d-]+\n", (there / ".revision").read_text())
        assert f"[worker {worker}] extras tpu,datasets with " in done.stdout
    assert subprocess.run([*git, "status", "--short"], capture_output=True).stdout == status


def test_setup_again_brings_new_code_and_drops_old_files(pod):
    (pod.checkout / "gone.py").write_text("")
    pod.ready()
    first = (pod.cloud.home(1) / "flexlam/checkout/.revision").read_text()
    (pod.checkout / "gone.py").unlink()
    assert pod("setup").returncode == 0
    there = pod.cloud.home(1) / "flexlam/checkout"
    assert not (there / "gone.py").exists() and (there / ".revision").read_text() != first


def test_data_in_the_checkout_are_not_copied_by_mistake(pod):
    with open(pod.checkout / "shard-0.arrayrecord", "wb") as file:
        for _ in range(201):
            file.write(b"x" * 2**20)
    pod.cloud.allocate()
    done = pod("setup")
    assert done.returncode == 1 and "would be copied with 201 MB" in done.stderr
    assert "shard-0.arrayrecord" in done.stderr and pod.cloud.calls() == []


def test_setup_is_refused_while_a_command_runs(pod):
    pod.ready()
    pod("run", *PYTHON_JOB, "wait")
    done = pod("setup")
    assert done.returncode == 1 and "stop it before setup" in done.stderr
    assert "failed on worker(s) 0 1" in done.stderr


def test_an_old_python_is_replaced_with_uv(pod, tmp_path):
    tools = tmp_path / "tools"
    tools.mkdir()
    for name, text in {
        "python3": "exit 1",
        "python3.11": "exit 1",
        "python3.12": "exit 1",
        "uv": 'echo "uv $*" >> "$HOME/uv"; [ "$2" = install ] || echo /uv/python',
    }.items():
        (tools / name).write_text(f"#!/bin/sh\n{text}\n")
        (tools / name).chmod(0o755)
    pod.cloud.allocate()
    pod.environment |= {"PYTHON": "", "PATH": f"{tools}:{pod.environment['PATH']}"}
    done = pod("setup")
    assert done.returncode == 0 and "[worker 1] extras tpu with /uv/python" in done.stdout
    assert (pod.cloud.home(0) / "uv").read_text().startswith("uv python install --quiet 3.12\n")


def test_a_bucket_is_mounted_on_every_worker_and_again_after_a_restart(pod, tmp_path):
    tools = tmp_path / "tools"
    tools.mkdir()
    for name, text in {
        "mountpoint": '[ -f "$2/mounted" ]',
        "gcsfuse": 'for last; do :; done; echo "$@" >> "$HOME/gcsfuse"; touch "$last/mounted"',
    }.items():
        (tools / name).write_text(f"#!/bin/sh\n{text}\n")
        (tools / name).chmod(0o755)
    pod.environment["PATH"] = f"{tools}:{pod.environment['PATH']}"
    pod.cloud.allocate()
    assert pod("setup", "--bucket=gs://videos/").returncode == 0
    assert pod("run", "--", "cat", "bucket/mounted").returncode == 0
    for worker in (0, 1):
        mounts = (pod.cloud.home(worker) / "gcsfuse").read_text().splitlines()
        assert len(mounts) == 1 and "videos" in mounts[0].split()
    (pod.cloud.home(1) / "flexlam/bucket/mounted").unlink()
    assert pod("run", "--", "cat", "bucket/mounted").returncode == 0
    assert len((pod.cloud.home(1) / "gcsfuse").read_text().splitlines()) == 2
    # Without --bucket, `bucket/runs` would silently become a folder of the machine.
    assert pod("setup").returncode == 0
    assert pod("run", "--", "cat", "bucket/mounted").returncode == 0
    assert pod("run", *PYTHON_JOB, "done").returncode == 0
    assert pod.printed(1, "environment")["JAX_COMPILATION_CACHE_DIR"] == str(
        pod.cloud.home(1) / "flexlam/bucket/compilation_cache"
    )
    done = pod("run", "--retry=1", "--topology=v5e-16", *PYTHON_JOB, "done")
    assert done.returncode == 1 and "setup mounted 'videos', --bucket is '-'" in done.stderr


def test_a_bucket_that_cannot_rename_folders_is_refused(pod, tmp_path):
    tools = tmp_path / "tools"
    tools.mkdir()
    # As gcsfuse answers for a bucket without a hierarchical namespace.
    for name, text in {
        "mountpoint": "exit 1",
        "gcsfuse": "exit 0",
        "mv": 'case $1 in */bucket/*) echo "mv: Function not implemented" >&2; exit 1 ;; esac\n'
        f'exec {shutil.which("mv")} "$@"',
    }.items():
        (tools / name).write_text(f"#!/bin/sh\n{text}\n")
        (tools / name).chmod(0o755)
    pod.environment["PATH"] = f"{tools}:{pod.environment['PATH']}"
    pod.cloud.allocate()
    done = pod("setup", "--bucket=flat")
    assert done.returncode == 1
    assert "[worker 1] folders in the bucket 'flat' cannot be renamed" in done.stderr
    assert "--enable-hierarchical-namespace" in done.stderr
    assert list((pod.cloud.home(0) / "flexlam/bucket").iterdir()) == []


# ---- what a stranger meets first ----


def test_a_slice_that_is_not_there_or_not_ready(pod):
    assert "no slice 'pod' in moon-1 of lab" in pod("setup").stderr
    (pod.cloud.folder / "state").write_text("WAITING")
    done = pod("run", *PYTHON_JOB, "done")
    assert done.returncode == 1 and "'pod' is WAITING_FOR_RESOURCES, not READY" in done.stderr
    assert "pod: WAITING_FOR_RESOURCES" in pod("status").stdout


def test_run_before_setup(pod):
    pod.cloud.allocate()
    done = pod("run", *PYTHON_JOB, "done")
    assert done.returncode == 1 and "worker(s) 0 1 not set up; run setup first" in done.stderr
    assert "[worker 0] not set up" in pod("status").stdout


def test_a_worker_that_is_not_reached_is_named_and_nothing_starts(pod):
    pod.ready()
    (pod.cloud.folder / "broken").write_text("1")
    done = pod("run", *PYTHON_JOB, "wait")
    assert done.returncode == 1 and "worker(s) 1 not reached; nothing was started" in done.stderr
    assert "[worker 1] not reached: ssh: connect to host worker-1" in done.stderr
    assert not pod.cloud.run_file(0, "pid").exists()
    assert pod("status").returncode == 1


def test_workers_with_different_code_do_not_start(pod):
    pod.ready()
    (pod.cloud.home(1) / "flexlam/checkout/.revision").write_text("older\n")
    done = pod("run", *PYTHON_JOB, "done")
    assert done.returncode == 1 and "worker 1 has revision older and worker 0" in done.stderr


def test_what_gcloud_says_is_passed_on(pod):
    (pod.cloud.folder / "refuse").write_text("ERROR: quota TPUV5sLitepodPerProject exceeded")
    for action in ("create", "setup", "delete"):
        done = pod(action, "--topology=v5e-16")
        assert done.returncode == 1 and "quota TPUV5sLitepodPerProject exceeded" in done.stderr


def test_deleting_twice_is_no_error(pod):
    pod.cloud.allocate()
    assert "deleted 'pod'" in pod("delete").stderr
    done = pod("delete")
    assert done.returncode == 0 and "nothing to delete" in done.stderr


def test_a_slice_that_was_made_without_a_request_is_deleted_too(pod):
    pod.cloud.allocate()
    (pod.cloud.folder / "unrequested").touch()
    assert "deleted 'pod'" in pod("delete").stderr
    assert pod.cloud.verbs()[-1] == "tpu-vm delete" and not (pod.cloud.folder / "state").exists()


@pytest.mark.parametrize(
    "flags, answer, there", [((), b"n\n", True), ((), b"yes\n", False), (("--yes",), b"", False)]
)
def test_deleting_asks_whoever_sits_there(pod, flags, answer, there):
    pod.cloud.allocate()
    terminal, stdin = pty.openpty()
    os.write(terminal, answer)
    done = subprocess.run(
        pod.arguments("delete", *flags),
        capture_output=True,
        text=True,
        env=pod.environment,
        stdin=stdin,
        timeout=60,
    )
    os.close(terminal), os.close(stdin)
    assert (pod.cloud.folder / "state").exists() == there and done.returncode == int(there)
    assert ("Delete 'pod' (READY) in moon-1 of lab" in done.stderr) == (not flags)
    assert ("nothing was deleted" in done.stderr) == there

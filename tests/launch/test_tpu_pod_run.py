"""tpu_pod.sh against a pretended cloud: what becomes of a command, from start to restart."""

import os
import shutil
import signal
import subprocess

import pytest

PYTHON_JOB = ("--", "python", "job.py")


# ---- run, status, logs, stop ----


@pytest.mark.parametrize(
    "words",
    [
        (
            "a b",
            "it's",
            'say "hi"',
            "$HOME",
            "`date`",
            "a;b",
            "*",
            "",
            "back\\slash",
            "&&",
            "--x=(1, 2)",
            "two\nlines",
            "ünï",
        ),
    ],
)
def test_words_reach_every_worker_as_they_were_typed(pod, words):
    pod.ready()
    assert pod("run", *PYTHON_JOB, "done", *words).returncode == 0
    for worker in (0, 1):
        assert pod.printed(worker, "arguments") == list(words)


def test_a_command_from_start_to_stop(pod):
    pod.ready()
    done = pod("run", "--env=COLOUR=dark red", *PYTHON_JOB, "wait")
    assert done.returncode == 0, done.stderr
    pod.wait_for(lambda: all("ready" in pod.cloud.log(worker) for worker in (0, 1)))
    running = pod.pids()
    assert pod.printed(0, "environment")["COLOUR"] == "dark red"
    assert pod.printed(1, "environment")["FLEXLAM_REVISION"].startswith("nogit-")

    status = pod("status").stdout
    assert "pod: READY" in status
    assert all(f"[worker {i}] running, pid {running[i]}" in status for i in (0, 1))

    again = pod("run", *PYTHON_JOB, "wait")
    assert again.returncode == 1 and "already running on worker(s) 0 1" in again.stderr
    assert pod.pids() == running

    logs = pod("logs", "--worker=all").stdout
    assert "[worker 0] ready" in logs and "[worker 1] ready" in logs
    last = pod("logs", "--worker=1", "--lines=2").stdout.splitlines()
    assert len(last) == 2 and last[1] == "[worker 1] ready"

    stopped = pod("stop")
    assert stopped.returncode == 0
    assert all(f"[worker {i}] stopped with exit code 75" in stopped.stdout for i in (0, 1))
    assert not any(pod.alive(pid) for pid in running)
    assert "[worker 1] stopped with exit code 75" in pod("status").stdout
    assert "not running; stopped 75" in pod("stop").stdout


def test_a_command_behind_a_shell_is_stopped_too(pod):
    pod.ready()
    pod("run", "--", "bash", "-c", "python job.py wait; exit $?")
    pod.wait_for(lambda: all("ready" in pod.cloud.log(worker) for worker in (0, 1)))
    pod("stop", "--grace=10")
    for worker in (0, 1):
        assert pod.cloud.run_file(worker, "exit").read_text().strip() in ("75", "143")
    # The training itself saw the signal: it is gone, and was not killed.
    assert not subprocess.run(
        ["pgrep", "-f", str(pod.cloud.folder) + ".*job.py"], capture_output=True
    ).stdout


def test_a_machine_that_shuts_down_lets_the_command_save(pod):
    pod.ready()
    pod("run", *PYTHON_JOB, "wait")
    pod.wait_for(lambda: all("ready" in pod.cloud.log(worker) for worker in (0, 1)))
    # Everybody gets SIGTERM, also the shell that waits to write down the exit code.
    os.killpg(int(pod.cloud.run_file(0, "supervisor").read_text()), signal.SIGTERM)
    pod.wait_for(lambda: pod.cloud.run_file(0, "exit").exists())
    assert pod.cloud.run_file(0, "exit").read_text() == "75\n"


def test_a_command_that_knows_no_signals_can_be_stopped(pod):
    pod.ready()
    pod("run", "--", "sleep", "60")
    done = pod("stop", "--grace=20")
    assert done.returncode == 1
    assert "[worker 1] stopped with exit code 143, probably without saving" in done.stdout


def test_a_deaf_command_is_killed_after_the_grace(pod):
    pod.ready()
    pod("run", *PYTHON_JOB, "deaf")
    pod.wait_for(lambda: all("ready" in pod.cloud.log(worker) for worker in (0, 1)))
    running = pod.pids()
    done = pod("stop", "--grace=1")
    assert done.returncode == 1 and "worker(s) 0 1 did not stop well" in done.stderr
    assert "killed: it had not stopped 1 s after SIGTERM" in done.stdout
    pod.wait_for(lambda: not any(pod.alive(pid) for pid in running))
    assert "[worker 0] stopped with exit code 137" in pod("status").stdout


def test_a_command_that_dies_at_once_on_one_worker_is_stopped_on_the_others(pod):
    pod.ready()
    done = pod("run", *PYTHON_JOB, "fails-at-once-on-1")
    assert done.returncode == 1 and "did not start on worker(s) 1;" in done.stderr
    assert "[worker 1] exited with 3 at once" in done.stderr
    assert not pod.alive(pod.pids()[0])


def test_the_coordinator_can_be_chosen(pod):
    pod.ready()
    pod("run", "--coordinator=10.0.0.9:1234", *PYTHON_JOB, "done")
    for worker in (0, 1):
        assert {
            key: pod.printed(worker, "environment")[key]
            for key in ("COORDINATOR_ADDRESS", "NUM_PROCESSES", "PROCESS_ID")
        } == {
            "COORDINATOR_ADDRESS": "10.0.0.9:1234",
            "NUM_PROCESSES": "2",
            "PROCESS_ID": str(worker),
        }
    pod("run", "--coordinator-port=8476", *PYTHON_JOB, "done")
    environment = pod.printed(1, "environment")
    assert environment["JAX_COORDINATOR_PORT"] == "8476" and not environment["COORDINATOR_ADDRESS"]


def test_compiled_programs_are_kept_where_a_restart_finds_them(pod):
    pod.ready()
    pod("run", *PYTHON_JOB, "done")
    assert pod.printed(1, "environment")["JAX_COMPILATION_CACHE_DIR"] == str(
        pod.cloud.home(1) / "flexlam/compilation_cache"
    )
    pod("run", "--env=JAX_COMPILATION_CACHE_DIR=/elsewhere", *PYTHON_JOB, "done")
    assert pod.printed(1, "environment")["JAX_COMPILATION_CACHE_DIR"] == "/elsewhere"


# ---- restarts ----

RETRY = ("--topology=v5e-16", "--spot", "--poll=0", "--grace=1")


def test_75_starts_the_command_again(pod):
    pod.ready()
    done = pod("run", "--retry=1", *RETRY, *PYTHON_JOB, "interrupted-once")
    assert done.returncode == 0, done.stderr
    assert "starting the command again (1 of 1)" in done.stderr and "finished" in done.stderr
    assert pod.cloud.starts(1) == 2


def test_a_preempted_slice_is_made_anew_and_the_command_goes_on(pod):
    pod.ready()
    (pod.cloud.folder / "preempt").write_text("3")
    before = len(pod.cloud.calls())
    done = pod("run", "--retry=2", *RETRY, *PYTHON_JOB, "wait-once", "a b")
    assert done.returncode == 0, done.stderr
    assert "'pod' is PREEMPTED; making it anew (1 of 2)" in done.stderr
    verbs = pod.cloud.verbs()[before:]
    middle = verbs.index("queued-resources delete")
    assert verbs[middle : middle + 5] == [
        "queued-resources delete",
        "queued-resources create",
        "tpu-vm describe",
        "tpu-vm describe",
        "tpu-vm scp",
    ]
    created = pod.cloud.calls()[before + middle + 1]
    assert "--spot" in created and "--accelerator-type=v5litepod-16" in created
    assert pod.cloud.starts(1) == 2 and pod.printed(1, "arguments") == ["a b"]


def test_a_slice_that_is_being_suspended_is_waited_for(pod):
    pod.ready()
    (pod.cloud.folder / "preempt").write_text("2")
    (pod.cloud.folder / "request").write_text("SUSPENDING 3")
    done = pod("run", "--retry=1", *RETRY, *PYTHON_JOB, "wait-once")
    assert done.returncode == 0, done.stderr
    assert pod.cloud.verbs().count("queued-resources delete") == 1


def watched(pod, *words):
    """`run --retry`, watching a command that runs."""
    process = subprocess.Popen(
        pod.arguments("run", "--retry=3", *RETRY, *PYTHON_JOB, *words),
        stderr=subprocess.PIPE,
        text=True,
        env=pod.environment,
    )
    pod.wait_for(
        lambda: all(
            pod.cloud.run_file(worker, "pid").exists() and "ready" in pod.cloud.log(worker)
            for worker in (0, 1)
        )
    )
    return process


def test_what_somebody_stopped_is_not_started_again(pod):
    pod.ready()
    process = watched(pod, "wait")
    assert pod("stop").returncode == 0
    error = process.communicate(timeout=40)[1]
    assert process.returncode == 75 and "ended by stop, so it is not started again" in error
    assert pod.cloud.starts(0) == 1
    # The next one is.
    assert pod("run", "--retry=1", *RETRY, *PYTHON_JOB, "interrupted").returncode == 75
    assert pod.cloud.starts(0) == 3


def test_what_somebody_deleted_is_not_made_anew(pod):
    pod.ready()
    process = watched(pod, "wait")
    assert pod("delete").returncode == 0
    error = process.communicate(timeout=40)[1]
    assert process.returncode == 1 and "somebody deleted it" in error
    assert "queued-resources create" not in pod.cloud.verbs()


def test_a_machine_that_was_replaced_is_set_up_again(pod):
    pod.ready()
    process = watched(pod, "wait-once")
    pod.cloud.kill(1)
    shutil.rmtree(pod.cloud.home(1) / "flexlam")
    error = process.communicate(timeout=40)[1]
    assert process.returncode == 0, error
    assert "copying this checkout" in error and "finished on all workers" in error


def test_interruptions_without_end_give_up_with_75(pod):
    pod.ready()
    done = pod("run", "--retry=1", *RETRY, *PYTHON_JOB, "interrupted")
    assert done.returncode == 75 and "interrupted again after 1 restarts" in done.stderr


def test_an_error_on_one_worker_ends_the_retries_and_names_it(pod):
    pod.ready()
    done = pod("run", "--retry=5", *RETRY, *PYTHON_JOB, "fails-on-1")
    assert done.returncode == 1 and "failed on worker 1 with exit code 1" in done.stderr
    assert "[worker 1] no such preset" in done.stderr and "starting the command" not in done.stderr
    assert "stopping worker(s) 0" in done.stderr
    assert not any(pod.alive(pid) for pid in pod.pids())


@pytest.mark.parametrize(
    "code, again",
    [
        (0, False),
        (1, False),
        (2, False),
        (75, True),
        (76, True),
        (77, True),
        (126, False),
        (127, False),
        (134, True),
        (137, True),
        (143, True),
    ],
)
def test_which_exit_codes_are_restarted(pod, code, again):
    done = subprocess.run(
        ["bash", "-c", f'. "$1/launch/pod_common.sh"; may_restart {code}', "-", str(pod.checkout)],
        capture_output=True,
        text=True,
    )
    assert (done.returncode == 0) == again and not done.stderr


def test_a_killed_worker_counts_as_interrupted(pod):
    pod.ready()
    process = subprocess.Popen(
        pod.arguments("run", "--retry=1", *RETRY, *PYTHON_JOB, "wait"),
        stderr=subprocess.PIPE,
        text=True,
        env=pod.environment,
    )
    pod.wait_for(
        lambda: all(
            pod.cloud.run_file(worker, "pid").exists() and "ready" in pod.cloud.log(worker)
            for worker in (0, 1)
        )
    )
    first = pod.pids()
    pod.wait_for(lambda: pod.cloud.verbs().count("tpu-vm ssh") > 3)  # It has begun to watch.
    os.kill(first[1], signal.SIGKILL)
    pod.wait_for(
        lambda: (
            all(pod.cloud.run_file(worker, "pid").exists() for worker in (0, 1))
            and not set(first) & set(pod.pids())
        ),
        seconds=40,
    )
    process.send_signal(signal.SIGINT)
    error = process.communicate(timeout=90)[1]
    assert "starting the command again (1 of 1)" in error


def test_retry_refuses_when_the_workers_have_other_code(pod):
    pod.ready()
    (pod.checkout / "job.py").write_text("print('edited')")
    done = pod("run", "--retry=1", *RETRY, *PYTHON_JOB)
    assert done.returncode == 1 and "a new slice would run other code. Run setup" in done.stderr

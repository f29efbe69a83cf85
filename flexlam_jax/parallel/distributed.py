"""Several processes as one run: joining them, talking between them, and leaving together.

Words between processes go through JAX's coordination service, which lives in process 0 and needs no
device: a collective would hang where a process is missing, these calls say which one it is.

Exit codes beside those of experiments/cli.py:

    77   another process of the run was lost; this one stopped so that all can be started again
    134  JAX itself ended this process (SIGABRT): heartbeats of another one stopped, or process 0,
         which hosts the coordination service, is gone. Start all again.
"""

import collections
import json
import os
import re
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import jax
from jax._src import distributed as jax_distributed  # Orbax, too, reaches its client only there.

from flexlam_jax.errors import UserError

EXIT_LOST = 77
COORDINATOR_TIMEOUT = 300  # seconds
HEARTBEAT_TIMEOUT = 100  # seconds
_ANSWER_TIMEOUT = 600  # seconds: hosts import and read their data folders at different speeds.
_SHUTDOWN_TIMEOUT = 60  # seconds
_FAILED = "flexlam_jax/failed/"
_BROKEN = re.compile(r"gloo|nccl|heartbeat|barrier|coordination service", re.IGNORECASE)
_BROKEN_IN_JAX = re.compile(
    _BROKEN.pattern + "|connection|peer|socket|UNAVAILABLE|ABORTED", re.IGNORECASE
)
_uses: collections.Counter = collections.Counter()


class ProcessLost(Exception):
    """Another process of this run ended. Starting all processes again continues the run."""


def initialize(
    coordinator_address: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
    *,
    timeout: int = COORDINATOR_TIMEOUT,
    heartbeat_timeout: int = HEARTBEAT_TIMEOUT,
) -> None:
    """Joins the processes of a run; call it before anything touches a device.

    What is not given comes from the environment variables COORDINATOR_ADDRESS, NUM_PROCESSES and
    PROCESS_ID, then from what JAX detects (TPU pods, Slurm, GKE, Open MPI). Where there is nothing
    to detect, or num_processes is 1, the run has one process and nothing happens.

    Args:
      coordinator_address: HOST:PORT on process 0 that every process can reach.
      timeout: seconds until all processes must be there. JAX would abort with a stack trace;
        here the process ends with exit code 1 and one line that holds the address.
      heartbeat_timeout: seconds of silence after which JAX declares a process dead.

    Raises:
      UserError: settings that do not belong together or that nothing could complete.
    """
    address = coordinator_address or os.environ.get("COORDINATOR_ADDRESS") or None
    count = _number("NUM_PROCESSES", num_processes)
    index = _number("PROCESS_ID", process_id)
    if count == 1 or jax_distributed.global_state.client is not None:
        return
    given = [value is not None for value in (address, count, index)]
    if all(given):
        _check_given(address, count, index)
    if jax.config.jax_cpu_collectives_implementation in (None, "none"):
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
    timer = threading.Timer(timeout, _give_up, (timeout,))
    timer.daemon = True
    timer.start()
    try:
        jax.distributed.initialize(
            address,
            count,
            index,
            initialization_timeout=timeout + 60,
            # Settings that are complete leave nothing to detect, and all local devices visible.
            cluster_detection_method="deactivate" if all(given) else None,
            heartbeat_timeout_seconds=heartbeat_timeout,
            shutdown_timeout_seconds=_SHUTDOWN_TIMEOUT,
        )
    except ValueError as error:
        nothing_there = "coordinator_address should be defined" in str(error)
        if any(given) or not nothing_there:
            raise UserError(
                f"the processes cannot be joined: {error} Give --coordinator_address, "
                "--num_processes and --process_id (or COORDINATOR_ADDRESS, NUM_PROCESSES and "
                "PROCESS_ID) together; --num_processes=1 starts a run of one process."
            ) from None
    except RuntimeError as error:
        raise UserError(
            f"the processes cannot be joined at {address or 'the detected address'}: "
            f"{str(error).splitlines()[0]} (--num_processes=1 starts a run of one process)"
        ) from error
    finally:
        timer.cancel()


def process_index() -> int:
    """As jax.process_index(), without touching a device."""
    return jax_distributed.global_state.process_id


def process_count() -> int:
    """As jax.process_count(), without touching a device."""
    return jax_distributed.global_state.num_processes


def share(name: str, text: str) -> dict[int, str]:
    """Everybody's non-empty texts, {process: text}, the same on all processes, who must all call.

    Raises:
      ProcessLost: another process ended instead of answering, or was silent for ten minutes.
    """
    if process_count() == 1:
        return {0: text} if text else {}
    answers = gather(name, text)
    if answers is not None:
        told = json.dumps({index: text for index, text in enumerate(answers) if text})
    else:
        told = ""
    return {int(index): text for index, text in json.loads(broadcast(name, told)).items()}


def together(name: str, action: Callable[[], Any]) -> Any:
    """Runs `action` on every process; a UserError of any of them is raised by all.

    Without it one process would stop at its error and the others wait for it.
    """
    result, problem = None, None
    try:
        result = action()
    except UserError as error:
        problem = error
    problems = share(name, str(problem or ""))
    if problem is not None:
        raise problem
    if problems:
        index, text = min(problems.items())
        raise UserError(f"{text} (told by process {index} of {process_count()})")
    return result


def gather(name: str, text: str) -> list[str] | None:
    """Everybody's texts in the order of processes on process 0; None on the others."""
    if process_count() == 1:
        return [text]
    base = _key(f"gather/{name}")
    if process_index() != 0:
        _client().key_value_set(f"{base}/{process_index()}", "." + text)
        return None
    others = [_get(f"{base}/{index}", index) for index in range(1, process_count())]
    return [text, *others]


def broadcast(name: str, text: str) -> str:
    """The text of process 0, on every process."""
    if process_count() == 1:
        return text
    key = _key(f"broadcast/{name}")
    if process_index() != 0:
        return _get(key, 0, _ANSWER_TIMEOUT + 30)  # Process 0 may itself be waiting for others.
    _client().key_value_set(key, "." + text)
    return text


def lost_process(wait: float = 0.0) -> str | None:
    """What a process that stopped said last, "process 3 on host: ..."; None if none said anything.

    Args: `wait`, seconds to give the message to arrive.
    """
    end = time.monotonic() + wait
    while process_count() > 1:
        for _, text in sorted(_client().key_value_dir_get(_FAILED)):
            index, host, reason = json.loads(text)
            if index != process_index():
                return f"process {index} on {host} stopped: {reason}"
        if time.monotonic() >= end:
            return None
        time.sleep(0.2)
    return None


def lost_behind(error: Exception) -> str | None:
    """What to tell of the lost process that `error` comes from; None if it comes from none.

    Collectives and barriers that break off raise many types of errors. Who ended in order has said
    so, or will in a moment; of a killed one only their text speaks.
    """
    if process_count() == 1:
        return None
    if isinstance(error, ProcessLost):
        return str(error)
    from_jax = isinstance(error, jax.errors.JaxRuntimeError)
    broken = (_BROKEN_IN_JAX if from_jax else _BROKEN).search(str(error))
    told = lost_process(wait=3) if from_jax or broken else None
    if broken and not told:
        return f"lost another process: {str(error).strip().splitlines()[0]}"
    return told


def leave(code: int, reason: str) -> None:
    """Ends this process at once, telling the others why; returns when there are no others.

    A normal exit would wait for processes that wait for this one.
    """
    if process_count() == 1:
        return
    sys.stdout.flush()
    sys.stderr.flush()
    saying = threading.Thread(target=_say_and_linger, args=(reason,), daemon=True)
    saying.start()
    saying.join(5)
    os._exit(code)


def _say_and_linger(reason: str) -> None:
    client = _client()
    client.key_value_set(
        f"{_FAILED}{process_index()}",
        json.dumps(
            [
                process_index(),
                socket.gethostname(),
                reason.splitlines()[0] if reason else "no reason",
            ]
        ),
        allow_overwrite=True,
    )
    if process_index() == 0:
        # The others would be aborted, in the middle of their last words, if the service went first.
        end = time.monotonic() + 3
        while len(client.key_value_dir_get(_FAILED)) < process_count() and time.monotonic() < end:
            time.sleep(0.1)
        time.sleep(0.5)


def _client() -> Any:
    return jax_distributed.global_state.client


def _key(name: str) -> str:
    """A key is written once; the n-th use of a name is the n-th everywhere."""
    _uses[name] += 1
    return f"flexlam_jax/{name}/{_uses[name]}"


def _get(key: str, owner: int, timeout: float = _ANSWER_TIMEOUT) -> str:
    end = time.monotonic() + timeout
    while True:
        try:
            return _client().blocking_key_value_get(key, 1000)[1:]  # Empty values are not kept.
        except jax.errors.JaxRuntimeError as error:
            if "DEADLINE_EXCEEDED" not in str(error):
                raise ProcessLost(f"the coordination service is gone: {error}") from None
        lost = lost_process()
        if lost:
            raise ProcessLost(lost)
        if time.monotonic() > end:
            raise ProcessLost(
                f"process {owner} did not answer within {timeout:.0f} s ({key.split('/')[2]})."
            )


def _number(variable: str, given: int | None) -> int | None:
    text = os.environ.get(variable)
    if given is not None or not text:
        return given
    if not text.isdigit():
        raise UserError(f"{variable}={text} in the environment is not a number.")
    return int(text)


def _check_given(address: str, count: int, index: int) -> None:
    if not 0 <= index < count:
        raise UserError(f"--process_id={index} is not in 0..{count - 1} (--num_processes={count}).")
    if not address.rpartition(":")[0] or not address.rpartition(":")[2].isdigit():
        raise UserError(f"--coordinator_address={address} is not HOST:PORT.")


def _give_up(timeout: int) -> None:
    """Runs on a timer thread, because JAX aborts where it could have raised."""
    state = jax_distributed.global_state
    address = state.coordinator_address
    if state.process_id == 0:
        what = "not all processes reached this one, the coordinator,"
    elif _answers(address):
        what = "the coordinator answers, but not all processes reached it"
    else:
        what = "the coordinator cannot be reached"
    print(
        f"error: {what} at {address} within {timeout} s (process {state.process_id}; "
        f"{state.num_processes} expected); check the address, firewalls, and the other "
        "processes' logs.",
        file=sys.stderr,
        flush=True,
    )
    os._exit(1)


def _answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=3).close()
        return True
    except (OSError, ValueError):
        return False

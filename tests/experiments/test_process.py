"""How binaries are stopped and where they print: real signals and descriptors, no heavy imports."""

import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from experiments import process
from tests.experiments.command_lines import run_lines

REPO = Path(__file__).resolve().parents[2]
START = """
import ctypes, signal, sys
from experiments import process
from tests.experiments.command_lines import run_lines
process.start(restart={restart})
{prepare}
print("ready", flush=True)
mutex = ctypes.create_string_buffer(256)
for _ in range(2):  # The second never returns, as a long compilation: no handler of Python's runs.
    ctypes.CDLL(None).pthread_mutex_lock(mutex)
"""


def started(restart=False, prepare=""):
    child = subprocess.Popen(
        [sys.executable, "-c", START.format(restart=restart, prepare=prepare)],
        cwd=REPO,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert child.stdout.readline() == "ready\n"
    return child


@pytest.mark.parametrize(
    "number, restart, code",
    [
        (signal.SIGINT, False, 130),
        (signal.SIGTERM, False, 143),
        (signal.SIGINT, True, 75),
        (signal.SIGTERM, True, 75),
    ],
)
def test_a_signal_ends_a_busy_process_with_one_line(number, restart, code):
    child = started(restart)
    child.send_signal(number)
    _, told = child.communicate(timeout=20)
    assert child.returncode == code
    assert told.strip().startswith("stopped by ") and len(told.strip().splitlines()) == 1


def test_the_first_signal_is_left_to_who_took_it_and_the_second_ends():
    child = started(True, "signal.signal(signal.SIGTERM, lambda *_: None)")
    child.send_signal(signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        child.wait(timeout=0.3)
    child.send_signal(signal.SIGTERM)
    _, told = child.communicate(timeout=20)
    assert child.returncode == 75 and "stopped by SIGTERM" in told


ENGINE = """
import multiprocessing, subprocess
from data_pipelines.processes import begin_worker

def play(pipe):
    begin_worker()
    subprocess.Popen(["sleep", "60"])
    pipe.send("started")
    signal.pause()

here, there = multiprocessing.Pipe()
multiprocessing.get_context("fork").Process(target=play, args=(there,), daemon=True).start()
here.recv()
"""


def test_what_a_worker_started_ends_with_the_command():
    """A simulator's engine holds the output open: the last read ends when it does."""
    child = started(prepare=ENGINE)
    child.send_signal(signal.SIGTERM)
    child.communicate(timeout=20)
    assert child.returncode == 143


def test_memory_that_readers_left_is_removed_without_a_word():
    child = started(
        prepare="from multiprocessing.shared_memory import SharedMemory; "
        "left = SharedMemory(create=True, size=9)"
    )
    child.send_signal(signal.SIGINT)
    assert child.communicate(timeout=20)[1].strip().splitlines() == ["stopped by Ctrl-C"]


def patient(descriptor):
    like = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    return process.patient(like, descriptor)


def test_a_reader_that_leaves_does_not_end_the_work(monkeypatch):
    monkeypatch.setattr(process._Patient, "lost", False)
    reader, writer = os.pipe()
    os.close(reader)
    stream = patient(writer)
    print("unread", file=stream, flush=True)
    assert not process._Patient.lost
    stream.close()
    os.close(writer)


def test_text_that_cannot_be_encoded_is_escaped(tmp_path):
    with open(tmp_path / "out", "wb") as file:
        print("dé", file=patient(file.fileno()), flush=True)
    assert (tmp_path / "out").read_text() == "d\\xe9\n"


def test_a_full_disk_is_told_once_and_the_work_goes_on(monkeypatch, capfd):
    monkeypatch.setattr(process._Patient, "lost", False)
    with open("/dev/full", "wb") as file:
        stream = patient(file.fileno())
        print("one", file=stream, flush=True)
        print("two", file=stream, flush=True)
    assert process.lost_output()
    assert capfd.readouterr().err.count("No space left on device") == 1


def test_stray_words_are_refused():
    told = {
        "unexpected words 2 4; lists are written --budgets=1,2,4": "--budgets 1 2 4 --data=x",
        "unexpected word test; values are written --flag=value": "--out=x test",
    }
    lines = [["--checkpoint=nowhere", *words.split()] for words in told.values()]
    for (code, _, err, _), message in zip(run_lines("evaluate_lam", lines), told, strict=True):
        assert code == 1 and err.startswith(f"error: {message}"), err

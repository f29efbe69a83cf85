"""Commands side by side, each once."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from experiments.pieces.piece import Piece
from experiments.pieces.runner import _STARTER, Runner, seconds_by_stage
from flexlam_jax.errors import UserError

SLEEP = ("-n1", "-r1", "import time; time.sleep(60)")  # Of timeit.


def copies(out, name, source, *reads):
    """A piece that copies a JSON file."""
    return Piece(name, "json.tool", (f"{out}/{source}", f"{out}/{name}"), reads)


def chain(out):
    (out / "first").write_text("{}")
    return [copies(out, "second", "first"), copies(out, "third", "second", "second")]


def test_what_is_finished_is_not_run_again(tmp_path):
    found, ended, said = chain(tmp_path), [], []
    runner = Runner(found, tmp_path, 2, said.append)
    runner.run(found, ended.append)
    assert ended == found == runner.finished() and (tmp_path / "third").exists()
    assert said[-1].startswith("third took ") and said[-1].endswith("[2/2]")
    again = Runner(found, tmp_path, 2)
    assert (
        again.finished() == found
        and seconds_by_stage(found, again.markers)["second"]["pieces"] == 1
    )
    again.run(found, lambda piece: pytest.fail("it ran again"))
    # Another command, and so all that reads what it writes.
    (tmp_path / "other").write_text("[]")
    changed = [copies(tmp_path, "second", "other"), found[1]]
    assert Runner(changed, tmp_path, 2).finished() == []


def test_the_first_failure_ends_the_others_and_tells_the_last_lines(tmp_path):
    found = [Piece("sleeps", "timeit", SLEEP), copies(tmp_path, "fails", "absent")]
    start = time.monotonic()
    with pytest.raises(UserError) as failed:
        Runner(found, tmp_path, 2, lambda line: None).run(found, lambda piece: None)
    assert time.monotonic() - start < 50
    told = str(failed.value)
    assert told.startswith("fails failed (exit code 2):\n  python -m json.tool")
    assert "No such file" in told and f"{tmp_path}/logs/fails.log" in told
    assert Runner(found, tmp_path, 2).finished() == []


def test_a_killed_sweep_takes_its_commands_along():
    code = (
        "import os, subprocess, time\n"
        f"command = [*{_STARTER}, str(os.getpid()), 'timeit', *{SLEEP}]\n"
        "print(subprocess.Popen(command).pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    sweep = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    child = int(sweep.stdout.readline())
    end = time.monotonic() + 30
    while b"with_parent" in Path(f"/proc/{child}/cmdline").read_bytes():  # not yet the command
        assert time.monotonic() < end
        time.sleep(0.01)
    sweep.kill()
    sweep.wait()
    end = time.monotonic() + 20
    while _lives(child):
        assert time.monotonic() < end
        time.sleep(0.02)


def _lives(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_damaged_marker_is_told(tmp_path):
    found = chain(tmp_path)
    marker = tmp_path / "finished" / "second.json"
    marker.parent.mkdir()
    marker.write_text(json.dumps({"identity": 3}))
    with pytest.raises(UserError, match="second.json is damaged: .*remove it"):
        Runner(found, tmp_path, 1)

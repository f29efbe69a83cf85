"""One line for what a user can cause, exit codes of signals, readers that leave."""

import errno
import io
import os
import signal
import sys

import pytest

from data_pipelines import console
from data_pipelines.conversion import build
from data_pipelines.errors import DataError
from data_pipelines.prepare import main
from data_pipelines.tools import inspection, validation
from tests.data_pipelines.conversion import painted

PAINTED = painted.__name__


def interrupted(number):
    def stop(*args, **kwargs):
        os.kill(os.getpid(), number)
        signal.sigtimedwait([], 5)  # until the handler runs
        pytest.fail("nothing came")

    return stop


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize(
    ("place", "name"),
    [(painted, "plan"), (painted, "read"), (build, "assemble"), (build, "finish_dataset")],
)
def test_signals_end_a_conversion_with_one_line(
    tmp_path, capsys, monkeypatch, number, code, place, name
):
    command = [PAINTED, f"--out={tmp_path / 'data'}", "--workers=1"]
    before = signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patch:
        patch.setattr(place, name, interrupted(number))
        assert main(command) == code
    error = capsys.readouterr().err
    assert error.count("interrupted; the same command goes on where it stopped") == 1
    assert "Traceback" not in error and not (tmp_path / "data").exists()
    assert signal.getsignal(signal.SIGTERM) is before
    assert main(command) == 0


def test_signals_end_inspect_validate_and_simulators(tmp_path, capsys, monkeypatch, square):
    monkeypatch.setattr(inspection, "open_dataset", interrupted(signal.SIGINT))
    monkeypatch.setattr(validation, "open_dataset", interrupted(signal.SIGTERM))
    monkeypatch.setattr(
        "data_pipelines.simulators.synthetic.write_episode", interrupted(signal.SIGINT)
    )
    assert main(["inspect", str(square)]) == 130
    assert main(["validate", str(square)]) == 143
    assert main(["synthetic", f"--out={tmp_path / 'data'}"]) == 130
    lines = [line for line in capsys.readouterr().err.splitlines() if "interrupted" in line]
    assert lines == ["interrupted"] * 2 + ["interrupted; the same command goes on where it stopped"]
    assert not (tmp_path / "data").exists()


def test_tracebacks_are_for_verbose_and_for_faults_of_the_code(tmp_path, capsys, monkeypatch):
    command = ["synthetic", f"--out={tmp_path / 'data'}", "--size=3"]
    assert main(command) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert main([*command, "--verbose"]) == 1
    error = capsys.readouterr().err
    assert "Traceback" in error and error.splitlines()[-1].startswith("error: ")
    monkeypatch.setattr(painted, "plan", lambda options: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main([PAINTED, f"--out={tmp_path / 'data'}"])


class Broken(io.StringIO):
    """A pipe whose reader has left, or a full file."""

    encoding = "utf-8"

    def __init__(self, number):
        super().__init__()
        self.number = number

    def write(self, text):
        raise OSError(self.number, os.strerror(self.number))


def test_a_reader_that_leaves_ends_no_work(monkeypatch, square, tmp_path):
    monkeypatch.setattr(sys, "stdout", Broken(errno.EPIPE))
    monkeypatch.setattr(sys, "stderr", Broken(errno.EPIPE))
    sheet = tmp_path / "sheet.png"
    assert main(["inspect", str(square), f"--sheet={sheet}"]) == 0
    assert sheet.exists()
    assert main([PAINTED, f"--out={tmp_path / 'data'}"]) == 0
    assert main(["validate", str(tmp_path / "nothing")]) == 1


def test_results_that_cannot_be_printed_are_an_error(monkeypatch, square, capsys):
    monkeypatch.setattr(sys, "stdout", Broken(errno.ENOSPC))
    assert main(["validate", str(square)]) == 1
    assert "cannot print the results (No space left on device)" in capsys.readouterr().err


def test_closed_streams(monkeypatch, square):
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    assert main(["validate", str(square)]) == 0


def test_names_that_a_terminal_cannot_show_are_escaped():
    raw = io.BytesIO()
    with io.TextIOWrapper(raw, encoding="ascii") as stream:
        text = console.Patient(stream)
        text.write("caf\udce9 日本 ok\n")
        text.flush()
        assert raw.getvalue() == b"caf\\udce9 \\u65e5\\u672c ok\n"


def test_an_error_is_one_line_whatever_a_name_holds(capsys):
    def command():
        raise DataError("new\nline\x1b[31m.mp4 caf\udce9 日本: no")

    assert console.run_command(command) == 1
    assert capsys.readouterr().err == "error: new\\nline\\x1b[31m.mp4 caf\\udce9 日本: no\n"

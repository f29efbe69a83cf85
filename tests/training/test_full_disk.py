"""What cannot be written is told in one message with the room that is left, whoever writes."""

import errno
import os
import warnings

import jax
import pytest

from flexlam_jax.errors import CheckpointError, UserError
from flexlam_jax.files import cannot_write, storage_error
from flexlam_jax.training.compilation import compiled_programs_in
from flexlam_jax.training.metric_writers import JsonlWriter, TensorBoardWriter
from flexlam_jax.training.performance import Profiler

FULL = r"No space left on device.*Mend the storage \(\d+\.\d MiB are free there\)"


@pytest.mark.parametrize(
    "number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG]
)
def test_errors_of_the_storage_are_found_behind_those_of_libraries(number, tmp_path):
    try:
        try:
            raise OSError(number, os.strerror(number))
        except OSError as error:
            raise ValueError("of a library") from error
    except ValueError as error:
        told = str(cannot_write(tmp_path / "new" / "file", error, kind=CheckpointError))
    assert os.strerror(number) in told and "MiB are free there" in told
    in_text = RuntimeError(f"INTERNAL: writing [{os.strerror(number)}]\nand a page more")
    assert storage_error(in_text).errno == number


def test_other_errors_say_nothing_of_room(tmp_path):
    assert storage_error(PermissionError(errno.EACCES, "Permission denied")) is None
    told = cannot_write(tmp_path, PermissionError(errno.EACCES, "Permission denied"))
    assert "Permission denied" in str(told) and "free" not in str(told)


def test_rows(tmp_path):
    (tmp_path / "metrics.jsonl").symlink_to("/dev/full")
    writer = JsonlWriter(tmp_path / "metrics.jsonl")
    with pytest.raises(UserError, match=r"cannot write \S+metrics.jsonl: " + FULL):
        writer.write(1, {"loss": 0.5})
    with pytest.raises(UserError, match=FULL):
        writer.close()


def test_events(tmp_path):
    writer = TensorBoardWriter(tmp_path)

    def full(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    writer._records.write = full
    with pytest.raises(UserError, match=r"cannot write \S+events.out.tfevents\S+: " + FULL):
        writer.write(1, {"loss": 0.5})


def test_a_profile(tmp_path, monkeypatch):
    def full():
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: x.pb; No space left on device")

    monkeypatch.setattr(jax.profiler, "start_trace", lambda folder: None)
    monkeypatch.setattr(jax.profiler, "stop_trace", full)
    with pytest.raises(UserError, match="cannot write a profile to .*" + FULL):
        with Profiler(tmp_path, 0, 1) as profiler:
            profiler.at(0, ())
            profiler.at(1, ())


def test_programs_that_cannot_be_kept_are_told_once(tmp_path, caplog):
    before = warnings.showwarning
    with compiled_programs_in(tmp_path / "cache"), warnings.catch_warnings():
        warnings.simplefilter("always")
        for name in ("one", "two"):
            warnings.warn(
                "Error writing persistent compilation cache entry for "
                f"'jit_{name}': OSError: [Errno 28] No space left on device",
                stacklevel=1,
            )
    assert caplog.text.count("compiled programs cannot be kept") == 1
    assert "No space left on device" in caplog.text and warnings.showwarning is before

"""Libraries are silent where an error of theirs becomes a message of ours, and only there."""

import logging
import sys

import pytest

import flexlam_jax
from flexlam_jax.checkpoints.quiet import quiet_libraries
from flexlam_jax.errors import CheckpointError
from tests.untrained import save_run


def record(path):
    return logging.LogRecord("absl", logging.ERROR, path, 1, "told", (), None)


def heard(path):
    logger, got = logging.getLogger("absl"), []
    handler = logging.Handler()
    handler.emit = got.append
    logger.addHandler(handler)
    logger.handle(record(path))
    logger.removeHandler(handler)
    return bool(got)


def test_records_of_libraries_are_dropped_meanwhile():
    orbax, ours = "/site-packages/orbax/checkpoint/x.py", "/flexlam_jax/training/loop.py"
    with quiet_libraries():
        assert not heard(orbax) and heard(ours)
        with quiet_libraries():
            assert not heard(orbax)
        assert not heard(orbax)
    assert heard(orbax)


def test_hooks_pass_on_what_is_not_of_a_library(monkeypatch):
    passed = []
    monkeypatch.setattr(sys, "unraisablehook", passed.append)

    class Args:
        exc_traceback = None

    with quiet_libraries(), quiet_libraries():
        sys.unraisablehook(Args)
    assert passed == [Args]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return save_run(tmp_path_factory.mktemp("run"), steps=(2, 4))


@pytest.mark.parametrize(
    "file",
    [
        "params/manifest.ocdbt",
        "params/_METADATA",
        "meta/metadata",
        "params/_sharding",
        "_CHECKPOINT_METADATA",
    ],
)
@pytest.mark.parametrize("content", [b"", b"\xffjunk", None])
def test_a_damaged_step_is_told_in_one_line(run, file, content, capfd):
    path = run / "checkpoints" / "4" / file
    before = path.read_bytes()
    path.unlink() if content is None else path.write_bytes(content)
    try:
        step = flexlam_jax.load(run).step
        told = capfd.readouterr().err
        if step == 2:
            with pytest.raises(CheckpointError) as error:
                flexlam_jax.load(run, step=4)
            assert len(str(error.value).splitlines()) == 1
    finally:
        path.write_bytes(before)
    # Orbax can do without some of these files.
    assert len(told.splitlines()) <= 1 and "Traceback" not in told

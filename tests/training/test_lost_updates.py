"""However slowly checkpoints are written, no kill costs more than `checkpoint.every` updates."""

import signal
import threading

import orbax.checkpoint as ocp
import pytest

from flexlam_jax.checkpoints.files import Keep
from flexlam_jax.errors import CheckpointError, Interrupted
from flexlam_jax.training import run_log
from flexlam_jax.training.loop import fit
from tests.training import toy

pytestmark = pytest.mark.usefixtures("shared_compilations")


def on_disk(folder):
    """Steps under their final names, which a restart would find."""
    return sorted(int(path.name) for path in folder.iterdir() if path.name.isdigit())


@pytest.fixture
def slowest(monkeypatch):
    """Each write lasts until the run asks for the next one, or leaves."""
    changed, begun = threading.Condition(), []
    manager = ocp.CheckpointManager

    def begin(step):
        with changed:
            begun.append(step)
            changed.notify_all()

    def save(self, step, *args, original=manager.save, **kwargs):
        begin(step)
        return original(self, step, *args, **kwargs)

    def close(self, original=manager.close):
        begin(float("inf"))
        original(self)
        begun.clear()

    def finalize(self, directory, original=ocp.StandardCheckpointHandler.finalize):
        step = int(directory.parent.name.split(".")[0])
        with changed:
            assert changed.wait_for(lambda: max(begun) > step, timeout=60)
        return original(self, directory)

    monkeypatch.setattr(manager, "save", save)
    monkeypatch.setattr(manager, "close", close)
    monkeypatch.setattr(ocp.StandardCheckpointHandler, "finalize", finalize)


def lost_after_each_update(monkeypatch, folder):
    """The list that a run fills with what a kill would cost after each of its updates."""
    lost = []

    def after_step(self, step, *args, original=run_log.RunLog.after_step):
        lost.append(step - max(on_disk(folder), default=0))
        return original(self, step, *args)

    monkeypatch.setattr(run_log.RunLog, "after_step", after_step)
    return lost


def train(workdir, every, stop_at=None):
    rows = toy.Rows()
    config = toy.config(total_steps=12, checkpoint__every=every, checkpoint__keep=1)

    def evaluate(state):
        if int(state.step) == stop_at:
            signal.raise_signal(signal.SIGTERM)
        return {}

    return fit(toy.objective(), rows, config, workdir, evaluate=evaluate)


@pytest.mark.parametrize("every", [2, 5])
def test_writes_that_take_as_long_as_they_can(slowest, monkeypatch, tmp_path, every):
    lost = lost_after_each_update(monkeypatch, tmp_path / "checkpoints")
    with pytest.raises(Interrupted, match="at step 5 of"):  # Off the beat, and on from there.
        train(tmp_path, every, stop_at=4)
    train(tmp_path, every)
    assert max(lost) == every and len(lost) == 12


def test_every_update_is_on_disk_before_the_next(monkeypatch, tmp_path):
    lost = lost_after_each_update(monkeypatch, tmp_path / "checkpoints")
    train(tmp_path, every=1)
    assert lost == [1] * 12


@pytest.mark.parametrize("every, keep, kept", [(4, 2, [8, 9]), (3, 2, [6, 9]), (1, 3, [7, 8, 9])])
def test_what_is_kept(tmp_path, every, keep, kept):
    policy = Keep(keep, every)
    state = [type("Info", (), {"step": step}) for step in range(1, 10)]
    marks = policy.should_preserve(state, context=None)
    assert [info.step for info, mark in zip(state, marks, strict=True) if mark] == kept


def test_storage_that_fails_later_is_one_message(monkeypatch, tmp_path):
    def full(self, directory):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ocp.StandardCheckpointHandler, "finalize", full)
    with pytest.raises(
        CheckpointError,
        match=r"cannot write a checkpoint to \S+checkpoints: .*No "
        r"space left on device. Mend the storage",
    ):
        train(tmp_path, every=8)
    assert on_disk(tmp_path / "checkpoints") == []

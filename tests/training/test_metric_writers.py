"""JSONL truncation, event files without TensorFlow, progress lines."""

import io
import subprocess
import sys

import pytest

from flexlam_jax.errors import UserError, WorkdirError
from flexlam_jax.training.metric_writers import (
    JsonlWriter,
    TensorBoardWriter,
    WandbWriter,
    truncate_jsonl,
)
from flexlam_jax.training.performance import Chrono
from flexlam_jax.training.progress import Progress


def test_truncation_drops_later_rows_and_half_a_line(tmp_path):
    path = tmp_path / "metrics.jsonl"
    truncate_jsonl(path, 3)
    writer = JsonlWriter(path)
    for step in (1, 2, 3, 3, 4):
        writer.write(step, {"loss": 1 / 3})
    writer.close()
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines) + '{"step": 3, "lo')
    truncate_jsonl(path, 3)
    assert path.read_text() == "".join(lines[:4])
    path.write_text("".join(lines[:2]) + lines[2][:-1])  # Complete but for its line end.
    truncate_jsonl(path, 3)
    assert path.read_text() == "".join(lines[:2])
    truncate_jsonl(path, -1)
    assert path.read_text() == ""


def test_text_separators_in_rows_and_the_rest_of_a_power_cut(tmp_path):
    path = tmp_path / "metrics.jsonl"
    rows = '{"step": 1, "note": "a\u2028b\x85c"}\n{"step": 2, "loss": NaN}\n'
    for half in ("", '{"st', '{"step": 3, "lo\0\0\0', "\0" * 20):
        path.write_text(rows + half, encoding="utf-8")
        truncate_jsonl(path, 5)
        assert path.read_text(encoding="utf-8") == rows


@pytest.mark.parametrize("damage", ["[1]\n", '{"loss": 1}\n', "\x85\n", "text"])
def test_what_is_no_row_is_refused_and_stays(tmp_path, damage):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n' + damage, encoding="utf-8")
    before = path.read_bytes()
    with pytest.raises(WorkdirError, match="metrics.jsonl, line 2, is damaged"):
        truncate_jsonl(path, -1)
    assert path.read_bytes() == before


def test_event_files_are_read_back_and_purged_after_a_restart(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    first = TensorBoardWriter(tmp_path)
    for step in (1, 2, 3):
        first.write(step, {"loss": 10.0 * step, "note": "text is left out"})
    first.close()
    second = TensorBoardWriter(tmp_path, start_step=2)
    second.write(3, {"loss": 99.0})
    second.close()
    events = EventAccumulator(str(tmp_path)).Reload()
    assert [(e.step, e.value) for e in events.Scalars("loss")] == [(1, 10), (2, 20), (3, 99)]


def test_tensorflow_is_never_imported(tmp_path):
    code = (
        "import sys; from pathlib import Path\n"
        "from flexlam_jax.training.metric_writers import TensorBoardWriter\n"
        "class Refuse:\n"
        "    def find_spec(self, name, *rest):\n"
        "        assert name.split('.')[0] != 'tensorflow', name\n"
        "sys.meta_path.insert(0, Refuse())\n"
        "w = TensorBoardWriter(Path(sys.argv[1])); w.write(1, {'a': 1.0}); w.close()"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)


def test_missing_wandb_is_one_message(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(UserError, match="config.log.wandb is set but wandb is not installed"):
        WandbWriter("project", tmp_path, {})


def test_wandb_keeps_one_run_id_per_directory(tmp_path, monkeypatch):
    """A stub in place of the service."""
    import types

    started = []
    run = types.SimpleNamespace(log=lambda row, step: started.append((step, row)), finish=lambda: 0)
    stub = types.SimpleNamespace(
        util=types.SimpleNamespace(generate_id=lambda: "abc"),
        init=lambda **kwargs: started.append(kwargs["id"]) or run,
    )
    monkeypatch.setitem(sys.modules, "wandb", stub)
    for _ in range(2):
        writer = WandbWriter("project", tmp_path, {})
        stub.util.generate_id = lambda: "other"
        writer.write(3, {"loss": 1.0})
        writer.close()
    assert started == ["abc", (3, {"loss": 1.0})] * 2


def test_plain_progress_lines(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    out = io.StringIO()
    with Progress(100, start=40, seconds_between_lines=10.0, stream=out) as progress:
        for now[0], step, text in ((500, 41, "loss 2"), (509, 50, None), (511, 52, None)):
            progress.update(step, text)
    # 11 steps in the 11 seconds after the first; 48 are left. The last line is for the exit.
    line = "train: step 52/100  loss 2  0:48 left"
    assert out.getvalue().splitlines() == [line, line]


def test_chrono_times_training_only(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    chrono = Chrono(rows=10, transitions=30, flops=2e12, peak_tflops=4.0)
    assert chrono.row() == {}
    for seconds, waited in ((100, 50), (2, 0.5), (2, 0.5)):  # The first includes compilation.
        now[0] += seconds
        chrono.tick(waited)
    chrono.stop()
    for seconds, waited in ((100, 50), (2, 1.0)):  # An evaluation lies before the first.
        now[0] += seconds
        chrono.tick(waited)
    row = chrono.row()
    assert row["step_seconds"] == 2 and row["transitions_per_second"] == 15
    assert row["data_wait_fraction"] == pytest.approx(1 / 3)
    assert row["model_tflops_per_second"] == pytest.approx(1) and row["mfu"] == pytest.approx(0.25)
    assert row["peak_tflops"] == 4 and row["host_gib"] > 0

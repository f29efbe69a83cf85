"""Counts with a zero too many are refused by arithmetic; what may fit is not."""

import pytest

from experiments.tasks.registry import build_task
from flexlam_jax.errors import ConfigError
from flexlam_jax.training import memory_needed
from tests.experiments import tiny


@pytest.fixture(autouse=True)
def machine(monkeypatch):
    monkeypatch.setattr(memory_needed, "host_bytes", lambda: 2**30)


def check(**changes):
    config = tiny.get_config()
    with config.ignore_type():
        config.update_from_flattened_dict({key.replace("__", "."): v for key, v in changes.items()})
    task = build_task(config)
    memory_needed.check_host_memory(task.batch, config)
    memory_needed.check_device_memory(task.objective, task.batch, config)


@pytest.mark.parametrize(
    "key",
    [
        "batch_size",
        "data__prefetch",
        "eval__batches",
        "data__clip_length",
        "model__slots",
        "model__encoder__mlp_hidden",
        "model__quantizer__codes",
    ],
)
def test_a_thousand_million(key):
    with pytest.raises(ConfigError, match=r"need \d+\.\d GiB.* 1\.0 GiB"):
        check(**{key: 10**9})


def test_what_fits_is_taken():
    check()
    check(batch_size=2**30 // (3 * 16 * 16 * 3) // 6)  # With prefetch=2, and float predictions.


def test_nothing_is_refused_where_memory_is_not_known(monkeypatch):
    monkeypatch.setattr(memory_needed, "host_bytes", lambda: 0)
    check(batch_size=10**9)


def test_limits_of_a_container(tmp_path, monkeypatch):
    monkeypatch.undo()
    (tmp_path / "max").write_text("max\n")
    (tmp_path / "limit").write_text("4096\n")
    monkeypatch.setattr(memory_needed, "_LIMITS", (tmp_path / "max", tmp_path / "none"))
    machine = memory_needed.host_bytes()
    monkeypatch.setattr(memory_needed, "_LIMITS", (tmp_path / "max", tmp_path / "limit"))
    assert memory_needed.host_bytes() == 4096 and (machine == 0 or machine > 4096)

"""Timings of skills: every program runs, in the same units."""

import pytest

from experiments import benchmark_skills
from flexlam_jax.errors import UserError
from tests.experiments import tiny, tiny_hilam, tiny_policy


def test_chunking_is_told_as_a_share_of_plain_blocks(monkeypatch):
    monkeypatch.setattr(benchmark_skills, "SHAPE", (2, 8, 16))
    row = benchmark_skills.chunking_speed(1)
    assert row["speed"]["transformer"] == 1
    for name in ("chunker", "stage"):
        share = row["transformer"]["cpu_seconds"] / row[name]["cpu_seconds"]
        assert row["speed"][name] == pytest.approx(share)


@pytest.mark.parametrize("module", [tiny_hilam, tiny_policy])
def test_an_episode_of_one_row(module, monkeypatch):
    monkeypatch.setattr(benchmark_skills, "_STEPS", 2)
    row = benchmark_skills.step_rate(module.get_config(), 1)
    assert row["steps"] == 2 and row["steps_per_second"] > 0 and row["steps_per_cpu_second"] > 0


def test_steps_of_another_kind():
    with pytest.raises(
        UserError, match="config.kind='lam': steps are measured of hilam and policy"
    ):
        benchmark_skills.step_rate(tiny.get_config(), 1)

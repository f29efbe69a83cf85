"""Success rates of scripted experts, from what was kept and what was left out."""

from data_pipelines.conversion.success_rates import SOLVED_ONLY, success_rates
from data_pipelines.format.spec import DatasetSpec


def spec(name, recording="", **details):
    return DatasetSpec(name, (8, 8, 3), "raw", recording=recording, details=details)


def test_rates_are_of_recordings_that_keep_solved_episodes_alone():
    specs = [
        spec("push_left", "push", **SOLVED_ONLY),
        spec("push_right", "push", **SOLVED_ONLY),
        spec("pull", **SOLVED_ONLY),
        spec("push_random"),
    ]
    skipped = [
        ("push episode 3", "failed"),
        ("push episode 4", "lost"),
        ("push episode 5", "too short"),
        ("push_random episode 3", "failed"),
    ]
    rates = success_rates(specs, {"push_left": 3, "push_right": 3, "push_random": 9}, skipped)
    assert rates == {
        "push": {"solved": 3, "failed": 1, "lost": 1, "rate": 0.75},
        "pull": {"solved": 0, "failed": 0, "lost": 0, "rate": 0.0},
    }
    assert success_rates(specs[3:], {"push_random": 9}, skipped) == {}

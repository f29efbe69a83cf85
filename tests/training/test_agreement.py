"""What processes compare before they start, and how a difference reads."""

import jax
import pytest

from flexlam_jax.parallel import distributed
from flexlam_jax.training import agreement


def told(**facts):
    return {"host": "h", "facts": {"config.seed": 0, "code": "abc", **facts}}


def test_equal_processes_agree():
    assert agreement.differences([told(), told(), told()]) == ""


def test_each_difference_names_process_host_and_both_values():
    other = told(**{"config.seed": 1, "version of jax": "2"})
    text = agreement.differences([told(), told(), other])
    assert "process 2 (h): config.seed is 1, on process 0 (h) 0" in text
    assert "process 2 (h): version of jax is 2, on process 0 (h) (unset)" in text
    assert "process 1" not in text


def test_many_differences_are_cut():
    text = agreement.differences([told()] + [told(**{"config.seed": n}) for n in range(1, 40)])
    assert len(text.splitlines()) == 23 and "... and 19 more" in text


def test_facts_hold_config_code_and_versions():
    facts = agreement.facts({"seed": 3, "data": {"gap": [1, 2]}})
    assert facts["config.seed"] == 3 and facts["config.data.gap"] == [1, 2]
    assert len(facts["code"]) == 12 and facts["version of jax"][0].isdigit()


def test_code_digest_follows_the_files(monkeypatch, tmp_path):
    for package in ("flexlam_jax/training", "experiments"):
        (tmp_path / package).mkdir(parents=True)
    here = tmp_path / "flexlam_jax" / "training" / "agreement.py"
    here.write_text("1")
    monkeypatch.setattr(agreement, "__file__", str(here))
    before = agreement.code_digest()
    here.write_text("2")
    assert agreement.code_digest() != before


@pytest.mark.parametrize(
    "error, told",
    [
        (
            ValueError("UNKNOWN: Gloo AllGather failed: Connection closed by peer\nmore"),
            "lost another process: UNKNOWN: Gloo AllGather failed: Connection closed by peer",
        ),
        (
            TimeoutError("Timed out while waiting for async_write_complete barrier."),
            "lost another process: Timed out while waiting for async_write_complete barrier.",
        ),
        (
            jax.errors.JaxRuntimeError("UNAVAILABLE: socket"),
            "lost another process: UNAVAILABLE: socket",
        ),
        (distributed.ProcessLost("process 3 stopped"), "process 3 stopped"),
        (OSError("connection to the storage broke"), None),
        (jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory"), None),
    ],
)
def test_errors_that_come_from_a_lost_process(monkeypatch, error, told):
    assert distributed.lost_behind(error) is None  # One process loses nobody.
    monkeypatch.setattr(distributed, "process_count", lambda: 2)
    monkeypatch.setattr(distributed, "lost_process", lambda wait: None)
    assert distributed.lost_behind(error) == told

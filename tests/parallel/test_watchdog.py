"""The watchdog's clock: beats, patience, debuggers. What it does at the end is tested elsewhere."""

import sys
import time

import pytest

from flexlam_jax.parallel import watchdog


@pytest.fixture
def ended(monkeypatch):
    """Codes and messages with which the watchdog would have ended this process."""
    calls = []
    monkeypatch.setattr(watchdog, "_end", lambda code, message: calls.append((code, message)))
    monkeypatch.setattr(watchdog.faulthandler, "dump_traceback", lambda **kwargs: None)
    return calls


def wait_until(condition):
    end = time.monotonic() + 20
    while not condition() and time.monotonic() < end:
        time.sleep(0.005)
    return condition()


def test_silence_ends_the_run_and_says_where(ended):
    with watchdog.Watchdog(0.05, poll=0.01) as dog:
        dog.beat("step 7")
        assert wait_until(lambda: ended)
    code, message = ended[0]
    assert code == watchdog.EXIT_HUNG == 76 and "during step 7" in message


def test_patience_multiplies_the_time(ended):
    with watchdog.Watchdog(0.02, poll=0.005) as dog:
        dog.beat("compilation", patience=1e6)
        time.sleep(0.3)
        assert not ended
        dog.beat("step 1")
        assert wait_until(lambda: ended)


def test_zero_is_off():
    with watchdog.Watchdog(0) as dog:
        assert dog._thread is None


def test_a_debugger_stops_the_clock(ended, monkeypatch):
    monkeypatch.setattr(watchdog, "_debugging", lambda: True)
    with watchdog.Watchdog(0.02, poll=0.005) as dog:
        dog.beat("step 1")
        time.sleep(0.3)
    assert not ended


def test_a_frame_that_is_stepped_through_is_a_debugger():
    assert not watchdog._debugging()
    sys._getframe().f_trace = lambda *args: None
    assert watchdog._debugging()
    sys._getframe().f_trace = None

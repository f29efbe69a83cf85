"""The first signal is the loop's, the second ends as usual."""

import signal

import pytest

from flexlam_jax.parallel.signals import StopSignals


def test_the_first_signal_stays_taken_and_the_second_interrupts():
    """Another thread may ask who takes the signal after the handler has run."""
    before = signal.getsignal(signal.SIGINT)
    with StopSignals() as stop:
        taken = signal.getsignal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        assert stop.requested(0) and signal.getsignal(signal.SIGINT) == taken != before
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) == before

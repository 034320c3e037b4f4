"""Signals that ask a run to stop."""

import os
import signal
import threading

import pytest

from lineament.train import interrupt
from lineament.train.interrupt import interruptible


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_a_request(number: signal.Signals) -> None:
    before = {s: signal.getsignal(s) for s in interrupt.SIGNALS}
    with interruptible() as found:
        assert not found.asked
        os.kill(os.getpid(), number)
        assert found.asked
        assert not found.agreed
    assert {s: signal.getsignal(s) for s in interrupt.SIGNALS} == before


def test_two_at_once_are_one_request_and_a_later_one_stops_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal tells every process of a run, and torchrun, being told too, tells them again."""
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), interruptible() as found:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
        assert found.asked
        monkeypatch.setattr(interrupt, "ONE_REQUEST", 0.0)
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) == before


def test_beside_the_main_thread_there_are_no_signals() -> None:
    found: list[bool] = []

    def inside() -> None:
        with interruptible() as it:
            found.append(it.asked)

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    assert found == [False]

"""Stopping a run kindly: a signal asks, and the loop stops after the step it is in, with a checkpoint."""

import signal
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)

ONE_REQUEST = 1.0
"""Seconds within which signals are one request: a terminal tells all processes of a run, and so does torchrun
that was told itself."""


@dataclass(slots=True)
class Interrupt:
    """Whether somebody wants the run to stop.

    Attributes:
        asked: this process was told.
        agreed: all processes know, and stop after the same step.
        when: it was asked first, seconds of the monotonic clock.
    """

    asked: bool = False
    agreed: bool = False
    when: float = 0.0


@contextmanager
def interruptible() -> Generator[Interrupt]:
    """Turn the first Ctrl-C, or a scheduler's SIGTERM, into a request; a later one stops at once."""
    interrupt = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return

    def ask(number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if not interrupt.asked:
            interrupt.asked, interrupt.when = True, now
        elif now - interrupt.when > ONE_REQUEST:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, ask) for number in SIGNALS}
    try:
        yield interrupt
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

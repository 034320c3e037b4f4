"""Stopping a run kindly: a signal asks, and the loop stops after the step it is in, with a checkpoint."""

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass(slots=True)
class Interrupt:
    """Whether somebody wants the run to stop.

    Attributes:
        asked: this process was told.
        agreed: all processes know, and stop after the same step.
    """

    asked: bool = False
    agreed: bool = False


@contextmanager
def interruptible() -> Generator[Interrupt]:
    """Turn the first Ctrl-C, or a scheduler's SIGTERM, into a request; a second one stops at once."""
    interrupt = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return

    def ask(number: int, frame: FrameType | None) -> None:
        if interrupt.asked:
            raise KeyboardInterrupt
        interrupt.asked = True

    before = {number: signal.signal(number, ask) for number in SIGNALS}
    try:
        yield interrupt
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

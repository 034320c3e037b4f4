"""One at a time, in the order in which they came: a lock that lets nobody wait for ever."""

import threading
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager


class Turns:
    """A lock that is fair, which `threading.Lock` does not promise: with many threads one could starve."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._queue: deque[threading.Event] = deque()
        self._taken = False

    @contextmanager
    def turn(self, seconds: float) -> Generator[bool]:
        """Wait for one's turn, and pass it on at the end; yields False when the time was over before."""
        mine = self._enqueue()
        got = mine is None or mine.wait(seconds) or not self._leave(mine)
        try:
            yield got
        finally:
            if got:
                self._pass_on()

    def _enqueue(self) -> threading.Event | None:
        """None when nobody is before us."""
        with self._guard:
            if not self._taken:
                self._taken = True
                return None
            mine = threading.Event()
            self._queue.append(mine)
            return mine

    def _leave(self, mine: threading.Event) -> bool:
        """Wait no longer; False when the turn came at the last moment."""
        with self._guard:
            if mine in self._queue:
                self._queue.remove(mine)
                return True
            return False

    def _pass_on(self) -> None:
        with self._guard:
            if self._queue:
                self._queue.popleft().set()
            else:
                self._taken = False

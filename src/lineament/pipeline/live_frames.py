"""Frames of a camera or a stream: a thread reads, and keeps only the newest.

A stream that is not read fast enough would pile up somewhere and be seen later and later. So a thread reads
it without pause and holds one frame: one that nobody took before the next came is dropped and counted. When
the stream breaks, the thread connects again, waiting longer after each failure.
"""

import datetime
import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

from lineament.core.errors import StreamUnavailable
from lineament.pipeline.capture import upright_rgb
from lineament.pipeline.frame import Clocks, Frame, Sampler, State, StreamSettings

# How long the reader of frames sleeps at most before it looks whether it was interrupted.
_GLANCE = 0.5


class LiveFrames:
    """Frames of a live source, the newest first. See `FrameSource`; made by `open_frames`.

    Args:
        reopen: opens the source again.
        capture: the source, open.
        name: for people and records; without secrets.
        sampler: which frames are due.
        settings: time limits.
        clocks: where the time comes from.

    Attributes:
        name: as given.
        identity: empty.
        live: True.
        state: `live`, `reconnecting`, `ended`; `opened` before the first frame.
        dropped: frames that were due and not taken in time.
        unreadable: frames that were due and could not be decoded.
        reconnects: how often the source was found again.
        incomplete: False: a live source has no end.
    """

    def __init__(
        self,
        reopen: Callable[[], Any],
        capture: Any,
        name: str,
        sampler: Sampler,
        settings: StreamSettings,
        clocks: Clocks,
    ) -> None:
        self.name = name
        self.identity = ""
        self.live = True
        self.state: State = "opened"
        self.dropped = self.unreadable = self.reconnects = 0
        self.incomplete = False
        self._reopen = reopen
        self._capture = capture
        self._sampler = sampler
        self._settings = settings
        self._clocks = clocks
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._newest: Frame | None = None
        self._failure: Exception | None = None
        self._index = -1
        # Of the first frame, by a clock that nobody sets.
        self._start: float | None = None
        self._thread = threading.Thread(target=self._read, name="lineament-frames", daemon=True)
        self._thread.start()

    def __enter__(self) -> "LiveFrames":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[Frame]:
        """The newest frame whenever there is one, until `close`.

        Raises:
            InvalidArgument: the source was lost for longer than `give_up`.
        """
        while True:
            with self._changed:
                while self._newest is None and self.state != "ended":
                    self._changed.wait(_GLANCE)
                frame, self._newest = self._newest, None
            if frame is not None:
                yield frame
            elif self._failure is not None:
                raise self._failure
            else:
                return

    def close(self) -> None:
        """Let go of the source; iteration ends."""
        self._closing.set()
        with self._changed:
            self._newest, self.state = None, "ended"
            self._changed.notify_all()
        if threading.current_thread() is not self._thread:
            # A read that hangs returns after its own time limit.
            self._thread.join(self._settings.read_timeout + self._settings.open_timeout)

    def _read(self) -> None:
        try:
            while not self._closing.is_set():
                if self._capture.grab():
                    self._look()
                else:
                    self._connect_again()
        except Exception as error:  # noqa: BLE001  (raised again where the frames are asked for)
            self._failure = error
        finally:
            self._capture.release()
            with self._changed:
                self.state = "ended"
                self._changed.notify_all()

    def _look(self) -> None:
        """Take the frame that was grabbed, if it is due."""
        now = self._clocks.steady()
        self._start = now if self._start is None else self._start
        at = now - self._start
        self._index += 1
        if not self._sampler.due(at):
            return
        pixels = upright_rgb(self._capture)
        if pixels is None:
            self.unreadable += 1
            return
        time = datetime.datetime.fromtimestamp(self._clocks.wall(), datetime.UTC)
        with self._changed:
            if self._closing.is_set():
                return
            self.state = "live"
            self.dropped += self._newest is not None
            self._newest = Frame(self._index, at, time, pixels, self.reconnects)
            self._changed.notify_all()

    def _connect_again(self) -> None:
        self._capture.release()
        with self._changed:
            if self._closing.is_set():
                return
            self.state = "reconnecting"
        lost, wait = self._clocks.steady(), self._settings.first_wait
        while not self._closing.wait(wait):
            try:
                self._capture = self._reopen()
            except StreamUnavailable as error:
                trying = self._clocks.steady() - lost
                if self._settings.give_up is not None and trying >= self._settings.give_up:
                    raise StreamUnavailable(
                        f"{self.name} was lost and not found again in {trying:.0f} s: {error.message}"
                    ) from error
                wait = min(2 * wait, self._settings.longest_wait)
                continue
            self.reconnects += 1
            return

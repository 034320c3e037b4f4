"""Watching: frames, faces, tracks, votes, events, alerts.

Each frame's faces are found, followed, and searched for in every list. What follows from it is in the sink
before the next frame is looked at.
"""

import importlib.metadata
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from types import TracebackType

from lineament.applications.watch.alerts import Alert, AlertSink
from lineament.applications.watch.book import Book, Context, WatchSettings, ended, looked
from lineament.applications.watch.events import Known, Past, resumed
from lineament.applications.watch.ports import ReadFaces, WatchedList
from lineament.applications.watch.statistics import Statistics
from lineament.core.errors import InvalidArgument
from lineament.core.image import Image
from lineament.pipeline.frame import Frame, FrameSource


class Watch:
    """Watches one source for the subjects of lists.

    Each alert is in the sink before `run` yields it. When the watching ends (the end of a recording, Ctrl-C,
    `close`, an error), a `stopped` alert is kept for each subject who is present. A live source that is
    watched again, after a crash too, goes on from the sink's last alerts: who is still there has not come a
    second time. A recording that is watched again gives the same alerts, which the sink has already.

    Args:
        frames: the source; it is closed at the end.
        read_faces: finds and embeds faces, for example `Recognizer.inspect`.
        lists: what to watch for, each with a name of its own.
        sink: keeps the alerts; it stays open.
        detector: name of the detector, for the record.
        alignment: name of the alignment of crops, for the record.
        settings: how it is done.
        clock: seconds that never go back, for `Statistics.seconds`.

    Raises:
        InvalidArgument: no list, or two of one name.
    """

    def __init__(
        self,
        frames: FrameSource,
        read_faces: ReadFaces,
        lists: Sequence[WatchedList],
        sink: AlertSink,
        *,
        detector: str = "",
        alignment: str = "",
        settings: WatchSettings = WatchSettings(),  # noqa: B008  (frozen)
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not lists or len({w.name for w in lists}) != len(lists):
            raise InvalidArgument("watching takes one or more lists, each with a name of its own")
        self._frames = frames
        self._read_faces = read_faces
        self._lists = tuple(lists)
        self._sink = sink
        self._settings = settings
        self._clock = clock
        version = importlib.metadata.version("lineament")
        provenance = {"lineament": version, "detector": detector, "alignment": alignment}
        self._context = Context(frames.name, frames.identity, provenance)
        self._origin: float | None = None
        self._book = Book()
        self._counts = Statistics()
        self._began = clock()
        self._ended: float | None = None

    def __enter__(self) -> "Watch":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def statistics(self) -> Statistics:
        """How it goes, at any time."""
        source = self._frames
        return replace(
            self._counts,
            state=source.state,
            faces=self._book.faces,
            searched=self._book.searched,
            dropped=source.dropped,
            unreadable=source.unreadable,
            reconnects=source.reconnects,
            incomplete=source.incomplete,
            seconds=(self._clock() if self._ended is None else self._ended) - self._began,
        )

    def run(self) -> Generator[Alert]:
        """Watch to the end; Ctrl-C ends it without an error.

        Yields:
            Each alert when it is in the sink.

        Raises:
            OutputFailed: an alert could not be kept.
            LineamentError: whatever the source, the recogniser or a list raise.
        """
        try:
            for frame in self._frames:
                self._look(frame)
                yield from self._keep()
        except KeyboardInterrupt:
            self._counts = replace(self._counts, interrupted=True)
        except BaseException:
            self.close()
            raise
        self._book = ended(self._book, self._lists, self._context)
        yield from self._keep()
        self.close()

    def close(self) -> None:
        """End the watching: what is not yet in the sink goes there, and the source is let go of."""
        self._ended = self._clock() if self._ended is None else self._ended
        try:
            self._book = ended(self._book, self._lists, self._context)
            for _ in self._keep():
                pass
        finally:
            self._frames.close()

    def _look(self, frame: Frame) -> None:
        book = self._book
        if frame.index <= book.index:
            self._counts = replace(self._counts, late=self._counts.late + 1)
            return
        moment = self._moment(frame)
        if book.index < 0 and self._frames.live:
            book = replace(book, known={w.name: self._resumed(w.name, moment) for w in self._lists})
        reading = self._read_faces(Image(frame.pixels, source=self._frames.name))
        # One assignment, so that Ctrl-C finds the book as it was or as it is.
        self._book = looked(book, frame, moment, reading, self._lists, self._settings, self._context)
        self._counts = replace(self._counts, frames=self._counts.frames + 1)

    def _moment(self, frame: Frame) -> float:
        """Seconds: of a recording, its own; of a live source, of the Unix epoch, never set back."""
        if not self._frames.live:
            return frame.at
        if self._origin is None:
            self._origin = frame.time.timestamp() - frame.at
        return self._origin + frame.at

    def _resumed(self, watchlist: str, moment: float) -> Known:
        past = [alert.past() for alert in self._sink.latest(self._context.source, watchlist)]
        return resumed([p for p in past if isinstance(p, Past)], moment)

    def _keep(self) -> Generator[Alert]:
        """Give the sink what waits, first to last; one that it has already is nothing new."""
        while self._book.waiting:
            alert, evidence = self._book.waiting[0]
            kept = self._sink.store(alert, evidence)
            self._book = replace(self._book, waiting=self._book.waiting[1:])
            if kept is None:
                self._counts = replace(self._counts, kept_before=self._counts.kept_before + 1)
            else:
                self._counts = replace(self._counts, alerts=self._counts.alerts + 1)
                yield kept

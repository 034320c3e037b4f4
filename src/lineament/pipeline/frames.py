"""Frames of a video file, a camera or a stream, one after another, upright and in RGB.

A *recording* (a file, or an address that serves one) is read to its end, and no frame is left out but by
sampling. A *live* source (a camera, a stream) does not wait: see `lineament.pipeline.live_frames`. Decoding
is FFmpeg's, inside OpenCV. Its own remarks on standard error name hosts, never users or passwords.
"""

import datetime
import math
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2

from lineament.core.errors import ImageUnreadable, InvalidArgument
from lineament.pipeline.capture import file_identity, open_capture, upright_rgb
from lineament.pipeline.frame import Clocks, Frame, Place, Sampler, State, StreamSettings
from lineament.pipeline.live_frames import LiveFrames
from lineament.pipeline.stream_name import kind_of, redacted


def open_frames(
    source: Place,
    *,
    rate: float | None = None,
    name: str | None = None,
    began: datetime.datetime | None = None,
    settings: StreamSettings = StreamSettings(),  # noqa: B008  (frozen)
    clocks: Clocks = Clocks(),  # noqa: B008  (frozen)
) -> "Recording | LiveFrames":
    """Open a source of frames.

    Args:
        source: a path, the number of a camera (`0`), or an address with rtsp, rtsps, http or https.
        rate: frames a second wanted; None for all. A source that gives fewer gives what it has.
        name: what to call it in records; None: its address without secrets.
        began: when a recording began, with a time zone; None: now. Not for live sources.
        settings: time limits.
        clocks: for tests.

    Raises:
        ImageNotFound, ImageEmpty, ImageUnreadable, ImageTooLarge, ImageError: a file cannot be used.
        InvalidArgument: an argument is out of range.
        StreamUnavailable: a camera or a stream cannot be reached, or gives no video.
    """
    sampler, kind = Sampler(rate), kind_of(source)
    if began is not None and began.tzinfo is None:
        raise InvalidArgument("began needs a time zone: datetime(…, tzinfo=datetime.UTC)")
    capture = open_capture(source, settings)
    shown = name or (f"camera {source}" if kind == "camera" else redacted(source))
    if kind == "camera" or (kind == "address" and not capture.get(cv2.CAP_PROP_FRAME_COUNT) > 0):
        if began is not None:
            capture.release()
            raise InvalidArgument("began is for recordings: a live source begins when it is opened")
        return LiveFrames(lambda: open_capture(source, settings), capture, shown, sampler, settings, clocks)
    start = began or datetime.datetime.fromtimestamp(clocks.wall(), datetime.UTC)
    identity = file_identity(Path(str(source))) if kind == "file" else ""
    return Recording(capture, shown, identity, sampler, start)


class Recording:
    """Frames of a file, to its end. See `FrameSource`; made by `open_frames`.

    Attributes:
        name: for people and records.
        identity: digest of the file's size and ends, or empty where it lies on a server.
        live: False.
        state: `opened`, and `ended` at the end.
        dropped, reconnects: always 0.
        unreadable: frames that were due and could not be decoded.
        incomplete: after the end: whether the file stopped well before the end that its header promises.
    """

    def __init__(
        self, capture: Any, name: str, identity: str, sampler: Sampler, began: datetime.datetime
    ) -> None:
        self.name = name
        self.identity = identity
        self.live = False
        self.state: State = "opened"
        self.dropped = self.reconnects = 0
        self.unreadable = 0
        self.incomplete = False
        self._capture = capture
        self._sampler = sampler
        self._began = began.astimezone(datetime.UTC)

    def __enter__(self) -> "Recording":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[Frame]:
        """The frames; once.

        Raises:
            ImageUnreadable: not one of them can be decoded.
        """
        if self._is_closed():
            return
        index, at, first, shown = -1, 0.0, math.nan, 0
        promised = float(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        step = 1.0 / rate if 0 < (rate := float(self._capture.get(cv2.CAP_PROP_FPS))) < 1e4 else 0.0
        while not self._is_closed() and self._capture.grab():
            index += 1
            stamp = float(self._capture.get(cv2.CAP_PROP_POS_MSEC)) / 1e3
            first = stamp if math.isnan(first) else first
            # Where two recordings were joined, or stamps are broken, time goes on at the nominal pace.
            at = stamp - first if math.isfinite(stamp) and (index == 0 or stamp - first > at) else at + step
            if not self._sampler.due(at):
                continue
            pixels = upright_rgb(self._capture)
            if pixels is None:
                self.unreadable += 1
                continue
            shown += 1
            yield Frame(index, at, self._began + datetime.timedelta(seconds=at), pixels)
        if self._is_closed():  # meanwhile, by the caller
            return
        self.incomplete = math.isfinite(promised) and index + 1 < 0.9 * promised
        self.close()
        if not shown and (self.unreadable or index < 0):
            raise ImageUnreadable(f"{self.name} opens as a video, but no frame of it can be decoded")

    def _is_closed(self) -> bool:
        return self.state == "ended"

    def close(self) -> None:
        """Let go of the file; iteration ends."""
        self.state = "ended"
        self._capture.release()

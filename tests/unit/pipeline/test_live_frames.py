"""Live frames: a camera over HTTP on loopback, which may be slow, broken, away, and back again."""

import datetime
import http.server
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import cv2
import numpy as np
import pytest

from lineament.core.errors import InvalidArgument
from lineament.pipeline.capture import StreamUnavailable
from lineament.pipeline.frame import Clocks, FrameSource, StreamSettings
from lineament.pipeline.frames import open_frames
from lineament.pipeline.live_frames import LiveFrames

NOON = datetime.datetime(2026, 11, 25, 12, tzinfo=datetime.UTC)
SOON = StreamSettings(open_timeout=2.0, read_timeout=2.0, first_wait=0.05, longest_wait=0.2)


def numbered(k: int, height: int = 48, width: int = 64) -> np.ndarray:
    """Frame k, RGB: red in the left half; as much green as k says in the right half."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, : width // 2] = (200, 30, 30)
    pixels[:, width // 2 :] = (0, 8 * (k % 32), 0)
    return pixels


class Camera:
    """A network camera: motion JPEG over HTTP, which may be switched off and on."""

    def __init__(self, every: float) -> None:
        self.every = every
        self.on = threading.Event()
        self.on.set()
        self.stop = threading.Event()
        self.sent = 0
        self.connections = 0
        camera = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if not camera.on.is_set():
                    self.send_error(503)
                    return
                camera.connections += 1
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
                self.end_headers()
                try:
                    while camera.on.is_set() and not camera.stop.is_set():
                        _, jpeg = cv2.imencode(
                            ".jpg", cv2.cvtColor(numbered(camera.sent % 30), cv2.COLOR_RGB2BGR)
                        )
                        head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                        self.wfile.write(head.encode() + jpeg.tobytes() + b"\r\n")
                        camera.sent += 1
                        camera.stop.wait(camera.every)
                except OSError:  # the reader left
                    return

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (its name there)
                return

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True

    @property
    def address(self) -> str:
        return f"http://admin:s3cret@127.0.0.1:{self.server.server_address[1]}/video.mjpg"


@contextmanager
def camera(every: float = 0.01) -> Iterator[Camera]:
    made = Camera(every)
    thread = threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield made
    finally:
        made.stop.set()
        made.server.shutdown()
        made.server.server_close()
        thread.join()


def test_a_live_source_gives_the_newest_frame_and_counts_what_it_dropped():
    with camera(0.005) as made, open_frames(made.address, settings=SOON) as source:
        assert isinstance(source, LiveFrames)
        assert isinstance(source, FrameSource)
        assert (source.live, source.identity) == (True, "")
        assert "s3cret" not in source.name
        frames = []
        for frame in source:
            frames.append(frame)
            time.sleep(0.15)  # slower than the camera
            if len(frames) == 5:
                break
        assert source.state == "live"
    assert source.state == "ended"
    indices = [f.index for f in frames]
    assert indices == sorted(set(indices))
    assert source.dropped > 10
    assert indices[-1] - indices[0] > 10
    assert [f.at for f in frames] == sorted(f.at for f in frames)
    age = datetime.datetime.now(datetime.UTC) - frames[-1].time
    assert datetime.timedelta(0) <= age < datetime.timedelta(seconds=30)


def test_a_live_source_can_be_sampled():
    with camera(0.005) as made, open_frames(made.address, rate=10.0, settings=SOON) as source:
        frames = [frame for frame, _ in zip(source, range(4), strict=False)]
    gaps = np.diff([f.at for f in frames])
    assert (gaps > 0.0).all()
    # Three slots of a tenth of a second lie between the first and the fourth.
    assert 0.19 < frames[3].at - frames[0].at < 10.0


def test_a_stream_that_breaks_is_found_again():
    with camera() as made, open_frames(made.address, settings=SOON) as source:
        frames = iter(source)
        first = next(frames)
        made.on.clear()
        deadline = time.monotonic() + 10.0
        while source.state != "reconnecting" and time.monotonic() < deadline:
            time.sleep(0.01)
        assert source.state == "reconnecting"
        made.on.set()
        later = next(f for f in frames if f.session == 1)
        assert source.state == "live"
        assert (source.reconnects, made.connections) == (1, 2)
        assert later.index > first.index
        assert later.at > first.at


def test_a_stream_that_stays_away_is_an_error_when_that_is_wanted():
    settings = StreamSettings(2.0, 2.0, first_wait=0.02, longest_wait=0.05, give_up=0.3)
    with camera() as made, open_frames(made.address, settings=settings) as source:
        frames = iter(source)
        next(frames)
        made.on.clear()
        with pytest.raises(StreamUnavailable, match="not found again") as caught:
            for _ in frames:
                pass
        assert "s3cret" not in str(caught.value)
        assert source.state == "ended"


def test_closing_ends_the_iteration_and_the_thread():
    before = threading.active_count()
    with camera() as made:
        source = open_frames(made.address, settings=SOON)
        seen = 0
        for _ in source:
            seen += 1
            if seen == 3:
                source.close()
        assert seen == 3
        assert not any(t.name == "lineament-frames" and t.is_alive() for t in threading.enumerate())
    assert threading.active_count() <= before


def test_moments_of_a_live_source_do_not_follow_a_clock_that_is_set_back():
    wall = iter([1e9 - 3600.0 * k for k in range(10_000)])
    with (
        camera() as made,
        open_frames(made.address, settings=SOON, clocks=Clocks(wall=lambda: next(wall))) as source,
    ):
        frames = [frame for frame, _ in zip(source, range(3), strict=False)]
    assert [f.at for f in frames] == sorted(f.at for f in frames)
    assert frames[0].time > frames[-1].time


def test_began_is_for_recordings():
    with camera() as made, pytest.raises(InvalidArgument, match="recordings"):
        open_frames(made.address, began=NOON, settings=SOON)

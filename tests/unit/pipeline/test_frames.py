"""Frames of real videos, made by code and read through FFmpeg; streams over loopback."""

import datetime
import http.server
import socket
import struct
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineament.core.errors import (
    ImageEmpty,
    ImageError,
    ImageNotFound,
    ImageTooLarge,
    ImageUnreadable,
    InvalidArgument,
)
from lineament.pipeline.capture import StreamUnavailable
from lineament.pipeline.frame import FrameSource, Sampler, StreamSettings
from lineament.pipeline.frames import Recording, open_frames
from lineament.vision.decode import Limits

NOON = datetime.datetime(2026, 11, 25, 12, tzinfo=datetime.UTC)
SOON = StreamSettings(open_timeout=2.0, read_timeout=2.0, first_wait=0.05, longest_wait=0.2)


def numbered(k: int, height: int = 48, width: int = 64) -> np.ndarray:
    """Frame k, RGB: red in the left half; as much green as k says in the right half."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, : width // 2] = (200, 30, 30)
    pixels[:, width // 2 :] = (0, 8 * (k % 32), 0)
    return pixels


def write_video(path: Path, count: int = 20, fps: float = 10.0, codec: str = "MJPG") -> Path:
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*codec), fps, (64, 48))
    assert writer.isOpened()
    for k in range(count):
        writer.write(cv2.cvtColor(numbered(k), cv2.COLOR_RGB2BGR))
    writer.release()
    return path


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("video") / "door.avi")


def number_of(pixels: np.ndarray) -> int:
    return round(float(pixels[:, 40:, 1].mean()) / 8)


@pytest.mark.parametrize(("suffix", "codec"), [("avi", "MJPG"), ("mp4", "mp4v"), ("mkv", "MJPG")])
def test_every_frame_in_order_upright_and_rgb(tmp_path: Path, suffix: str, codec: str):
    path = write_video(tmp_path / f"a.{suffix}", codec=codec)
    with open_frames(path, began=NOON) as source:
        frames = list(source)
    assert [f.index for f in frames] == list(range(20))
    assert [f.at for f in frames] == pytest.approx([0.1 * k for k in range(20)], abs=2e-3)
    assert frames[10].time == NOON + datetime.timedelta(seconds=frames[10].at)
    for k, frame in enumerate(frames):
        assert frame.pixels.shape == (48, 64, 3)
        assert number_of(frame.pixels) == pytest.approx(k, abs=1)
        assert frame.pixels[:, :28].mean(axis=(0, 1)) == pytest.approx([200, 30, 30], abs=12)


def test_a_recording_keeps_the_promise_of_a_source(video: Path):
    source = open_frames(str(video))
    assert isinstance(source, FrameSource)
    assert isinstance(source, Recording)
    assert (source.live, source.state, source.name) == (False, "opened", str(video))
    assert len(list(source)) == 20
    assert (source.state, source.dropped, source.unreadable, source.incomplete) == ("ended", 0, 0, False)
    assert list(source) == []


@pytest.mark.parametrize(
    ("rate", "expected"),
    [(10.0, 20), (5.0, 10), (2.0, 4), (1.0, 2), (3.0, 6), (100.0, 20), (0.1, 1)],
)
def test_sampling(video: Path, rate: float, expected: int):
    with open_frames(video, rate=rate) as source:
        frames = list(source)
    assert len(frames) == expected
    for frame in frames:
        assert number_of(frame.pixels) == pytest.approx(frame.index, abs=1)


@given(st.floats(0.5, 60.0), st.floats(0.5, 60.0), st.integers(1, 200))
def test_sampling_takes_the_first_frame_of_each_slot(fps: float, rate: float, count: int):
    sampler = Sampler(rate)
    taken = [k / fps for k in range(count) if sampler.due(k / fps)]
    slots = [int((at + 1e-3) * rate) for at in taken]
    assert slots == sorted({int((k / fps + 1e-3) * rate) for k in range(count)})


def test_two_recordings_of_one_name_can_be_told_apart(tmp_path: Path):
    first = open_frames(write_video(tmp_path / "a.avi", 10))
    again = open_frames(tmp_path / "a.avi")
    assert first.identity == again.identity != ""
    again.close()
    first.close()
    other = open_frames(write_video(tmp_path / "a.avi", 11))
    assert other.identity != first.identity
    other.close()


def turned(data: bytes) -> bytes:
    """An mp4 file whose track header says that it is to be shown a quarter turn clockwise."""
    place = data.index(b"tkhd") + 4
    matrix = place + 40  # version 0: 40 bytes lie between
    turn = struct.pack(">9i", 0, 0x10000, 0, -0x10000, 0, 0, 48 << 16, 0, 0x40000000)
    return data[:matrix] + turn + data[matrix + 36 :]


def test_rotation_marks_are_applied(tmp_path: Path):
    path = write_video(tmp_path / "a.mp4", codec="mp4v")
    path.write_bytes(turned(path.read_bytes()))
    with open_frames(path) as source:
        frame = next(iter(source))
    assert frame.pixels.shape == (64, 48, 3)
    # The left half is the upper half now.
    assert frame.pixels[:28].mean(axis=(0, 1)) == pytest.approx([200, 30, 30], abs=12)


def test_a_recording_that_stops_early_says_so(tmp_path: Path):
    path = write_video(tmp_path / "cut.avi", 400)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with open_frames(path) as source:
        frames = list(source)
        assert source.incomplete
    assert 100 < len(frames) < 300


def test_files_that_are_no_videos(tmp_path: Path, video: Path):
    with pytest.raises(ImageNotFound, match="there is no file"):
        open_frames(tmp_path / "nothing.mp4")
    with pytest.raises(ImageError, match="not a file"):
        open_frames(tmp_path)
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(ImageEmpty):
        open_frames(tmp_path / "empty.mp4")
    (tmp_path / "text.mp4").write_text("this is no video\n" * 100)
    with pytest.raises(ImageUnreadable, match="not a video"):
        open_frames(tmp_path / "text.mp4")
    whole = write_video(tmp_path / "b.mp4", codec="mp4v").read_bytes()
    (tmp_path / "head.mp4").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ImageUnreadable):
        list(open_frames(tmp_path / "head.mp4"))
    with pytest.raises(ImageTooLarge, match="64×48"):
        open_frames(video, settings=StreamSettings(limits=Limits(max_pixels=3000)))


def test_an_unknown_codec_is_an_error(tmp_path: Path, video: Path):
    data = video.read_bytes().replace(b"MJPG", b"QQQQ").replace(b"mjpg", b"QQQQ")
    (tmp_path / "a.avi").write_bytes(data)
    with pytest.raises(ImageUnreadable):
        list(open_frames(tmp_path / "a.avi"))


def test_a_list_of_other_places_is_not_followed(tmp_path: Path, video: Path):
    """A playlist in place of a video would make FFmpeg open whatever it names."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        port = server.getsockname()[1]
        for name, text in {
            "a.m3u8": f"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:{port}/a.ts\n",
            "b.mp4": f"\n#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:{port}/a.ts\n",
            "c.txt": f"ffconcat version 1.0\nfile {video}\n",
            "d.sdp": f"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nm=video {port} RTP/AVP 26\n",
        }.items():
            (tmp_path / name).write_text(text)
            with pytest.raises(ImageUnreadable, match="list of places"):
                open_frames(tmp_path / name)
        with pytest.raises(TimeoutError):
            server.accept()


def test_names_that_ffmpeg_takes_for_commands_are_paths(
    tmp_path: Path, video: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ImageNotFound):
        open_frames(f"concat:{video}")
    (tmp_path / "file:a.avi").write_bytes(video.read_bytes())
    with open_frames("file:a.avi") as source:
        assert len(list(source)) == 20
    with pytest.raises(ImageNotFound, match=r"\*\*\*@camera"):
        open_frames("admin:s3cret@camera/stream1")


def test_arguments(video: Path):
    for rate in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(InvalidArgument, match="rate"):
            open_frames(video, rate=rate)
    with pytest.raises(InvalidArgument, match="time zone"):
        open_frames(video, began=datetime.datetime(2026, 1, 1))
    for bad in ({"open_timeout": 0.0}, {"first_wait": float("nan")}, {"give_up": -1.0}):
        with pytest.raises(InvalidArgument):
            StreamSettings(**bad)


def test_a_camera_that_is_not_there():
    if any(Path("/dev").glob("video*")):
        pytest.skip("this machine has a camera")
    with pytest.raises(StreamUnavailable, match="no camera 0"):
        open_frames("0")


def test_a_server_that_is_not_there_and_no_secret_anywhere(capfd: pytest.CaptureFixture[str]):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    for scheme in ("rtsp", "http"):
        with pytest.raises(StreamUnavailable, match="refused") as caught:
            open_frames(f"{scheme}://admin:s3cret@127.0.0.1:{port}/x?token=s3cret", settings=SOON)
        assert "s3cret" not in str(caught.value)
    assert "s3cret" not in "".join(capfd.readouterr())


def test_a_server_that_says_nothing_is_left_in_time(capfd: pytest.CaptureFixture[str]):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port, before = server.getsockname()[1], time.monotonic()
        with pytest.raises(StreamUnavailable, match="gives no video") as caught:
            open_frames(
                f"rtsp://admin:s3cret@127.0.0.1:{port}/x",
                settings=StreamSettings(open_timeout=0.5, read_timeout=0.5),
            )
        assert time.monotonic() - before < 5.0
        assert "s3cret" not in str(caught.value)
    assert "s3cret" not in "".join(capfd.readouterr())


def test_a_recording_on_a_server_is_a_recording(video: Path, tmp_path: Path):
    path = write_video(tmp_path / "a.mp4", codec="mp4v")

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (its name there)
            return

        def __init__(self, *args: object) -> None:
            super().__init__(*args, directory=str(tmp_path))  # type: ignore[arg-type]  (handed on)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            address = f"http://127.0.0.1:{server.server_address[1]}/{path.name}"
            with open_frames(address, rate=5.0, settings=SOON) as source:
                assert not source.live
                assert [f.index for f in source] == list(range(0, 20, 2))
        finally:
            server.shutdown()
            thread.join()

"""Watching a real RTSP stream over loopback: passwords, refusals, a server that goes and comes back."""

import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

import lineament as ln
from lineament.applications.watch.alert_file import AlertFile
from lineament.applications.watch.book import WatchSettings
from lineament.applications.watch.events import EventSettings
from lineament.applications.watch.votes import VoteSettings
from lineament.applications.watch.watch import Watch
from lineament.core.candidate import Candidate
from lineament.core.template import Templates
from lineament.core.threshold import Threshold
from lineament.pipeline.capture import StreamUnavailable
from lineament.pipeline.frame import StreamSettings
from lineament.pipeline.frames import open_frames
from lineament.vision.track import TrackSettings

pytestmark = pytest.mark.real

SERVER = Path(__file__).with_name("rtsp_server.py")
PYTHON = "/usr/bin/python3"
"""The system's own: GStreamer's bindings are a package of the system."""

SOON = StreamSettings(open_timeout=5.0, read_timeout=2.0, first_wait=0.1, longest_wait=0.3)


class Server:
    """The server's process, which can be killed and started again at the same port."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = 0
        self.process: subprocess.Popen[str] | None = None
        self.start()

    def start(self) -> None:
        command = [PYTHON, str(SERVER), str(self.folder), str(self.port), "admin", "s3cret"]
        environment = {"PATH": os.environ.get("PATH", ""), "HOME": str(self.folder)}
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    def kill(self) -> None:
        assert self.process is not None
        assert self.process.stdout is not None
        self.process.kill()
        self.process.wait(10.0)
        self.process.stdout.close()

    def address(self, user: str = "admin:s3cret@", path: str = "door") -> str:
        return f"rtsp://{user}127.0.0.1:{self.port}/{path}"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, astronaut: np.ndarray) -> Iterator[Server]:
    check = [PYTHON, str(SERVER), "--check"]
    if not Path(PYTHON).exists() or subprocess.run(check, capture_output=True, timeout=60).returncode:
        pytest.skip(
            "needs a real RTSP server: apt-get install gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-base "
            "gstreamer1.0-plugins-good python3-gi"
        )
    folder = tmp_path_factory.mktemp("rtsp")
    for k in range(10):
        pixels = cv2.cvtColor(np.roll(astronaut[:256, 96:352], 2 * (k % 5), axis=1), cv2.COLOR_RGB2BGR)
        cv2.imwrite(str(folder / f"f{k:02d}.jpg"), pixels)
    started = Server(folder)
    yield started
    started.kill()


def test_frames_of_a_stream(server: Server, astronaut: np.ndarray):
    with open_frames(server.address(), rate=5.0, settings=SOON) as source:
        assert source.live
        assert source.name == f"rtsp://***@127.0.0.1:{server.port}/door"
        frames = [frame for frame, _ in zip(source, range(4), strict=False)]
    for frame in frames:
        assert frame.pixels.shape == (256, 256, 3)
        # Red, green and blue in their order: a JPEG of the picture, moved by up to 8 columns.
        assert frame.pixels.mean(axis=(0, 1)) == pytest.approx(
            astronaut[:256, 96:352].mean(axis=(0, 1)), abs=2.0
        )
    assert frames[-1].at - frames[0].at > 0.3


@pytest.mark.parametrize(
    ("user", "path"), [("admin:wrong-s3cret@", "door"), ("", "door"), ("admin:s3cret@", "nothing")]
)
def test_refusals_say_so_without_secrets(
    server: Server, user: str, path: str, capfd: pytest.CaptureFixture[str]
):
    with pytest.raises(StreamUnavailable, match="gives no video") as caught:
        open_frames(server.address(user, path), settings=SOON)
    assert "s3cret" not in str(caught.value) + "".join(capfd.readouterr())


class Staff:
    """A list of one person."""

    name = "staff"

    def __init__(self, template: ln.Template) -> None:
        self.template = template
        self.threshold = Threshold.typed_in(0.45, template.model)

    def identify(self, templates: Templates, /) -> list[list[Candidate]]:
        return [[Candidate("eileen", t.similarity(self.template), 1, 1, self.name)] for t in templates]


def until(true: Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait for something to be so."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_server_that_dies_and_comes_back_gives_one_entry(
    server: Server, astronaut: np.ndarray, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    """Killed while Eileen is there, for longer than an absence, and started again: she has not come twice."""
    recognizer = ln.Recognizer()
    template = recognizer.analyze(astronaut, colour="rgb")[0].template
    assert template is not None
    absence = 2.0
    settings = WatchSettings(
        TrackSettings(gap=1.0), EventSettings(VoteSettings(2, 3), cooldown=0.0, absence=absence)
    )
    path, kinds = tmp_path / "alerts.jsonl", list[str]()
    with AlertFile(path) as sink, open_frames(server.address(), rate=10.0, settings=SOON) as source:
        watching = Watch(source, recognizer.inspect, [Staff(template)], sink, settings=settings)
        thread = threading.Thread(target=lambda: kinds.extend(alert.kind for alert in watching.run()))
        thread.start()
        until(lambda: path.read_text() != "")
        server.kill()
        time.sleep(absence + 0.5)
        server.start()
        until(lambda: watching.statistics.reconnects == 1)
        frames = watching.statistics.frames
        until(lambda: watching.statistics.frames >= frames + 5)
        source.close()
        thread.join(30.0)
    assert kinds == ["enter", "stopped"]
    assert watching.statistics.state == "ended"
    assert "s3cret" not in path.read_text() + "".join(capfd.readouterr())

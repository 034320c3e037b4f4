"""Watching real videos with the default pack: faces come, go, come back and cross; alerts say so once."""

import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

import lineament as ln
from lineament.applications.watch.alert_file import AlertFile
from lineament.applications.watch.alerts import Alert
from lineament.applications.watch.book import WatchSettings
from lineament.applications.watch.events import EventSettings
from lineament.applications.watch.statistics import Statistics
from lineament.applications.watch.votes import VoteSettings
from lineament.applications.watch.watch import Watch
from lineament.core.candidate import Candidate
from lineament.core.template import Templates
from lineament.core.threshold import Threshold
from lineament.pipeline.frames import open_frames
from lineament.vision.track import Tracks, TrackSettings, follow

pytestmark = pytest.mark.real

FPS = 5.0
SIZE = (240, 480)
"""Height and width of the videos, pixels."""

SETTINGS = WatchSettings(
    TrackSettings(gap=1.0), EventSettings(VoteSettings(2, 4), cooldown=4.0, absence=1.5, unknown=True)
)


class Staff:
    """A list of a few templates, compared one by one; the cosine is one that a person typed in."""

    def __init__(self, people: dict[str, ln.Template], name: str = "staff") -> None:
        self.name = name
        self.people = people
        self.threshold = Threshold.typed_in(0.45, next(iter(people.values())).model)

    def identify(self, templates: Templates, /) -> Sequence[Sequence[Candidate]]:
        return [
            [
                Candidate(subject, template.similarity(other), 1, 1, self.name)
                for subject, other in self.people.items()
            ]
            for template in templates
        ]


@pytest.fixture(scope="module")
def recognizer() -> ln.Recognizer:
    return ln.Recognizer()


def head(recognizer: ln.Recognizer, pixels: np.ndarray, side: int = 160) -> np.ndarray:
    """The head of the one face of a picture, with some room around it, as a square."""
    (face,) = recognizer.analyze(pixels, colour="rgb")
    x, y = (face.box[0] + face.box[2]) / 2, (face.box[1] + face.box[3]) / 2
    half = 0.8 * max(face.width, face.height)
    x1, y1 = max(0, round(float(x - half))), max(0, round(float(y - half)))
    part = pixels[y1 : round(float(y + half)), x1 : round(float(x + half))]
    return cv2.resize(part, (side, side), interpolation=cv2.INTER_AREA)


def stage(*placed: tuple[np.ndarray, float]) -> np.ndarray:
    """A grey room with heads at places given by their left edge, the last in front; parts outside are cut."""
    pixels = np.full((*SIZE, 3), 128, np.uint8)
    for tile, x in placed:
        left, side = round(x), tile.shape[0]
        a, b = max(0, left), min(SIZE[1], left + side)
        if a < b:
            pixels[40 : 40 + side, a:b] = tile[:, a - left : b - left]
    return pixels


def film(path: Path, frames: Sequence[np.ndarray], codec: str = "MJPG") -> Path:
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*codec), FPS, SIZE[::-1])
    assert writer.isOpened()
    for pixels in frames:
        writer.write(cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
    writer.release()
    return path


def watch(
    recognizer: ln.Recognizer, video: Path, alerts: Path, staff: Staff, settings: WatchSettings = SETTINGS
) -> tuple[list[Alert], Statistics]:
    with AlertFile(alerts) as sink, open_frames(video) as frames:
        watching = Watch(
            frames,
            recognizer.inspect,
            [staff],
            sink,
            detector=recognizer.parts().detector.name,
            alignment=recognizer.alignment,
            settings=settings,
        )
        return list(watching.run()), watching.statistics


def visit(tile: np.ndarray) -> list[np.ndarray]:
    """Empty; somebody walks in, stays, and walks out to the other side; empty; the same comes back."""
    walk = [stage((tile, x)) for x in (-160, -40, 60, 160, 160, 200, 300, 420)]
    return [stage()] * 3 + walk + [stage()] * 12 + walk[:5] + [stage()] * 9


def test_somebody_comes_goes_and_comes_back(recognizer: ln.Recognizer, astronaut: np.ndarray, tmp_path: Path):
    tile = head(recognizer, astronaut)
    eileen = recognizer.analyze(astronaut, colour="rgb")[0].template
    assert eileen is not None
    video = film(tmp_path / "door.avi", visit(tile))
    alerts, statistics = watch(recognizer, video, tmp_path / "alerts.jsonl", Staff({"eileen": eileen}))
    # The second entry comes within the cool-down of 4 s after the first exit, and is not told of.
    assert [(a.kind, a.subject) for a in alerts] == [("enter", "eileen"), ("exit", "eileen")]
    enter, leave = alerts
    assert enter.similarity is not None
    assert enter.similarity > 0.6
    assert enter.threshold is not None
    assert enter.threshold["value"] == 0.45
    assert enter.provenance["detector"] == recognizer.parts().detector.name
    assert 3 <= enter.frame <= 8
    assert leave.last_seen < leave.moment
    assert statistics.frames == 37
    assert statistics.searched <= statistics.faces

    # Without a cool-down the second visit is a second entry.
    eager = WatchSettings(SETTINGS.tracks, EventSettings(VoteSettings(2, 4), cooldown=0.0, absence=1.5))
    more, _ = watch(recognizer, video, tmp_path / "eager.jsonl", Staff({"eileen": eileen}), eager)
    assert [a.kind for a in more] == ["enter", "exit", "enter", "exit"]


def test_the_evidence_gives_the_similarity_again(
    recognizer: ln.Recognizer, astronaut: np.ndarray, tmp_path: Path
):
    eileen = recognizer.analyze(astronaut, colour="rgb")[0].template
    assert eileen is not None
    video = film(tmp_path / "door.avi", visit(head(recognizer, astronaut))[:15])
    alerts, _ = watch(recognizer, video, tmp_path / "alerts.jsonl", Staff({"eileen": eileen}))
    enter = alerts[0]
    assert enter.evidence is not None
    pixels = cv2.cvtColor(cv2.imread(str(tmp_path / enter.evidence)), cv2.COLOR_BGR2RGB)
    (again,) = recognizer.embed_aligned(pixels[None])
    assert again.similarity(eileen) == pytest.approx(enter.similarity, abs=1e-4)
    (frame,) = [f for f in open_frames(video) if f.index == enter.evidence_frame]
    (seen,) = recognizer.analyze(frame.pixels, colour="rgb")
    assert seen.template is not None
    assert seen.template.similarity(again) == pytest.approx(1.0, abs=1e-4)


def test_a_second_run_says_nothing_new(recognizer: ln.Recognizer, astronaut: np.ndarray, tmp_path: Path):
    eileen = recognizer.analyze(astronaut, colour="rgb")[0].template
    assert eileen is not None
    video = film(tmp_path / "door.mp4", visit(head(recognizer, astronaut))[:20], "mp4v")
    path = tmp_path / "alerts.jsonl"
    first, _ = watch(recognizer, video, path, Staff({"eileen": eileen}))
    assert first
    again, statistics = watch(recognizer, video, path, Staff({"eileen": eileen}))
    assert again == []
    assert statistics.kept_before == len(first)
    assert len(path.read_text().splitlines()) == len(first)


@pytest.mark.parametrize("codec", ["FFV1", "png "])
def test_a_video_frame_gives_the_very_template_of_the_picture(
    recognizer: ln.Recognizer, astronaut: np.ndarray, tmp_path: Path, codec: str
):
    """Red and blue are not mixed up anywhere between the file and the network."""
    path = tmp_path / "a.mkv"
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*codec), FPS, (512, 512))
    if not writer.isOpened():
        pytest.skip(f"this build of OpenCV writes no {codec}")
    writer.write(cv2.cvtColor(astronaut, cv2.COLOR_RGB2BGR))
    writer.release()
    (frame,) = open_frames(path)
    picture = recognizer.analyze(astronaut, colour="rgb")[0].template
    video = recognizer.analyze(frame.pixels, colour="rgb")[0].template
    assert picture is not None
    assert video is not None
    assert picture.similarity(video) > 0.9999


People = tuple[list[np.ndarray], list[ln.Template]]


@pytest.fixture(scope="module")
def people(recognizer: ln.Recognizer, shared: Path) -> People:
    """Heads and templates of the first two portraits that are large, frontal and unlike each other."""
    tiles: list[np.ndarray] = []
    templates: list[ln.Template] = []
    for path in sorted((shared / "fixtures/images/cc0").glob("*.jpg")):
        faces = recognizer.analyze(path)
        if len(faces) != 1 or not 85 < faces[0].width < 130 or faces[0].quality is None:
            continue
        template = faces[0].template
        if template is None or abs(faces[0].quality["yaw"]) > 20:
            continue
        if all(template.similarity(other) < 0.2 for other in templates):
            pixels = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
            tiles.append(head(recognizer, pixels))
            templates.append(template)
        if len(tiles) == 2:
            return tiles, templates
    raise AssertionError("the portraits are not the ones this test was written for")


def crossing(tiles: list[np.ndarray]) -> list[np.ndarray]:
    """The one walks to the right, the other to the left in front of them."""
    return [stage((tiles[0], 320.0 * k / 15), (tiles[1], 320.0 - 320.0 * k / 15)) for k in range(16)]


def tracks_of(recognizer: ln.Recognizer, frames: Sequence[np.ndarray], people: People, by_face: bool):
    """For each person, the tracks that their face was on, by the template of each face."""
    tracks, on = Tracks(), [set[int](), set[int]()]
    for k, pixels in enumerate(frames):
        faces = recognizer.analyze(pixels, colour="rgb")
        assert faces.templates is not None
        vectors = faces.templates.vectors
        usable = np.full(len(faces), by_face)
        step = follow(tracks, faces.boxes, vectors, usable, k / FPS, TrackSettings(gap=1.0))
        for vector, number in zip(vectors, step.ids.tolist(), strict=True):
            likeness = [float(vector @ person.vector) for person in people[1]]
            if max(likeness) > 0.5:
                on[int(np.argmax(likeness))].add(number)
        tracks = step.tracks
    return on


def test_tracks_of_people_who_cross(recognizer: ln.Recognizer, people: People):
    """Each keeps one track all the way; by boxes alone they would not."""
    frames = crossing(people[0])
    first, second = tracks_of(recognizer, frames, people, by_face=True)
    assert len(first) == len(second) == 1
    assert first != second
    one, other = tracks_of(recognizer, frames, people, by_face=False)
    assert one & other or len(one) > 1 or len(other) > 1


def test_two_people_cross(recognizer: ln.Recognizer, people: People, tmp_path: Path):
    tiles, templates = people
    video = film(tmp_path / "hall.avi", crossing(tiles))
    staff = Staff(dict(zip(("first", "second"), templates, strict=True)))
    alerts, _ = watch(recognizer, video, tmp_path / "alerts.jsonl", staff)
    assert sorted((a.kind, str(a.subject)) for a in alerts) == [
        ("enter", "first"),
        ("enter", "second"),
        ("stopped", "first"),
        ("stopped", "second"),
    ]
    tracks = {a.subject: a.track for a in alerts if a.kind == "enter"}
    assert len(set(tracks.values())) == 2


def test_a_stranger_beside_a_member_of_staff(recognizer: ln.Recognizer, people: People, tmp_path: Path):
    tiles, templates = people
    video = film(tmp_path / "hall.avi", crossing(tiles))
    alerts, _ = watch(recognizer, video, tmp_path / "alerts.jsonl", Staff({"first": templates[0]}))
    kinds = sorted((a.kind, a.subject or "") for a in alerts)
    assert kinds == [("enter", "first"), ("stopped", "first"), ("unknown", "")]
    quiet = WatchSettings(SETTINGS.tracks, EventSettings(VoteSettings(2, 4), absence=1.5))
    alerts, _ = watch(recognizer, video, tmp_path / "quiet.jsonl", Staff({"first": templates[0]}), quiet)
    assert sorted(a.kind for a in alerts) == ["enter", "stopped"]


def test_ctrl_c_in_the_middle_of_a_video(recognizer: ln.Recognizer, astronaut: np.ndarray, tmp_path: Path):
    """A real SIGINT, while the networks are at work."""
    import signal
    import threading

    eileen = recognizer.analyze(astronaut, colour="rgb")[0].template
    assert eileen is not None
    tile = head(recognizer, astronaut)
    video = film(tmp_path / "door.avi", [stage((tile, 100.0 + k % 5)) for k in range(200)])
    path = tmp_path / "alerts.jsonl"

    def strike() -> None:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    with AlertFile(path) as sink, open_frames(video) as frames:
        watching = Watch(frames, recognizer.inspect, [Staff({"eileen": eileen})], sink, settings=SETTINGS)
        kinds = []
        for alert in watching.run():
            kinds.append(alert.kind)
            if alert.kind == "enter":
                threading.Timer(0.15, strike).start()
    assert kinds == ["enter", "stopped"]
    assert watching.statistics.interrupted
    assert watching.statistics.frames < 200
    assert [json.loads(line)["kind"] for line in path.read_text().splitlines()] == kinds

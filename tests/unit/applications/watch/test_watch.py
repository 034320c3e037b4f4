"""Watching from frames to alerts, with faces that a script shows: whole runs, restarts, interruptions."""

import datetime
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from lineament.applications.watch.alert_file import AlertFile
from lineament.applications.watch.alerts import Alert, Evidence
from lineament.applications.watch.book import WatchSettings
from lineament.applications.watch.events import EventSettings
from lineament.applications.watch.ports import ReadFaces, Reading, WatchedList
from lineament.applications.watch.votes import VoteSettings
from lineament.applications.watch.watch import Watch
from lineament.core.candidate import Candidate
from lineament.core.crop import Crops
from lineament.core.errors import ImageUnreadable, InvalidArgument, OutputFailed, TemplateMismatch
from lineament.core.faces import Faces
from lineament.core.image import Image
from lineament.core.template import ModelId, Templates
from lineament.core.threshold import Threshold
from lineament.pipeline.frame import Frame, FrameSource
from lineament.vision.track import TrackSettings

MODEL = ModelId("m", "1" * 64)
NOON = datetime.datetime(2026, 11, 25, 12, tzinfo=datetime.UTC)
PEOPLE = {name: np.eye(8)[k] for k, name in enumerate(("anna", "ben", "carl", "dora"))}

Shown = dict[str, float]
"""Who is in a frame, and where: person and the left edge of their face, pixels."""


class Script:
    """Frames that show certain people at certain moments; a source of frames."""

    def __init__(
        self,
        shown: Sequence[tuple[float, Shown]],
        *,
        live: bool = False,
        name: str = "door",
        identity: str = "x",
        sessions: dict[int, int] | None = None,
        end: BaseException | None = None,
    ) -> None:
        self.shown = list(shown)
        self.live = live
        self.name = name
        self.identity = "" if live else identity
        self.state = "opened"
        self.dropped = self.unreadable = self.reconnects = 0
        self.incomplete = False
        self.sessions = sessions or {}
        self.end = end
        self.closed = False

    def __iter__(self) -> Iterator[Frame]:
        start = self.shown[0][0]
        for k, (moment, _) in enumerate(self.shown):
            # The frame's number is written into its first pixel, for `read`.
            pixels = np.full((40, 60, 3), k % 256, np.uint8)
            time = NOON + datetime.timedelta(seconds=moment)
            yield Frame(k, moment - start, time, pixels, self.sessions.get(k, 0))
        if self.end is not None:
            raise self.end

    def close(self) -> None:
        self.closed = True
        self.state = "ended"

    def read(self, source: Image, /) -> "Faces_":
        shown = self.shown[int(source.pixels[0, 0, 0])][1]
        n = len(shown)
        boxes = np.array([[x, 0, x + 112, 112] for x in shown.values()], np.float32).reshape(-1, 4)
        vectors = np.array([PEOPLE[who] for who in shown], np.float64).reshape(-1, 8)
        crops = np.array([np.full((8, 8, 3), 10 * k, np.uint8) for k in range(n)], np.uint8)
        faces = Faces(
            boxes,
            np.zeros((n, 5, 2), np.float32),
            np.full(n, 0.9, np.float32),
            templates=Templates.from_raw(vectors, MODEL),
        )
        return Faces_(faces, Crops(crops.reshape(-1, 8, 8, 3), np.zeros((n, 2, 3))))


@dataclass(frozen=True)
class Faces_:
    faces: Faces
    crops: Crops | None


class List:
    """A list of some of the people."""

    def __init__(
        self, name: str = "staff", subjects: Sequence[str] = ("anna", "ben"), model: ModelId = MODEL
    ):
        self.name = name
        self.subjects = subjects
        self.threshold = Threshold.typed_in(0.4, model)
        self.lose = 0

    def identify(self, templates: Templates, /) -> list[list[Candidate]]:
        found = []
        for vector in templates.vectors:
            near = {s: float(vector @ PEOPLE[s]) for s in self.subjects}
            ranked = sorted(near.items(), key=lambda item: -item[1])
            found.append([Candidate(s, c, k + 1, k, self.name) for k, (s, c) in enumerate(ranked)])
        return found[self.lose :]


SETTINGS = WatchSettings(
    TrackSettings(gap=1.0),
    EventSettings(VoteSettings(2, 3), cooldown=10.0, absence=2.0, unknown=False),
    quality=None,
)


def stay(who: Shown, first: float, last: float, every: float = 0.5) -> list[tuple[float, Shown]]:
    count = round((last - first) / every)
    return [(first + every * k, who) for k in range(count + 1)]


def watch(script: Script, path: Path, lists: Sequence[List] | None = None, **changes: object):
    """Alerts of a whole run as (kind, subject, frame), and the watch."""
    with AlertFile(path) as sink:
        watching = Watch(
            script,
            script.read,
            lists or [List()],
            sink,
            detector="scripted",
            settings=replace(SETTINGS, **changes),  # type: ignore[arg-type]  (as named)
        )
        return [(a.kind, a.subject, a.frame) for a in watching.run()], watching


def kept(path: Path) -> list[Alert]:
    return [Alert.from_dict(json.loads(line)) for line in path.read_text().splitlines()]


VISIT = [*stay({}, 0.0, 1.0), *stay({"anna": 5.0}, 1.5, 4.0), *stay({}, 4.5, 8.0)]


def test_the_promises_are_kept_by_the_script_and_by_the_real_thing():
    script = Script(VISIT)
    assert isinstance(script, FrameSource)
    assert isinstance(script.read, ReadFaces)
    assert isinstance(List(), WatchedList)
    assert isinstance(script.read(Image(np.zeros((4, 4, 3), np.uint8))), Reading)


def test_somebody_comes_and_goes(tmp_path: Path):
    path = tmp_path / "alerts.jsonl"
    events, watching = watch(Script(VISIT), path)
    assert events == [("enter", "anna", 4), ("exit", "anna", 12)]
    enter, leave = kept(path)
    assert (enter.at, enter.moment, enter.began) == ("2026-11-25T12:00:02.000Z", 2.0, 1.5)
    assert enter.similarity == pytest.approx(1.0)
    assert enter.votes is not None
    assert (enter.votes.agreeing, enter.votes.of, enter.votes.needed) == (2, 2, 2)
    assert enter.model == {"name": "m", "digest": "1" * 64}
    assert enter.provenance["detector"] == "scripted"
    assert enter.evidence is not None
    assert (tmp_path / enter.evidence).is_file()
    assert (leave.last_seen, leave.similarity, leave.evidence) == (4.0, None, None)
    statistics = watching.statistics
    assert (statistics.frames, statistics.faces, statistics.searched) == (17, 6, 6)
    assert (statistics.alerts, statistics.kept_before, statistics.state) == (2, 0, "ended")


def test_a_second_run_over_a_recording_finds_the_same_and_keeps_nothing_twice(tmp_path: Path):
    path = tmp_path / "alerts.jsonl"
    watch(Script(VISIT), path)
    before = path.read_bytes()
    events, watching = watch(Script(VISIT), path)
    assert events == []
    assert watching.statistics.kept_before == 2
    assert path.read_bytes() == before
    # Another recording of that name is another recording.
    again, _ = watch(Script(VISIT, identity="y"), path)
    assert len(again) == 2


def test_who_is_there_at_the_end_is_said_to_be(tmp_path: Path):
    script = Script(stay({"anna": 5.0}, 0.0, 2.0))
    events, watching = watch(script, tmp_path / "a.jsonl")
    assert events == [("enter", "anna", 1), ("stopped", "anna", 4)]
    assert not watching.statistics.interrupted
    assert script.closed


def test_ctrl_c_ends_cleanly(tmp_path: Path):
    script = Script(stay({"anna": 5.0}, 0.0, 2.0), end=KeyboardInterrupt())
    events, watching = watch(script, tmp_path / "a.jsonl")
    assert events[-1] == ("stopped", "anna", 4)
    assert watching.statistics.interrupted
    assert script.closed


def test_whoever_stops_listening_loses_nothing(tmp_path: Path):
    path = tmp_path / "a.jsonl"
    script = Script(stay({"anna": 5.0}, 0.0, 2.0))
    with AlertFile(path) as sink, Watch(script, script.read, [List()], sink, settings=SETTINGS) as watching:
        for alert in watching.run():
            assert alert.kind == "enter"
            break
    assert [a.kind for a in kept(path)] == ["enter", "stopped"]
    assert script.closed


def test_a_source_that_fails_is_an_error_after_everything_is_kept(tmp_path: Path):
    path = tmp_path / "a.jsonl"
    script = Script(stay({"anna": 5.0}, 0.0, 2.0), end=ImageUnreadable("broken"))
    with pytest.raises(ImageUnreadable):
        watch(script, path)
    assert [a.kind for a in kept(path)] == ["enter", "stopped"]


def test_two_people_cross_and_each_enters_once(tmp_path: Path):
    crossing = [
        (
            0.2 * k,
            {"anna": 30.0 * k, "ben": 300.0 - 30.0 * k}
            if k % 2
            else {"ben": 300.0 - 30.0 * k, "anna": 30.0 * k},
        )
        for k in range(11)
    ]
    path = tmp_path / "a.jsonl"
    events, _ = watch(Script(crossing), path)
    assert sorted(e[:2] for e in events if e[0] == "enter") == [("enter", "anna"), ("enter", "ben")]
    assert {a.track for a in kept(path)} == {1, 2}


def test_several_lists_are_watched_for_at_once(tmp_path: Path):
    path = tmp_path / "a.jsonl"
    lists = [List("staff"), List("visitors", ("carl",)), List("both", ("anna", "carl"))]
    watch(Script(stay({"anna": 0.0, "carl": 300.0}, 0.0, 3.0)), path, lists)
    entries = sorted((a.watchlist, a.subject) for a in kept(path) if a.kind == "enter")
    assert entries == [("both", "anna"), ("both", "carl"), ("staff", "anna"), ("visitors", "carl")]


def test_a_stranger_whose_track_breaks_is_told_of_once(tmp_path: Path):
    frames = [*stay({"dora": 0.0}, 0.0, 2.0), *stay({}, 2.5, 5.0), *stay({"dora": 900.0}, 5.5, 8.0)]
    two = [*frames, *stay({"carl": 0.0}, 8.5, 9.5)]
    events = replace(SETTINGS.events, unknown=True)
    told, _ = watch(Script(frames), tmp_path / "a.jsonl", events=events)
    assert [e[0] for e in told] == ["unknown"]
    told, _ = watch(Script(two), tmp_path / "b.jsonl", events=events)
    assert [e[0] for e in told] == ["unknown", "unknown"]


def test_a_margin_that_the_second_best_spoils(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(PEOPLE, "twin", np.array([0.95, 0, 0, 0, 0, 0, 0, np.sqrt(1 - 0.95**2)]))
    script = Script(stay({"anna": 0.0}, 0.0, 3.0))
    strict = replace(SETTINGS.events, votes=VoteSettings(2, 3, margin=0.1))
    told, _ = watch(script, tmp_path / "a.jsonl", [List(subjects=("anna", "twin"))], events=strict)
    assert told == []
    told, _ = watch(script, tmp_path / "b.jsonl", [List(subjects=("anna", "twin"))])
    assert told[0][:2] == ("enter", "anna")


class Crash(BaseException):
    """The process is gone: nothing is tidied up."""


def test_a_live_source_goes_on_after_a_crash(tmp_path: Path):
    """Killed while Anna stands there; started again; she goes on standing there, and then leaves."""
    path = tmp_path / "a.jsonl"
    first = Script(stay({"anna": 0.0}, 0.0, 3.0), live=True)
    with AlertFile(path) as sink:
        watching = Watch(first, first.read, [List()], sink, settings=SETTINGS)
        alerts = watching.run()
        assert next(alerts).kind == "enter"
        # As after kill -9: the generator is never asked again, and its last words are not heard.
        watching._sink = _Deaf()  # type: ignore[assignment]  (the process is gone)
        watching.close()
    assert [a.kind for a in kept(path)] == ["enter"]
    second = Script([*stay({"anna": 0.0}, 60.0, 62.0), *stay({}, 62.5, 66.0)], live=True)
    events, _ = watch(second, path)
    assert [e[:2] for e in events] == [("exit", "anna")]
    enter, leave = kept(path)
    assert (enter.began, enter.track) == (leave.began, leave.track)


class _Deaf:
    def store(self, alert: Alert, evidence: Evidence | None) -> Alert | None:
        return None

    def latest(self, source: str, watchlist: str) -> tuple[Alert, ...]:
        return ()

    def close(self) -> None:
        return None


def test_a_stream_that_was_lost_is_no_absence(tmp_path: Path):
    """Anna stands there before and after half a minute without a picture."""
    frames = [*stay({"anna": 0.0}, 0.0, 2.0), *stay({"anna": 0.0}, 32.0, 34.0)]
    script = Script(frames, live=True, sessions=dict.fromkeys(range(5, 10), 1))
    events, _ = watch(script, tmp_path / "a.jsonl")
    assert [e[:2] for e in events] == [("enter", "anna"), ("stopped", "anna")]
    held = Script(frames, live=True)
    events, _ = watch(held, tmp_path / "b.jsonl")
    assert [e[0] for e in events][:2] == ["enter", "exit"]


def test_a_clock_that_is_set_back_changes_nothing_for_a_live_source(tmp_path: Path):
    class SetBack(Script):
        def __iter__(self) -> Iterator[Frame]:
            for frame in super().__iter__():
                hours = datetime.timedelta(hours=frame.index)
                yield replace(frame, time=frame.time - hours)

    events, _ = watch(SetBack(VISIT, live=True), tmp_path / "a.jsonl")
    assert events == [("enter", "anna", 4), ("exit", "anna", 12)]


def test_frames_out_of_order_are_left_out(tmp_path: Path):
    class Shuffled(Script):
        def __iter__(self) -> Iterator[Frame]:
            frames = list(super().__iter__())
            yield from (f for k in range(0, len(frames) - 1, 2) for f in (frames[k + 1], frames[k]))

    events, watching = watch(Shuffled(VISIT), tmp_path / "a.jsonl")
    assert [e[:2] for e in events] == [("enter", "anna"), ("exit", "anna")]
    assert watching.statistics.late == 8


def test_an_alert_that_cannot_be_kept_is_an_error_and_is_not_lost(tmp_path: Path):
    path = tmp_path / "a.jsonl"

    class Full(AlertFile):
        fails = 1

        def store(self, alert: Alert, evidence: Evidence | None) -> Alert | None:
            if self.fails:
                self.fails -= 1
                raise OutputFailed("the disk is full")
            return super().store(alert, evidence)

    script = Script(stay({"anna": 0.0}, 0.0, 3.0))
    with Full(path) as sink, pytest.raises(OutputFailed):
        for _ in Watch(script, script.read, [List()], sink, settings=SETTINGS).run():
            pass
    # There was room again for the last words: the entry that had failed, and that the watching stopped.
    assert [(a.kind, a.subject) for a in kept(path)] == [("enter", "anna"), ("stopped", "anna")]


def test_ctrl_c_at_any_place_keeps_each_alert_once_and_every_entry_has_an_end(tmp_path: Path):
    """A signal at the n-th line of this package's code, for many n, and again the whole recording."""
    visit = [*stay({"anna": 5.0}, 0.0, 1.0), *stay({}, 2.0, 4.0, every=2.0)]
    watch(Script(visit), tmp_path / "whole.jsonl")
    every_id = {a.id for a in kept(tmp_path / "whole.jsonl")}
    number, struck = 0, True
    while struck:
        path, count, struck = tmp_path / f"{number}.jsonl", 0, False

        def strike(frame: object, event: str, argument: object, limit: int = number) -> object:
            nonlocal count, struck
            name = frame.f_code.co_filename  # type: ignore[attr-defined]  (a frame of the interpreter)
            if (
                event == "line"
                and ("/applications/watch/" in name or name.endswith("track.py"))
                and "test_" not in name
            ):
                count += 1
                if count > limit and frame.f_code.co_name not in ("close", "__exit__"):  # type: ignore[attr-defined]
                    sys.settrace(None)
                    struck = True
                    raise KeyboardInterrupt
            return strike

        script = Script(visit)
        with AlertFile(path, evidence=False) as sink:
            watching = Watch(script, script.read, [List()], sink, settings=SETTINGS)
            try:
                with watching:
                    sys.settrace(strike)
                    for _ in watching.run():
                        pass
            except KeyboardInterrupt:
                pass
            finally:
                sys.settrace(None)
        kinds = [a.kind for a in kept(path)]
        assert kinds in ([], ["enter", "stopped"], ["enter", "exit"]), (number, kinds)
        watch(Script(visit), path)
        ids = [a.id for a in kept(path)]
        assert len(set(ids)) == len(ids)
        assert set(ids) >= every_id
        number += 47
    assert number > 400


def test_what_cannot_be_watched_is_refused(tmp_path: Path):
    script = Script(stay({"anna": 0.0}, 0.0, 1.0))
    with AlertFile(tmp_path / "a.jsonl") as sink:
        for lists in ([], [List(), List()]):
            with pytest.raises(InvalidArgument, match="one or more lists"):
                Watch(script, script.read, lists, sink)
    with pytest.raises(TemplateMismatch):
        watch(script, tmp_path / "b.jsonl", [List(model=ModelId("other", "2" * 64))])
    short = List()
    short.lose = 1
    with pytest.raises(InvalidArgument, match="one answer each"):
        watch(script, tmp_path / "c.jsonl", [short])
    with pytest.raises(InvalidArgument, match="must not be the longer"):
        WatchSettings(TrackSettings(gap=6.0))

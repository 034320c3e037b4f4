"""From votes to events: entering, leaving, cool-down, strangers, restarts, clocks that are set back."""

import pytest

from lineament.applications.watch.alerts import event_id
from lineament.applications.watch.events import (
    Event,
    EventSettings,
    Known,
    Past,
    Sighting,
    excused,
    resumed,
    step,
    stopped,
)
from lineament.applications.watch.strangers import Strangers
from lineament.applications.watch.votes import Vote, VoteSettings
from lineament.core.errors import InvalidArgument

S = EventSettings(VoteSettings(3, 5), cooldown=60.0, absence=5.0, unknown=True)


class Door:
    """A watching of one list, frame by frame."""

    def __init__(self, settings: EventSettings = S, known: Known | None = None) -> None:
        self.settings = settings
        self.known = known or Known()
        self.frame = -1
        self.began: dict[int, float] = {}

    def sees(self, now: float, *ended: int, **tracks: str | None) -> list[tuple[str, str | None]]:
        return [(e.kind, e.subject) for e in self.events(now, *ended, **tracks)]

    def events(self, now: float, *ended: int, **tracks: str | None) -> tuple[Event, ...]:
        """Tracks by number: `t1="anna"`, `t1="?"` for a stranger, `t1=None` for a face that says nothing."""
        self.frame += 1
        sightings = []
        for name, subject in tracks.items():
            number = int(name[1:])
            began = self.began.setdefault(number, max(now, self.known.now))
            vote = None
            if subject is not None:
                stranger = subject == "?"
                vote = Vote(self.frame, None if stranger else subject, stranger, 0.5, None, 1.0)
            sightings.append(Sighting(number, began, vote))
        self.known, events = step(self.known, now, self.frame, sightings, self.settings, ended)
        return events


def entered(door: Door, now: float, track: str = "t1", subject: str = "anna") -> list[tuple[str, str | None]]:
    """Three frames of one person."""
    return [e for k in range(3) for e in door.sees(now + 0.2 * k, **{track: subject})]


def test_an_entry_needs_its_votes():
    door = Door()
    assert door.sees(0.0, t1="anna") == []
    assert door.sees(0.2, t1="anna") == []
    assert door.sees(0.4, t1="anna") == [("enter", "anna")]
    assert door.sees(0.6, t1="anna") == []


def test_who_is_not_seen_has_left():
    door = Door()
    entered(door, 0.0)
    assert door.sees(5.3) == []
    assert door.sees(5.4) == [("exit", "anna")]
    assert door.sees(9.0) == []


def test_a_turned_face_on_the_same_track_is_still_seen():
    door = Door()
    entered(door, 0.0)
    for k in range(100):
        assert door.sees(1.0 + k, t1=None) == []


def test_the_cool_down_says_nothing_and_then_the_truth():
    door = Door()
    entered(door, 0.0)
    assert door.sees(6.0) == [("exit", "anna")]
    assert entered(door, 10.0, "t2") == []
    # Still there when the cool-down of 60 s after the exit is over.
    assert [door.sees(11.0 + k, t2="anna") for k in range(54)] == [[]] * 54
    assert door.sees(65.9, t2="anna") == []
    assert door.sees(66.0, t2="anna") == [("enter", "anna")]


def test_after_a_silent_return_nobody_leaves_who_did_not_enter():
    door = Door()
    entered(door, 0.0)
    door.sees(6.0)
    assert entered(door, 10.0, "t2") == []
    assert door.sees(30.0) == []


def test_one_person_on_two_tracks_enters_once():
    door = Door()
    events = [e for k in range(5) for e in door.sees(0.2 * k, t1="anna", t2="anna")]
    assert events == [("enter", "anna")]


def test_two_people_enter_in_one_frame():
    door = Door()
    events = [e for k in range(3) for e in door.sees(0.2 * k, t1="anna", t2="ben")]
    assert events == [("enter", "anna"), ("enter", "ben")]


def test_a_track_that_became_somebody_else_s():
    """The tracker took Ben for Anna: votes put it right, and Anna leaves."""
    door = Door()
    entered(door, 0.0)
    events = [e for k in range(40) for e in door.sees(1.0 + 0.2 * k, t1="ben")]
    assert events == [("enter", "ben"), ("exit", "anna")]


def test_a_stranger_is_told_of_once_and_only_when_asked():
    door = Door()
    assert entered(door, 0.0, "t1", "?") == [("unknown", None)]
    assert entered(door, 1.0, "t1", "?") == []
    assert entered(Door(EventSettings(S.votes)), 0.0, "t1", "?") == []


def test_who_was_known_is_no_stranger_afterwards():
    door = Door()
    entered(door, 0.0)
    assert [e for k in range(10) for e in door.sees(1.0 + 0.2 * k, t1="?")] == []


def test_a_stranger_may_turn_out_to_be_somebody():
    door = Door()
    entered(door, 0.0, "t1", "?")
    assert [e for k in range(5) for e in door.sees(1.0 + 0.2 * k, t1="anna")] == [("enter", "anna")]


def test_a_stranger_met_on_another_track_is_not_told_of_again():
    known, events = Known(), []
    for k in range(6):
        vote = Vote(k, None, True, None, None, 1.0)
        known, more = step(known, 0.2 * k, k, [Sighting(7, 0.0, vote, met=k == 2)], S)
        events += more
    assert events == []


def test_two_strangers_of_one_frame_are_two_events():
    door = Door()
    events = [e for k in range(3) for e in door.events(0.2 * k, t1="?", t2="?")]
    assert len({event_id("door", "", "staff", e) for e in events}) == 2


def test_strangers_are_forgotten_after_a_while():
    import numpy as np

    one, other = np.eye(2, dtype=np.float32)
    met = Strangers().and_one(10.0, one)
    assert met.knows(one, 0.9)
    assert not met.knows(other, 0.9)
    assert met.since(9.9).knows(one, 0.9)
    assert not met.since(10.0).knows(one, 0.9)


def test_a_clock_that_goes_back_stands_still():
    door = Door()
    entered(door, 1000.0)
    assert door.sees(3.0) == []
    assert door.sees(-1e6, t1="anna") == []
    assert door.known.now == 1000.4
    assert door.sees(1005.4) == [("exit", "anna")]


def test_a_gap_without_frames_is_no_absence_when_excused():
    door = Door()
    entered(door, 0.0)
    door.known = excused(door.known, 100.0)
    assert door.sees(100.0) == []
    assert entered(door, 101.0, "t2") == []
    gone = Door()
    entered(gone, 0.0)
    gone.known = excused(gone.known, 100.0)
    assert gone.sees(104.9) == []
    assert gone.sees(105.0) == [("exit", "anna")]


def test_watching_that_ends_says_who_was_there():
    door = Door()
    entered(door, 0.0)
    known, events = stopped(door.known)
    assert [(e.kind, e.subject) for e in events] == [("stopped", "anna")]
    assert stopped(known)[1] == ()


def past(kind: str, moment: float) -> Past:
    return Past("anna", kind, moment, 4, 99.0, 0)  # type: ignore[arg-type]  (a text here)


def test_who_was_there_before_a_crash_has_not_come_again():
    door = Door(known=resumed([past("enter", 100.0)], 130.0))
    assert entered(door, 130.2) == []
    gone = door.events(140.0)
    assert [(e.kind, e.subject, e.track, e.began) for e in gone] == [("exit", "anna", 4, 99.0)]


def test_who_left_during_a_crash_has_left():
    door = Door(known=resumed([past("enter", 100.0)], 130.0))
    assert door.sees(134.9) == []
    assert door.sees(135.0) == [("exit", "anna")]


def test_the_cool_down_outlives_a_restart():
    for kind in ("exit", "stopped"):
        door = Door(known=resumed([past(kind, 100.0)], 110.0))
        assert entered(door, 110.0) == []
        assert door.sees(159.9, t1="anna") == []
        assert door.sees(160.0, t1="anna") == [("enter", "anna")]


def test_a_clock_set_back_between_two_runs_does_not_silence_for_ever():
    door = Door(known=resumed([past("exit", 1e9)], 110.0))
    assert door.sees(110.0, t1="anna") == []
    assert [e for k in range(4) for e in door.sees(170.0 + k, t1="anna")] == [("enter", "anna")]


def test_a_second_visit_on_tracks_of_one_beginning_has_its_own_id():
    """Two tracks began in one frame; Anna is found on the one, leaves, and is found on the other."""
    door = Door(EventSettings(VoteSettings(1, 1), cooldown=0.0, absence=1.0))
    first = door.events(0.0, t1="anna", t2=None)
    left = door.events(2.0, 1, t2=None)
    second = door.events(3.0, t2="anna")
    assert [e.kind for e in (*first, *left, *second)] == ["enter", "exit", "enter"]
    ids = {event_id("door", "", "staff", e) for e in (*first, *left, *second)}
    assert len(ids) == 3


def test_the_id_is_of_what_happened_and_of_nothing_else():
    event = Event("enter", "anna", 5.0, 9, 3, 4.2, 0, 5.0)
    name = event_id("door", "", "staff", event)
    # Frozen: files of alerts hold ids, and a second run must find the same ones.
    assert name == "fc69ded86e0b94d7b207305f6fe56691"
    later = Event("enter", "anna", 6.0, 10, 7, 4.2, 0, 6.0)
    assert event_id("door", "", "staff", later) == name
    others = [
        event_id("gate", "", "staff", event),
        event_id("door", "x", "staff", event),
        event_id("door", "", "guests", event),
        event_id("door", "", "staff", Event("exit", "anna", 5.0, 9, 3, 4.2, 0, 5.0)),
        event_id("door", "", "staff", Event("enter", "ben", 5.0, 9, 3, 4.2, 0, 5.0)),
        event_id("door", "", "staff", Event("enter", "anna", 5.0, 9, 3, 4.3, 0, 5.0)),
        event_id("door", "", "staff", Event("enter", "anna", 5.0, 9, 3, 4.2, 1, 5.0)),
    ]
    assert len({name, *others}) == 8


def test_what_cannot_be_is_refused():
    with pytest.raises(InvalidArgument, match="twice"):
        step(Known(), 0.0, 0, [Sighting(1, 0.0), Sighting(1, 0.0)], S)
    with pytest.raises(InvalidArgument, match="moment"):
        step(Known(), float("nan"), 0, [], S)
    with pytest.raises(InvalidArgument, match="absence"):
        EventSettings(absence=0.0)
    with pytest.raises(InvalidArgument, match="cooldown"):
        EventSettings(cooldown=float("inf"))

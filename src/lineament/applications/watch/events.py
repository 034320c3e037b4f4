"""Who came, who left: from votes to events, exactly one for each.

Of each subject of a list:

- `enter`: a track's votes confirm the subject, who was not present, and whose last event lies at least
  `cooldown` seconds back. While the cool-down lasts nothing is said; who is still confirmed when it ends has
  then entered.
- `exit`: who entered was not seen for `absence` seconds. Seen means: on a track that votes confirmed as
  theirs and have not since confirmed as somebody else's. Frames that never came are no absence; see
  `excused`.
- `stopped`: the watching ended while the subject was present.

Of a track: `unknown`, once, when votes confirm a stranger and never confirmed anybody; only where that is
asked for.

Nothing here looks at a clock and nothing is hidden: `step` takes what is known and returns what is known
then. A moment that lies before the last one counts as the last one.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from lineament.applications.watch.votes import Confirmation, Vote, VoteSettings, confirmed
from lineament.core.errors import InvalidArgument

Kind = Literal["enter", "exit", "unknown", "stopped"]


@dataclass(frozen=True, slots=True)
class EventSettings:
    """When something is an event.

    Attributes:
        votes: when votes become a confirmation.
        cooldown: seconds after an event of a subject in which they do not enter again.
        absence: seconds unseen after which a subject has left; over 0.
        unknown: whether confirmed strangers are events.
    """

    votes: VoteSettings = VoteSettings()  # noqa: RUF009  (frozen)
    cooldown: float = 60.0
    absence: float = 5.0
    unknown: bool = False

    def __post_init__(self) -> None:
        if not 0.0 <= self.cooldown < float("inf"):
            raise InvalidArgument(f"cooldown is a number of seconds from 0 up, not {self.cooldown!r}")
        if not 0.0 < self.absence < float("inf"):
            raise InvalidArgument(f"absence is a number of seconds over 0, not {self.absence!r}")


@dataclass(frozen=True, slots=True)
class Sighting:
    """A face of a frame.

    Attributes:
        track: whose.
        began: when the track began, seconds.
        vote: what the face says; None when it is not good enough to be searched with.
        met: whether it is a stranger who was told of already, on another track.
    """

    track: int
    began: float
    vote: Vote | None = None
    met: bool = False


@dataclass(frozen=True, slots=True)
class Event:
    """Something happened.

    Attributes:
        kind: what.
        subject: who; None for `unknown`.
        moment: when, seconds.
        frame: in which frame.
        track: on which track it began.
        began: when that track began, seconds.
        visit: how many times the subject had entered on a track of that beginning before: 0 but in odd cases.
        last_seen: when the subject was last seen, seconds.
        confirmation: the votes; None for `exit` and `stopped`.
    """

    kind: Kind
    subject: str | None
    moment: float
    frame: int
    track: int
    began: float
    visit: int
    last_seen: float
    confirmation: Confirmation | None = None


@dataclass(frozen=True, slots=True)
class TrackVotes:
    """What is known of a track.

    Attributes:
        window: its latest votes.
        began: when it began, seconds.
        label: whom its votes last confirmed, None before and for a stranger.
        named: whether they ever confirmed a subject.
        told: whether a stranger was confirmed on it already.
    """

    window: tuple[Vote, ...] = ()
    began: float = 0.0
    label: str | None = None
    named: bool = False
    told: bool = False


@dataclass(frozen=True, slots=True)
class Presence:
    """A subject who entered and has not left: where and when they entered, and when they were last seen."""

    track: int
    began: float
    visit: int
    last_seen: float


@dataclass(frozen=True, slots=True)
class Known:
    """All that is known at a moment.

    Attributes:
        now: the latest moment, seconds.
        frame: the latest frame.
        tracks: by number.
        present: by subject.
        last_event: when each subject's last event was, seconds.
        visits: how often a subject entered on tracks that began at a moment.
    """

    now: float = float("-inf")
    frame: int = -1
    tracks: Mapping[int, TrackVotes] = field(default_factory=dict[int, TrackVotes])
    present: Mapping[str, Presence] = field(default_factory=dict[str, Presence])
    last_event: Mapping[str, float] = field(default_factory=dict[str, float])
    visits: Mapping[tuple[str, float], int] = field(default_factory=dict[tuple[str, float], int])


@dataclass(frozen=True, slots=True)
class Past:
    """The last event of a subject before watching began again."""

    subject: str
    kind: Kind
    moment: float
    track: int
    began: float
    visit: int


def step(
    known: Known,
    now: float,
    frame: int,
    sightings: Sequence[Sighting],
    settings: EventSettings,
    ended: Iterable[int] = (),
) -> tuple[Known, tuple[Event, ...]]:
    """Take in one frame.

    Args:
        known: as the frame before left it; `Known()` at the beginning.
        now: seconds; a moment before the last one counts as the last one.
        frame: its number.
        sightings: its faces, each track at most once; perhaps none.
        settings: when something is an event.
        ended: tracks that will not be seen again.

    Returns:
        What is known now, and the events: exits, then entries and strangers by track.

    Raises:
        InvalidArgument: a track is there twice, or the moment is no number.
    """
    if len({s.track for s in sightings}) != len(sightings):
        raise InvalidArgument("a track was seen twice in one frame: give each face of a frame its own track")
    if not abs(now) < float("inf"):
        raise InvalidArgument(f"a moment is a finite number of seconds, not {now}")
    known = _forgotten(replace(known, now=max(now, known.now), frame=frame), set(ended))
    tracks, fresh = dict(known.tracks), dict[int, Confirmation]()
    ordered = sorted(sightings, key=lambda s: s.track)
    for sighting in ordered:
        tracks[sighting.track], agreed = _voted(tracks.get(sighting.track), sighting, settings.votes)
        if agreed is not None:
            fresh[sighting.track] = agreed
    labels = {tracks[s.track].label for s in ordered}
    present = {
        subject: replace(presence, last_seen=known.now) if subject in labels else presence
        for subject, presence in known.present.items()
    }
    known, events = _left(replace(known, tracks=tracks, present=present), settings.absence)
    for sighting in ordered:
        if sighting.track in fresh:
            known, event = _came(known, sighting, fresh[sighting.track], settings)
            events += event
    return known, events


def stopped(known: Known) -> tuple[Known, tuple[Event, ...]]:
    """Watching ends: an event for each subject who is present."""
    events = tuple(_ending("stopped", s, p, known) for s, p in sorted(known.present.items()))
    last = {**known.last_event, **dict.fromkeys(known.present, known.now)}
    return replace(known, present={}, last_event=last), events


def excused(known: Known, now: float) -> Known:
    """Nobody could be seen until now: who was present has `absence` seconds from now to be seen again."""
    now = max(now, known.now)
    present = {s: replace(p, last_seen=max(now, p.last_seen)) for s, p in known.present.items()}
    return replace(known, now=now, present=present)


def resumed(past: Iterable[Past], now: float) -> Known:
    """What is known when watching begins again after a stop or a crash.

    Who had entered and was not seen to leave counts as present, and has `absence` seconds from now to be
    seen.

    Args:
        past: the last event of each subject.
        now: seconds, on the same clock. Events that seem to lie ahead (the clock was set back) count as now.
    """
    present: dict[str, Presence] = {}
    last: dict[str, float] = {}
    for event in past:
        last[event.subject] = min(event.moment, now)
        if event.kind == "enter":
            present[event.subject] = Presence(event.track, event.began, event.visit, now)
    return Known(now=now, present=present, last_event=last)


def _voted(
    track: TrackVotes | None, sighting: Sighting, settings: VoteSettings
) -> tuple[TrackVotes, Confirmation | None]:
    """The track with this frame's vote, and whom the votes confirm by it."""
    track = track or TrackVotes(began=sighting.began)
    if sighting.vote is None:
        return track, None
    window = (*track.window, sighting.vote)[-settings.window :]
    agreed = confirmed(window, settings)
    if agreed is None:
        return replace(track, window=window), None
    named = track.named or agreed.subject is not None
    return replace(track, window=window, label=agreed.subject, named=named), agreed


def _left(known: Known, absence: float) -> tuple[Known, tuple[Event, ...]]:
    gone = sorted(s for s, p in known.present.items() if known.now - p.last_seen >= absence)
    events = tuple(_ending("exit", subject, known.present[subject], known) for subject in gone)
    present = {s: p for s, p in known.present.items() if s not in gone}
    last = {**known.last_event, **dict.fromkeys(gone, known.now)}
    return replace(known, present=present, last_event=last), events


def _came(
    known: Known, sighting: Sighting, agreed: Confirmation, settings: EventSettings
) -> tuple[Known, tuple[Event, ...]]:
    if agreed.subject is None:
        return _stranger(known, sighting, agreed, settings.unknown)
    subject, now = agreed.subject, known.now
    waited = now - known.last_event.get(subject, float("-inf"))
    if subject in known.present or waited < settings.cooldown:
        return known, ()
    visit = known.visits.get((subject, sighting.began), 0)
    presence = Presence(sighting.track, sighting.began, visit, now)
    after = replace(
        known,
        present={**known.present, subject: presence},
        last_event={**known.last_event, subject: now},
        visits={**known.visits, (subject, sighting.began): visit + 1},
    )
    event = Event("enter", subject, now, known.frame, sighting.track, sighting.began, visit, now, agreed)
    return after, (event,)


def _stranger(
    known: Known, sighting: Sighting, agreed: Confirmation, wanted: bool
) -> tuple[Known, tuple[Event, ...]]:
    track = known.tracks[sighting.track]
    if not wanted or track.told or track.named:
        return known, ()
    after = replace(known, tracks={**known.tracks, sighting.track: replace(track, told=True)})
    if sighting.met:
        return after, ()
    now = known.now
    event = Event("unknown", None, now, known.frame, sighting.track, sighting.began, 0, now, agreed)
    return after, (event,)


def _ending(kind: Kind, subject: str, presence: Presence, known: Known) -> Event:
    return Event(
        kind,
        subject,
        known.now,
        known.frame,
        presence.track,
        presence.began,
        presence.visit,
        presence.last_seen,
    )


def _forgotten(known: Known, ended: set[int]) -> Known:
    """Without the tracks that ended, and without counts that no track can come back to."""
    if not ended:
        return known
    tracks = {number: track for number, track in known.tracks.items() if number not in ended}
    beginnings = {track.began for track in tracks.values()}
    visits = {key: n for key, n in known.visits.items() if key[1] in beginnings or key[1] >= known.now}
    return replace(known, tracks=tracks, visits=visits)

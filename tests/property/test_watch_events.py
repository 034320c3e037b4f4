"""Events of random watchings against a slow model that goes through all that ever happened."""

import random
from collections import Counter
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from lineament.applications.watch.alerts import event_id
from lineament.applications.watch.events import Event, EventSettings, Known, Sighting, step, stopped
from lineament.applications.watch.votes import Vote, VoteSettings

Answer = str | None
"""A subject, `?` for a stranger, or None for a vote for nobody."""


@dataclass
class Frame:
    now: float
    seen: dict[int, tuple[Answer, float] | None]
    """By track: the answer and its weight, or None where the face casts no vote."""
    ended: set[int]


@dataclass
class Slow:
    """The model: it remembers everything and derives the rest each time."""

    s: EventSettings
    frames: list[Frame] = field(default_factory=list)
    told: list[tuple[str, Answer, int, int]] = field(default_factory=list)
    """(kind, subject, frame, track)"""

    def time(self, k: int) -> float:
        return max(f.now for f in self.frames[: k + 1])

    def votes(self, track: int, k: int) -> list[tuple[Answer, float]]:
        cast = [f.seen[track] for f in self.frames[: k + 1] if f.seen.get(track) is not None]
        return cast[-self.s.votes.window :]  # type: ignore[return-value]  (None was left out)

    def agreed(self, track: int, k: int) -> Answer:
        """Whom the track's votes confirm by a vote cast in frame k."""
        if self.frames[k].seen.get(track) is None:
            return None
        window = self.votes(track, k)
        for answer in {a for a, _ in window if a is not None}:
            weights = [w for a, w in window if a == answer]
            enough = len(weights) >= self.s.votes.confirm
            if enough and sum(weights) > self.s.votes.share * sum(w for _, w in window):
                return answer
        return None

    def label(self, track: int, k: int) -> Answer:
        for j in range(k, -1, -1):
            if (answer := self.agreed(track, j)) is not None:
                return answer
        return None

    def last(self, subject: str) -> tuple[str, Answer, int, int] | None:
        return next((t for t in reversed(self.told) if t[1] == subject), None)

    def seen_in(self, subject: str, k: int) -> bool:
        return any(self.label(track, k) == subject for track in self.frames[k].seen)

    def look(self, frame: Frame) -> list[tuple[str, Answer, int, int]]:
        self.frames.append(frame)
        k, before = len(self.frames) - 1, len(self.told)
        for subject in ("a", "b"):
            last = self.last(subject)
            if last is None or last[0] != "enter":
                continue
            seen = max([last[2], *(j for j in range(last[2] + 1, k + 1) if self.seen_in(subject, j))])
            if self.time(k) - self.time(seen) >= self.s.absence:
                self.told.append(("exit", subject, k, last[3]))
        for track in sorted(frame.seen):
            answer = self.agreed(track, k)
            if answer == "?":
                earlier = {self.agreed(track, j) for j in range(k)}
                if self.s.unknown and earlier <= {None} | ({"?"} if self.never_told(track) else set()):
                    self.told.append(("unknown", None, k, track))
            elif answer is not None:
                last = self.last(answer)
                rested = last is None or self.time(k) - self.time(last[2]) >= self.s.cooldown
                if rested and (last is None or last[0] != "enter"):
                    self.told.append(("enter", answer, k, track))
        return self.told[before:]

    def never_told(self, track: int) -> bool:
        return all(not (t[0] == "unknown" and t[3] == track) for t in self.told)


def watching(seed: int) -> list[Frame]:
    """Up to 30 frames of up to three tracks; drawn by a seed, which is faster than piece by piece."""
    rng = random.Random(seed)  # noqa: S311  (no secret)
    frames, now, alive, next_track = [], 0.0, list[int](), 1
    for _ in range(rng.randint(1, 30)):
        now += rng.choice([0.0, 0.2, 0.2, 0.5, 1.0, 3.0, -2.0])
        ended = {t for t in alive if rng.random() < 0.1}
        alive = [t for t in alive if t not in ended]
        while len(alive) < 3 and rng.random() < 0.3:
            alive.append(next_track)
            next_track += 1
        seen = {t: cast_by(rng) for t in alive if rng.random() < 0.8}
        frames.append(Frame(now, seen, ended))
    return frames


def cast_by(rng: random.Random) -> tuple[Answer, float] | None:
    if rng.random() < 0.15:
        return None
    return rng.choice(["a", "a", "a", "b", "?", None]), rng.choice([0.2, 0.5, 1.0])


def watchings() -> st.SearchStrategy[list[Frame]]:
    return st.integers(0, 2**32 - 1).map(watching)


def choices() -> st.SearchStrategy[EventSettings]:
    return st.builds(
        EventSettings,
        votes=st.sampled_from(
            [VoteSettings(1, 1), VoteSettings(2, 3), VoteSettings(3, 5), VoteSettings(2, 4)]
        ),
        cooldown=st.sampled_from([0.0, 1.0, 4.0]),
        absence=st.sampled_from([0.5, 1.0, 2.5]),
        unknown=st.booleans(),
    )


def run(frames: list[Frame], s: EventSettings) -> tuple[list[Event], list[list[Event]]]:
    known, told, per_frame = Known(), list[Event](), list[list[Event]]()
    began = dict[int, float]()
    for k, frame in enumerate(frames):
        clamped = max(frame.now, known.now)
        sightings = [
            Sighting(track, began.setdefault(track, clamped), vote_of(k, cast))
            for track, cast in frame.seen.items()
        ]
        known, events = step(known, frame.now, k, sightings, s, frame.ended)
        per_frame.append(list(events))
        told += events
    _, events = stopped(known)
    return [*told, *events], per_frame


def vote_of(frame: int, cast: tuple[Answer, float] | None) -> Vote | None:
    if cast is None:
        return None
    answer, weight = cast
    return Vote(frame, answer if answer != "?" else None, answer == "?", 0.5, None, weight)


@settings(max_examples=120, deadline=None)
@given(watchings(), choices())
def test_the_events_are_those_of_the_slow_model(frames: list[Frame], s: EventSettings):
    slow = Slow(s)
    _, per_frame = run(frames, s)
    for frame, events in zip(frames, per_frame, strict=True):
        found = Counter((e.kind, e.subject, e.frame) for e in events)
        expected = Counter((kind, subject, k) for kind, subject, k, _ in slow.look(frame))
        assert found == expected


@settings(max_examples=60, deadline=None)
@given(watchings(), choices())
def test_each_event_is_told_once(frames: list[Frame], s: EventSettings):
    told, _ = run(frames, s)
    assert told == run(frames, s)[0]
    ids = [event_id("door", "", "staff", event) for event in told]
    assert len(set(ids)) == len(ids)
    assert max(Counter(e.track for e in told if e.kind == "unknown").values(), default=1) == 1
    for subject in ("a", "b"):
        own = [e for e in told if e.subject == subject]
        kinds = [e.kind for e in own]
        assert kinds[0::2] == ["enter"] * len(kinds[0::2])
        assert set(kinds[1::2]) <= {"exit", "stopped"}
        assert len(kinds) % 2 == 0
        for enter, leave in zip(own[0::2], own[1::2], strict=True):
            assert (enter.track, enter.began, enter.visit) == (leave.track, leave.began, leave.visit)
            assert leave.moment >= leave.last_seen >= enter.moment
        for leave, enter in zip(own[1::2], own[2::2], strict=False):
            assert enter.moment - leave.moment >= s.cooldown

"""All that a watching knows, and what one frame adds to it.

Nothing here changes anything: `looked` takes the book as it was and returns the book as it is. So an
interruption finds the one or the other, never something between.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from lineament.applications.watch.alerts import Alert, Evidence, Votes, event_id, iso
from lineament.applications.watch.capture_weight import usable_weights
from lineament.applications.watch.events import Event, EventSettings, Known, Sighting, excused, step, stopped
from lineament.applications.watch.ports import Reading, WatchedList
from lineament.applications.watch.strangers import Strangers
from lineament.applications.watch.votes import Alike, Vote, cast
from lineament.core.errors import InvalidArgument
from lineament.core.faces import Faces
from lineament.core.template import Templates, require_same_model
from lineament.core.threshold import Threshold
from lineament.pipeline.frame import Frame
from lineament.vision.quality import QualityLimits
from lineament.vision.track import Followed, Tracks, TrackSettings, follow


@dataclass(frozen=True, slots=True)
class WatchSettings:
    """How watching is done.

    Attributes:
        tracks: how faces are followed.
        events: when something is an event; the same for every list.
        quality: which faces are good enough to be searched with; None: all that have a template.
        evidence: whether a crop goes with an alert.

    Raises:
        InvalidArgument: tracks live as long as, or longer than, an absence: then nobody could leave in time.
    """

    tracks: TrackSettings = TrackSettings()  # noqa: RUF009  (frozen)
    events: EventSettings = EventSettings()  # noqa: RUF009  (frozen)
    quality: QualityLimits | None = QualityLimits()  # noqa: RUF009  (frozen)
    evidence: bool = True

    def __post_init__(self) -> None:
        if self.tracks.gap > self.events.absence:
            raise InvalidArgument(
                f"a track ends {self.tracks.gap:g} s after its face was last seen and a subject leaves after "
                f"{self.events.absence:g} s: the first must not be the longer"
            )


@dataclass(frozen=True, slots=True)
class Context:
    """What every alert of a watching says.

    Attributes:
        source: name of the source, without secrets.
        identity: see `lineament.pipeline.frame.FrameSource`.
        provenance: versions and names.
    """

    source: str
    identity: str
    provenance: Mapping[str, str]


Waiting = tuple[Alert, Evidence | None]


@dataclass(frozen=True, slots=True, eq=False)
class Book:
    """All that is known.

    Attributes:
        index: number of the last frame.
        session: of the last frame.
        at: when that was by the calendar.
        tracks: alive.
        known: what is known of subjects, by list.
        strangers: who were told of, by list.
        waiting: alerts that the sink has not confirmed, in order.
        faces: faces that were found, in all.
        searched: of those, good enough to be searched with.
    """

    index: int = -1
    session: int = 0
    at: str = ""
    tracks: Tracks = field(default_factory=Tracks)
    known: Mapping[str, Known] = field(default_factory=dict[str, Known])
    strangers: Mapping[str, Strangers] = field(default_factory=dict[str, Strangers])
    waiting: tuple[Waiting, ...] = ()
    faces: int = 0
    searched: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """The n faces of a frame, followed; k of them are good enough to be searched with.

    Attributes:
        followed: their tracks.
        weights: (n,) of their votes; 0 for one that casts none.
        places: (k,) which of the n.
        templates: (k) of those; None when k is 0.
        crops: (k, side, side, 3) of those, or None.
    """

    followed: Followed
    weights: np.ndarray
    places: np.ndarray
    templates: Templates | None
    crops: np.ndarray | None


def looked(
    book: Book,
    frame: Frame,
    moment: float,
    reading: Reading,
    lists: Sequence[WatchedList],
    settings: WatchSettings,
    context: Context,
) -> Book:
    """The book with one more frame.

    Args:
        book: as it was.
        frame: later than the last one.
        moment: when the frame was, seconds.
        reading: its faces.
        lists: to search.
        settings: how watching is done.
        context: what every alert says.
    """
    seen = _seen(book.tracks, reading, moment, settings)
    after = replace(
        book,
        index=frame.index,
        session=frame.session,
        at=iso(frame.time),
        tracks=seen.followed.tracks,
        faces=book.faces + len(seen.weights),
        searched=book.searched + len(seen.places),
    )
    for watched in lists:
        if frame.session != book.session:
            known = excused(after.known.get(watched.name, Known()), moment)
            after = replace(after, known={**after.known, watched.name: known})
        after = _searched(after, seen, moment, watched, settings.events, context)
    return after


def ended(book: Book, lists: Sequence[WatchedList], context: Context) -> Book:
    """The book when watching ends: nobody is present, and who was has an alert that says so."""
    for watched in lists:
        known, events = stopped(book.known.get(watched.name, Known()))
        alerts = _alerts(events, watched.name, watched.threshold, book.at, context, None)
        book = replace(book, known={**book.known, watched.name: known}, waiting=(*book.waiting, *alerts))
    return book


def _seen(tracks: Tracks, reading: Reading, moment: float, settings: WatchSettings) -> _Seen:
    crops = reading.crops.pixels if reading.crops is not None and settings.evidence else None
    faces = reading.faces.take(np.flatnonzero(np.isfinite(reading.faces.boxes).all(axis=1)))
    weights = usable_weights(faces, settings.quality)
    places = np.flatnonzero(weights > 0)
    followed = follow(tracks, faces.boxes, _vectors(faces), weights > 0, moment, settings.tracks)
    if not places.size or faces.templates is None or faces.template_rows is None:
        return _Seen(followed, weights, places, None, None)
    templates = faces.templates.take(faces.template_rows[places])
    if crops is not None and reading.faces.template_rows is not None:
        finite = np.isfinite(reading.faces.boxes).all(axis=1)
        crops = crops[reading.faces.template_rows[finite][places]]
    return _Seen(followed, weights, places, templates, crops)


def _vectors(faces: Faces) -> np.ndarray:
    """Templates of n faces, (n, d); zeros for a face without one."""
    if faces.templates is None or faces.template_rows is None:
        return np.zeros((len(faces), 0), np.float32)
    vectors = np.zeros((len(faces), faces.templates.vectors.shape[1]), np.float32)
    there = faces.template_rows >= 0
    vectors[there] = faces.templates.vectors[faces.template_rows[there]]
    return vectors


def _searched(
    book: Book, seen: _Seen, moment: float, watched: WatchedList, settings: EventSettings, context: Context
) -> Book:
    """The book after one list was searched."""
    name, threshold = watched.name, watched.threshold
    before = book.known.get(name, Known())
    strangers = book.strangers.get(name, Strangers()).since(moment - settings.cooldown)
    votes = _votes(book.index, seen, watched, threshold, settings.votes.margin)
    sightings = [
        Sighting(int(track), float(began), votes.get(i), _met(votes.get(i), strangers, threshold))
        for i, (track, began) in enumerate(zip(seen.followed.ids, seen.followed.began, strict=True))
    ]
    known, events = step(before, moment, book.index, sightings, settings, seen.followed.ended.tolist())
    for event in events:
        if event.kind == "unknown" and event.confirmation is not None:
            told = event.confirmation.best.evidence
            strangers = strangers.and_one(event.moment, told.template)
    alerts = _alerts(events, name, threshold, book.at, context, settings)
    return replace(
        book,
        known={**book.known, name: known},
        strangers={**book.strangers, name: strangers},
        waiting=(*book.waiting, *alerts),
    )


def _votes(
    index: int, seen: _Seen, watched: WatchedList, threshold: Threshold, margin: float
) -> dict[int, Vote]:
    """The votes of a frame by place of the face."""
    if seen.templates is None:
        return {}
    require_same_model(threshold.model, seen.templates.model)
    found: Sequence[Sequence[Alike]] = watched.identify(seen.templates)
    if len(found) != len(seen.places):
        raise InvalidArgument(
            f"the list {watched.name} answered {len(found)} searches of {len(seen.places)}: one answer each"
        )
    votes: dict[int, Vote] = {}
    for k, place in enumerate(seen.places.tolist()):
        evidence = Evidence(None if seen.crops is None else seen.crops[k], seen.templates.vectors[k])
        weight = float(seen.weights[place])
        votes[place] = cast(found[k], threshold.value, margin, frame=index, weight=weight, evidence=evidence)
    return votes


def _met(vote: Vote | None, strangers: Strangers, threshold: Threshold) -> bool:
    return vote is not None and vote.stranger and strangers.knows(vote.evidence.template, threshold.value)


def _alerts(
    events: Sequence[Event],
    watchlist: str,
    threshold: Threshold,
    at: str,
    context: Context,
    settings: EventSettings | None,
) -> list[Waiting]:
    return [_alert(event, watchlist, threshold, at, context, settings) for event in events]


def _alert(
    event: Event,
    watchlist: str,
    threshold: Threshold,
    at: str,
    context: Context,
    settings: EventSettings | None,
) -> Waiting:
    agreed, votes = event.confirmation, None
    best = None if agreed is None else agreed.best
    if agreed is not None and best is not None and settings is not None:
        needed, margin = settings.votes.confirm, settings.votes.margin
        votes = Votes(agreed.votes, agreed.of, agreed.share, needed, margin, best.second)
    alert = Alert(
        id=event_id(context.source, context.identity, watchlist, event),
        at=at,
        moment=event.moment,
        source=context.source,
        frame=event.frame,
        kind=event.kind,
        watchlist=watchlist,
        subject=event.subject,
        similarity=None if best is None else best.similarity,
        threshold=threshold.to_dict(),
        model={"name": threshold.model.name, "digest": threshold.model.digest},
        votes=votes,
        track=event.track,
        began=event.began,
        visit=event.visit,
        last_seen=event.last_seen,
        evidence=None,
        evidence_sha256=None,
        evidence_frame=None if best is None else best.frame,
        provenance=context.provenance,
    )
    return alert, None if best is None else best.evidence

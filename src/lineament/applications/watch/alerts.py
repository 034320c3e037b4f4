"""Alerts: what is written down of an event, and what a store of alerts promises.

The id of an alert is a digest of what the event *is* (source, list, subject, kind, beginning of the track)
and not of when it was written, so that the same event found twice, by a second run over a recording, has the
same id and is kept once.
"""

import datetime
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Protocol, cast, get_args, runtime_checkable

import numpy as np
from jaxtyping import Float32, UInt8

from lineament.applications.watch.events import Event, Kind, Past
from lineament.core.errors import InvalidArgument

KIND_OF_FILE = "lineament alert 1"
"""Stands in every alert, so that a file of alerts is known as one."""

_ID = re.compile(r"[0-9a-f]{32}")
_TYPES = {
    "moment": (int, float),
    "began": (int, float),
    "last_seen": (int, float),
    "track": int,
    "visit": int,
    "source": str,
    "watchlist": str,
    "subject": (str, type(None)),
}
_KINDS: tuple[str, ...] = get_args(Kind)


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """What an event was seen by; it is not part of the alert's text.

    Attributes:
        crop: aligned face, uint8 (side, side, 3) RGB, or None.
        template: unit vector of that face, or None. Biometric: a store seals it or does not keep it.
    """

    crop: UInt8[np.ndarray, "side side 3"] | None = None
    template: Float32[np.ndarray, "d"] | None = None

    def __repr__(self) -> str:
        # Faces and templates do not belong in a log line or a traceback.
        return f"Evidence(crop={self.crop is not None}, template={self.template is not None})"


@dataclass(frozen=True, slots=True)
class Votes:
    """How sure a confirmation was.

    Attributes:
        agreeing: votes for it.
        of: votes in the window.
        share: weight of those that agree, of all weight, 0..1.
        needed: votes that are needed.
        margin: how much more alike the best subject had to be than the second best.
        second: of the frame in evidence, similarity of the second best subject, or None.
    """

    agreeing: int
    of: int
    share: float
    needed: int
    margin: float
    second: float | None


@dataclass(frozen=True, slots=True)
class Alert:
    """An event as it is written down.

    Attributes:
        id: 32 hex digits; the same event has the same id.
        at: by the calendar, ISO 8601 in UTC.
        moment: the same in seconds: of the recording, or of the Unix epoch where the source is live.
        source: name of the source, without secrets.
        frame: number of the frame.
        kind: `enter`, `exit`, `unknown`, `stopped`.
        watchlist: name of the list.
        subject: who, or None for `unknown`.
        similarity: of the frame in evidence, cosine; None for `exit`, `stopped`, and where a search found
            nobody.
        threshold: the list's `Threshold` as plain values, with the gallery size and the rate it is for.
        model: name and digest of the model.
        votes: how sure it was; None for `exit` and `stopped`.
        track: number of the track.
        began: seconds, as `moment`: when the track was first seen.
        visit: see `lineament.applications.watch.events.Event`.
        last_seen: seconds, as `moment`.
        evidence: name of the file with the aligned crop, relative to the folder of the alerts; None without.
        evidence_sha256: of that file's bytes.
        evidence_frame: number of the frame it was taken from.
        provenance: versions of this package, detector and alignment.
    """

    id: str
    at: str
    moment: float
    source: str
    frame: int
    kind: Kind
    watchlist: str
    subject: str | None
    similarity: float | None
    threshold: Mapping[str, Any] | None
    model: Mapping[str, str]
    votes: Votes | None
    track: int
    began: float
    visit: int
    last_seen: float
    evidence: str | None
    evidence_sha256: str | None
    evidence_frame: int | None
    provenance: Mapping[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"id": self.id, "type": KIND_OF_FILE, **asdict(self)}

    @classmethod
    def from_dict(cls, values: Any) -> "Alert":
        """The inverse of `to_dict`.

        Raises:
            InvalidArgument: it is not an alert.
        """
        if not isinstance(values, dict):
            raise InvalidArgument("not an alert: no object")
        given = cast(dict[str, Any], values)
        names = {f.name for f in fields(cls)}
        if given.get("type") != KIND_OF_FILE or set(given) != names | {"type"}:
            raise InvalidArgument("not an alert of this version: it has other fields")
        if given["kind"] not in _KINDS or not _ID.fullmatch(str(given["id"])):
            raise InvalidArgument("not an alert: its kind or its id is none")
        for name, types in _TYPES.items():
            if not isinstance(given[name], types) or isinstance(given[name], bool):
                raise InvalidArgument(f"not an alert: its {name} is {given[name]!r}")
        values_of: dict[str, Any] = {n: given[n] for n in names}
        try:
            values_of["votes"] = None if given["votes"] is None else Votes(**given["votes"])
        except TypeError as error:
            raise InvalidArgument("not an alert: its votes have other fields") from error
        return cls(**values_of)

    def past(self) -> Past | None:
        """For going on after a restart; None for an alert without a subject."""
        if self.subject is None:
            return None
        return Past(self.subject, self.kind, self.moment, self.track, self.began, self.visit)


@runtime_checkable
class AlertSink(Protocol):
    """Keeps alerts.

    A sink keeps each id once, whatever happens, and `store` returns only when the alert would survive the
    loss of this process.
    """

    def store(self, alert: Alert, evidence: Evidence | None) -> Alert | None:
        """Keep an alert.

        Args:
            alert: what happened; its `evidence` is filled in by the sink.
            evidence: what it was seen by.

        Returns:
            The alert as it was kept, or None when its id is there already.

        Raises:
            OutputFailed: it could not be kept; the same call may be tried again.
        """
        ...

    def latest(self, source: str, watchlist: str) -> tuple[Alert, ...]:
        """The last alert of each subject from this source and list."""
        ...

    def close(self) -> None:
        """Let go of files and connections."""
        ...


def event_id(source: str, identity: str, watchlist: str, event: Event) -> str:
    """The id of an event, 32 hex digits.

    Args:
        source: name of the source.
        identity: what tells two recordings of one name apart; empty for a live source.
        watchlist: name of the list.
        event: what happened. Of a stranger the track's number counts too: several may come in one frame.
    """
    track = event.track if event.subject is None else 0
    began = round(event.began * 1000)
    parts = [source, identity, watchlist, event.kind, event.subject or "", began, event.visit, track]
    text = json.dumps([KIND_OF_FILE, *parts], ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def iso(moment: datetime.datetime) -> str:
    """ISO 8601 in UTC to the millisecond, of constant length, so that texts sort as moments do."""
    utc = moment.astimezone(datetime.UTC)
    return utc.strftime("%Y-%m-%dT%H:%M:%S.") + f"{utc.microsecond // 1000:03d}Z"

"""The audit log as a chain: each record's hash covers the record and the hash before it.

    hash₀ = GENESIS
    hashₙ = SHA-256("lineament-audit-1\\n" hashₙ₋₁ "\\n" recordₙ)        or HMAC-SHA256 (RFC 2104) with a key

where hashes are 64 hexadecimal digits and a record is one line of JSON: keys sorted, no spaces, UTF-8, its
body itself such a line inside a string. So a change, a gap or another order of anything in the past shows.

What shows depends on what is kept elsewhere. Without a key, whoever can write to the database can also write
a new chain from the changed record on; only an anchor (sequence number and hash, printed, mailed or logged to
another machine) finds that, and only an anchor finds that the newest records are gone. With a key, a chain
cannot be rewritten by who does not have it; the anchor is still needed for a cut tail.
"""

import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from typing import Any, Literal

from lineament.core.errors import InvalidArgument
from lineament.gallery.loggable import refuse_templates

GENESIS = "0" * 64
_DOMAIN = b"lineament-audit-1\n"
_KEY_LEAST = 16
_PROBLEMS_KEPT = 100

Trouble = Literal["changed", "missing", "order", "cut", "anchor", "unreadable"]


@dataclass(frozen=True, slots=True)
class Record:
    """One act to write into the log.

    Attributes:
        seq: place in the log, from 1, without gaps.
        at: when, UTC, ISO 8601 with `Z` or `+00:00`; kept as given.
        actor: who did it.
        purpose: what for.
        action: what: `enrol`, `search`, `erase` …
        collection: name of the collection, None where it concerns none.
        subject: the subject, None where it concerns none.
        body: details, plain values only: text, numbers, True, False, None, lists and dictionaries of them.
            A template has no place in it and is refused when it is recognised as one.
    """

    seq: int
    at: str
    actor: str
    purpose: str
    action: str
    collection: str | None = None
    subject: str | None = None
    body: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Entry:
    """One record as it is stored: the columns of a row of the log.

    The body is text. A database's own JSON type would write numbers and spaces in another way, and the hash
    is of these very characters.

    Attributes:
        seq: as in `Record`, like the others.
        body: the body as JSON text.
        hash: of this record and, through the hash before it, of all earlier ones; 64 hexadecimal digits.
    """

    seq: int
    at: str
    actor: str
    purpose: str
    action: str
    collection: str | None
    subject: str | None
    body: str
    hash: str

    @classmethod
    def stored(cls, row: Iterable[object]) -> "Entry":
        """A row as the database hands it back, in the order of the attributes.

        Nothing is checked here, not even that text is text: a damaged row must get as far as `verify`.
        """
        entry = object.__new__(cls)
        for name, value in zip(_COLUMNS, row, strict=True):
            object.__setattr__(entry, name, value)
        return entry


_COLUMNS = tuple(one.name for one in fields(Entry))


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that does not hold.

    Attributes:
        seq: sequence number at which it shows.
        kind: `changed` (hash does not fit), `missing` (numbers left out), `order` (a number again, or out of
            turn), `cut` (the end is gone), `anchor` (another hash than was kept elsewhere), `unreadable`
            (a column is not text or number as it must be).
        message: a sentence.
    """

    seq: int
    kind: Trouble
    message: str


@dataclass(frozen=True, slots=True)
class Verified:
    """What a walk along the chain found.

    Attributes:
        count: records read.
        head: (seq, hash) of the last one: the anchor to keep elsewhere.
        problems: the first hundred, by place; empty where everything holds.
        problem_count: all of them.
        remarks: what is odd and no fault: `clock_went_back at seq n`; the first hundred.
    """

    count: int
    head: tuple[int, str]
    problems: tuple[Problem, ...]
    problem_count: int
    remarks: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether there is no problem."""
        return self.problem_count == 0


def body_text(body: Mapping[str, Any]) -> str:
    """A body as the one JSON text that stands for it: keys sorted, no spaces, floats as `repr` writes them.

    Raises:
        InvalidArgument: a value that is not plain, a NaN, or what looks like a template.
    """
    refuse_templates(body)
    return _line(body)


def link(previous: str, record: Record | Entry, key: bytes | None = None) -> str:
    """Hash of a record that follows `previous`.

    Args:
        previous: hash of the record before, `GENESIS` for the first.
        record: the record; of an entry its own hash is not looked at.
        key: secret of 16 bytes or more, None for a chain without.

    Returns:
        64 hexadecimal digits.

    Raises:
        InvalidArgument: as for `body_text`, or a short key.
    """
    _require_key(key)
    body = record.body if isinstance(record, Entry) else body_text(record.body)
    return _hash(previous, _content(record, body), key)


def append(previous: str, record: Record, key: bytes | None = None) -> Entry:
    """The row to store for a record that follows `previous`; arguments as for `link`.

    Raises:
        InvalidArgument: as for `link`; no actor, purpose or action; a time that is not UTC; `seq` below 1.
    """
    _require_key(key)
    if record.seq < 1:
        raise InvalidArgument(f"the log counts from 1; there is no seq {record.seq}")
    for name in ("actor", "purpose", "action"):
        if not getattr(record, name).strip():
            raise InvalidArgument(f"a record of the audit log needs its {name}; say who, what for and what")
    if _moment(record.at) is None:
        raise InvalidArgument(f"{record.at!r} is not a UTC time such as 2026-11-24T10:00:00.000000Z")
    body = body_text(record.body)
    return Entry(
        seq=record.seq,
        at=record.at,
        actor=record.actor,
        purpose=record.purpose,
        action=record.action,
        collection=record.collection,
        subject=record.subject,
        body=body,
        hash=_hash(previous, _content(record, body), key),
    )


def verify(
    entries: Iterable[Entry],
    key: bytes | None = None,
    anchor: tuple[int, str] | None = None,
    start: tuple[int, str] = (0, GENESIS),
) -> Verified:
    """Walk along the chain, holding one record at a time.

    Args:
        entries: the rows in order of `seq`.
        key: the key that the chain was written with, None for a chain without.
        anchor: (seq, hash) kept elsewhere at some earlier time; one before `start` is not looked at.
        start: (seq, hash) after which `entries` begin, for a walk that goes on from a verified head.

    Returns:
        What was found. After a record that does not fit the walk goes on from the hash that it claims, so
        that one change is one problem; where a changed record's hash was written anew, it shows at the next
        record.

    Raises:
        InvalidArgument: a key that is too short.
    """
    _require_key(key)
    walk = _Walk(key, anchor, start)
    for entry in entries:
        walk.step(entry)
    walk.end()
    return Verified(walk.count, walk.head, tuple(walk.problems), walk.problem_count, tuple(walk.remarks))


class _Walk:
    """State of `verify` between two records."""

    def __init__(self, key: bytes | None, anchor: tuple[int, str] | None, start: tuple[int, str]) -> None:
        self.key = key
        self.anchor = anchor
        self.start = start
        self.head = start
        self.count = 0
        self.problems: list[Problem] = []
        self.problem_count = 0
        self.remarks: list[str] = []
        self.latest: datetime | None = None
        self.anchored = anchor is None or anchor[0] <= start[0]
        if anchor is not None and anchor[0] == start[0] and anchor[1] != start[1]:
            self._report(start[0], "anchor", "the hash before the first record is not the anchor's")

    def step(self, entry: Entry) -> None:
        self.count += 1
        expected = self.head[0] + 1
        seq = entry.seq if type(entry.seq) is int else expected
        if seq > expected:
            gone = f"record {expected} is" if seq == expected + 1 else f"records {expected} to {seq - 1} are"
            self._report(expected, "missing", f"{gone} missing")
        elif seq < expected:
            self._report(seq, "order", f"record {seq} comes again or out of turn, after {self.head[0]}")
        else:
            # After a gap the hash cannot fit, and the gap has been reported.
            self._compare(seq, entry)
        self._look_at_clock(seq, entry.at)
        if seq >= expected:
            self.head = (seq, entry.hash if type(entry.hash) is str else "")
        if self.anchor is not None and seq == self.anchor[0]:
            self.anchored = True
            if entry.hash != self.anchor[1]:
                self._report(
                    seq, "anchor", f"the hash of record {seq} is not the one that was kept elsewhere"
                )

    def _compare(self, seq: int, entry: Entry) -> None:
        content = _stored_content(entry)
        if content is None:
            self._report(seq, "unreadable", f"a column of record {seq} is of a wrong kind")
        elif _hash(self.head[1], content, self.key) != entry.hash:
            self._report(seq, "changed", f"record {seq}, or the hash of the one before it, was changed")

    def _look_at_clock(self, seq: int, at: object) -> None:
        moment = _moment(at)
        if moment is None:
            return
        if self.latest is not None and moment < self.latest and len(self.remarks) < _PROBLEMS_KEPT:
            self.remarks.append(f"clock_went_back at seq {seq}")
        self.latest = moment

    def end(self) -> None:
        if self.anchor is not None and not self.anchored:
            if self.head[0] < self.anchor[0]:
                message = f"the log ends at {self.head[0]}, and record {self.anchor[0]} was there once"
                self._report(self.head[0] + 1, "cut", message)
            else:
                self._report(self.anchor[0], "anchor", f"record {self.anchor[0]}, which was kept, is missing")

    def _report(self, seq: int, kind: Trouble, message: str) -> None:
        self.problem_count += 1
        if len(self.problems) < _PROBLEMS_KEPT:
            self.problems.append(Problem(seq, kind, message))


def _content(record: Record | Entry, body: object) -> bytes:
    """A record as one line of JSON, its body as text."""
    columns = {
        "seq": record.seq,
        "at": record.at,
        "actor": record.actor,
        "purpose": record.purpose,
        "action": record.action,
        "collection": record.collection,
        "subject": record.subject,
        "body": body,
    }
    return _line(columns).encode("utf-8")


def _stored_content(entry: Entry) -> bytes | None:
    """The same for a row that may have been tampered with; None where it cannot be a record."""
    if type(entry.body) is not str:
        return None
    try:
        return _content(entry, entry.body)
    except InvalidArgument:
        return None


def _hash(previous: str, content: bytes, key: bytes | None) -> str:
    message = b"%b%b\n%b" % (_DOMAIN, previous.encode("utf-8", "surrogatepass"), content)
    if key is None:
        return hashlib.sha256(message).hexdigest()
    return hmac.digest(key, message, "sha256").hex()


def _line(value: Mapping[str, Any]) -> str:
    try:
        text = _ENCODER.encode(value)
        text.encode("utf-8")
    except (TypeError, ValueError) as error:
        # The error of a failed encoding holds the text; only its kind goes on.
        kind = type(error).__name__
    else:
        return text
    raise InvalidArgument(
        f"not plain values ({kind}): text, finite numbers, True, False, None, lists and dictionaries with "
        "text as keys can be logged"
    )


_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _require_key(key: bytes | None) -> None:
    if key is not None and len(key) < _KEY_LEAST:
        raise InvalidArgument(f"the key of an audit log has {_KEY_LEAST} bytes or more, not {len(key)}")


def _moment(at: object) -> datetime | None:
    """The time, or None where the text is not one in UTC."""
    if not isinstance(at, str):
        return None
    try:
        moment = datetime.fromisoformat(at)
    except ValueError:
        return None
    return moment if moment.utcoffset() == timedelta(0) else None

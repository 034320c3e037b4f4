"""Watchlists: people who are looked for, each with a reason, a source, dates, and perhaps a second
person's word.

A watchlist is a collection whose subjects have an entry. Only entries that are approved and valid at the
moment of a search can become candidates; the others are enrolled and found by nobody.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, insert, select, update

from lineament.core.errors import ApprovalMissing, InvalidArgument, SubjectNotFound
from lineament.gallery import schema, subjects
from lineament.gallery.clock import now
from lineament.gallery.gallery import Gallery
from lineament.gallery.values import Enrolment

State = Literal["proposed", "approved", "rejected", "withdrawn"]


@dataclass(frozen=True, slots=True)
class Entry:
    """Why somebody is on a list, and until when.

    Attributes:
        subject: id of the subject.
        reason: why.
        source: who asks for it: a case number, an office.
        valid_from, valid_until: ISO times, UTC; None for no end.
        state: `proposed` until it is approved; only `approved` entries are searched.
        proposed_by: who entered it.
        decided_by, decided_at: who approved, rejected or withdrew it, and when.
        active: whether a search at this moment can find it.
    """

    subject: str
    reason: str
    source: str
    valid_from: str
    valid_until: str | None
    state: State
    proposed_by: str
    decided_by: str | None
    decided_at: str | None
    active: bool


class Watchlist(Gallery):
    """A collection of the kind `watchlist`. Make it with `Watchlist.create(..., kind="watchlist")`.

    Raises:
        InvalidArgument: the collection is of another kind.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if self.collection.kind != "watchlist":
            raise InvalidArgument(
                f"{self.collection.name!r} is a {self.collection.kind}, not a watchlist: make one with "
                "`lineament watchlist create`"
            )

    def add(
        self,
        subject: str,
        images: Any,
        *,
        reason: str,
        source: str,
        valid_from: str | None = None,
        valid_until: str | None = None,
        **enrolment: Any,
    ) -> tuple[Enrolment, Entry | None]:
        """Enrol pictures of somebody and enter the reason; with `two_persons` it waits for a second person.

        Args:
            subject, images: as for `enroll`.
            reason, source: why, and who asks for it; neither may be empty.
            valid_from: ISO date; None for now.
            valid_until: ISO date; None for no end.
            enrolment: further arguments of `enroll`.

        Returns:
            The enrolment, and the entry, which is None when no picture could be used.

        Raises:
            InvalidArgument: an empty reason or source, dates in the wrong order.
        """
        if not reason.strip() or not source.strip():
            raise InvalidArgument("an entry needs a reason and a source: why, and who asks for it")
        begin = subjects.check_date(valid_from) or now()
        end = subjects.check_date(valid_until)
        if end is not None and end <= begin:
            raise InvalidArgument(f"the entry would end ({end}) before it begins ({begin})")
        outcome = self.enroll(subject, images, **enrolment)
        if not outcome.enrolled:
            return outcome, None
        with self.truth.write() as connection:
            row = subjects.row(connection, self.collection, subject)
            self._enter(connection, row, reason, source, begin, end)
        return outcome, self.entry(subject)

    def approve(self, subject: str) -> Entry:
        """A second person agrees, and the entry becomes active.

        Raises:
            ApprovalMissing: the one who proposed it cannot be the one who approves it.
        """
        return self._decide(subject, "approved", ("proposed", "rejected"))

    def reject(self, subject: str) -> Entry:
        """The entry stays inactive; whoever proposed it may not approve it either."""
        return self._decide(subject, "rejected", ("proposed",))

    def withdraw(self, subject: str) -> Entry:
        """Take an entry off the list; the subject stays enrolled until it is erased."""
        return self._decide(subject, "withdrawn", ("proposed", "approved", "rejected"))

    def extend(self, subject: str, valid_until: str | None) -> Entry:
        """Change until when an entry is valid. With `two_persons` it must be approved again."""
        end, table = subjects.check_date(valid_until), schema.entry
        with self.truth.write() as connection:
            row, found = self._found(connection, subject)
            state = "proposed" if self.collection.settings.two_persons else found.state
            connection.execute(
                update(table)
                .where(table.c.subject_id == row.id)
                .values(valid_until=end, state=state, proposed_by=self.actor.name, decided_by=None)
            )
            self.audit.append(
                connection, self.actor, "entry_extended", self.collection.name, row.id, {"until": end}
            )
        return self.entry(subject)

    def entry(self, subject: str) -> Entry:
        """The entry of a subject.

        Raises:
            SubjectNotFound: no such subject, or one without an entry.
        """
        with self.truth.read() as connection:
            row, found = self._found(connection, subject)
            return _entry(row.external_id, found, now())

    def entries(self, *, active: bool | None = None) -> list[Entry]:
        """All entries by subject; `active` chooses those that a search can find now, or the others."""
        subject, entry, moment = schema.subject, schema.entry, now()
        with self.truth.read() as connection:
            rows = connection.execute(
                select(subject.c.external_id, entry)
                .join(subject, subject.c.id == entry.c.subject_id)
                .where(entry.c.collection_id == self.collection.id)
                .order_by(subject.c.external_id)
            ).all()
        found = [_entry(row.external_id, row, moment) for row in rows]
        return [e for e in found if active is None or e.active == active]

    def expired(self) -> list[Entry]:
        """Entries whose time is over: candidates for erasure."""
        moment = now()
        return [e for e in self.entries() if e.valid_until is not None and e.valid_until <= moment]

    def _valid_now(self) -> Any:
        return _active

    def _enter(
        self, connection: Connection, row: Any, reason: str, source: str, begin: str, end: str | None
    ) -> None:
        table = schema.entry
        state = "proposed" if self.collection.settings.two_persons else "approved"
        values = {
            "reason": reason,
            "source": source,
            "valid_from": begin,
            "valid_until": end,
            "state": state,
            "proposed_by": self.actor.name,
            "decided_by": None,
            "decided_at": None,
        }
        there = connection.execute(select(table.c.subject_id).where(table.c.subject_id == row.id)).first()
        if there is None:
            connection.execute(
                insert(table).values(subject_id=row.id, collection_id=self.collection.id, **values)
            )
        else:
            connection.execute(update(table).where(table.c.subject_id == row.id).values(**values))
        body = {"reason": reason, "source": source, "until": end, "state": state}
        self.audit.append(connection, self.actor, "entry_proposed", self.collection.name, row.id, body)

    def _decide(self, subject: str, state: State, before: Sequence[State]) -> Entry:
        table = schema.entry
        with self.truth.write() as connection:
            row, found = self._found(connection, subject)
            if found.state not in before:
                raise InvalidArgument(f"the entry of {subject!r} is {found.state}: it cannot become {state}")
            alone = found.proposed_by == self.actor.name
            if state == "approved" and alone and self.collection.settings.two_persons:
                raise ApprovalMissing(
                    f"{self.actor.name!r} proposed the entry of {subject!r} and cannot approve it: a second "
                    "person must, with --actor"
                )
            connection.execute(
                update(table)
                .where(table.c.subject_id == row.id)
                .values(state=state, decided_by=self.actor.name, decided_at=now())
            )
            self.audit.append(connection, self.actor, f"entry_{state}", self.collection.name, row.id)
        return self.entry(subject)

    def _found(self, connection: Connection, subject: str) -> tuple[Any, Any]:
        row = subjects.row(connection, self.collection, subject)
        table = schema.entry
        found = connection.execute(select(table).where(table.c.subject_id == row.id)).first()
        if found is None:
            raise SubjectNotFound(
                f"{subject!r} is enrolled without an entry: add it with `lineament watchlist add`"
            )
        return row, found


def _active(connection: Connection, people: set[int]) -> set[int]:
    """Of these subject rows, those with an approved entry that is valid now."""
    table, moment = schema.entry, now()
    rows = connection.execute(
        select(table).where(table.c.subject_id.in_(sorted(people)), table.c.state == "approved")
    ).all()
    return {int(row.subject_id) for row in rows if _is_active(row, moment)}


def _is_active(row: Any, moment: str) -> bool:
    begun = row.valid_from <= moment
    return row.state == "approved" and begun and (row.valid_until is None or moment < row.valid_until)


def _entry(name: str, row: Any, moment: str) -> Entry:
    return Entry(
        name, row.reason, row.source, row.valid_from, row.valid_until, row.state, row.proposed_by,
        row.decided_by, row.decided_at, _is_active(row, moment),
    )  # fmt: skip

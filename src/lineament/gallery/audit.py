"""Who did what to whom, and why: written in the transaction that does it, chained so that no edit goes
unseen."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert, select, update

from lineament.core.errors import GalleryBroken, InvalidArgument, KeyUnavailable
from lineament.gallery import schema
from lineament.gallery.chain import GENESIS, Entry, Record, Verified, verify
from lineament.gallery.chain import append as chained
from lineament.gallery.clock import now
from lineament.gallery.keys import KeySource, new_data_key
from lineament.gallery.truth import Truth, take

KEY_NAME = "audit"
AT_ONCE = 10_000
COLUMNS = ("seq", "at", "actor", "purpose", "action", "collection", "subject", "body", "hash")


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts, and to what end; both stand in every audit record.

    Attributes:
        name: a person or a service.
        purpose: why, for example `onboarding`.
    """

    name: str
    purpose: str = "not stated"

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise InvalidArgument("the actor is empty: say who acts, with --actor NAME or LINEAMENT_ACTOR")
        if not self.purpose.strip():
            raise InvalidArgument("the purpose is empty: say why, with --purpose TEXT or LINEAMENT_PURPOSE")


class Audit:
    """Appends to the audit log and checks it.

    Args:
        truth: the database.
        keys: where the master key is; needed once the database holds a sealed collection.
    """

    def __init__(self, truth: Truth, keys: KeySource | None) -> None:
        self.truth = truth
        self._keys = keys
        self._key: bytes | None = None
        self._known = False

    def begin(self, connection: Connection, keys: KeySource | None) -> None:
        """Start the log of a new database: by a keyed chain when there are keys."""
        if connection.execute(select(schema.secret.c.name).where(schema.secret.c.name == KEY_NAME)).first():
            return
        wrapped = None if keys is None else keys.wrap(new_data_key(), KEY_NAME.encode())
        connection.execute(insert(schema.secret).values(name=KEY_NAME, wrapped=wrapped))
        connection.execute(insert(schema.audit_head).values(id=1, seq=0, hash=GENESIS))

    def append(
        self,
        connection: Connection,
        who: Actor,
        action: str,
        collection: str,
        subject: int | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> tuple[int, str]:
        """Write a record within the caller's transaction.

        Args:
            connection: of `Truth.write`.
            who: the actor.
            action: what was done, for example `search`.
            collection: name of the collection.
            subject: row number of the subject. Its external id is not written, so that an erased subject's
                name
                does not stay here; `read` puts the name beside it while there is one.
            body: what else is worth keeping, plain values; never a template.

        Returns:
            Sequence number and hash.
        """
        key = self._chain_key(connection)
        head = schema.audit_head
        # Taking the number first makes other writers wait, so that the head below is the last one.
        before = connection.execute(
            update(head).where(head.c.id == 1).values(seq=head.c.seq + 1).returning(head.c.seq, head.c.hash)
        ).one()
        record = Record(
            int(before.seq), now(), who.name, who.purpose, action, collection or None,
            None if subject is None else str(subject), dict(body or {}),
        )  # fmt: skip
        entry = chained(before.hash, record, key)
        connection.execute(insert(schema.audit).values({name: getattr(entry, name) for name in COLUMNS}))
        connection.execute(update(head).where(head.c.id == 1).values(hash=entry.hash))
        return entry.seq, entry.hash

    def read(
        self,
        *,
        action: str | None = None,
        actor: str | None = None,
        collection: str | None = None,
        subject: int | None = None,
        since: str | None = None,
        until: str | None = None,
    ) -> Iterator[Entry]:
        """Records as they are stored, oldest first; those that agree with everything given."""
        table = schema.audit
        query = select(table).order_by(table.c.seq)
        for column, value in (("action", action), ("actor", actor), ("collection", collection)):
            if value is not None:
                query = query.where(table.c[column] == value)
        if subject is not None:
            query = query.where(table.c.subject == str(subject))
        if since is not None:
            query = query.where(table.c.at >= since)
        if until is not None:
            query = query.where(table.c.at < until)
        with (
            self.truth.read() as connection,
            connection.execution_options(yield_per=AT_ONCE).execute(query) as rows,
        ):
            for row in rows:
                yield Entry(*(getattr(row, name) for name in COLUMNS))

    def check(self, anchor: tuple[int, str] | None = None) -> Verified:
        """Follow the whole chain.

        Args:
            anchor: (sequence number, hash) kept elsewhere, which finds a log that was cut and made anew.

        Raises:
            KeyUnavailable: the chain is keyed and the key is not here.
        """
        with self.truth.read() as connection:
            key = self._chain_key(connection)
            head = connection.execute(select(schema.audit_head.c.seq, schema.audit_head.c.hash)).first()
        if head is None:
            raise GalleryBroken("the audit log has lost its head: restore a backup")
        # The head lies beside the chain and finds a tail that was deleted; only an anchor kept elsewhere
        # finds a
        # log that was cut together with its head.
        beside = verify(self.read(), key, (int(head.seq), str(head.hash)))
        return beside if anchor is None or not beside.ok else verify(self.read(), key, anchor)

    def anchor(self) -> tuple[int, str]:
        """The head of the chain, to be kept where nobody who can write to the database can."""
        with self.truth.read() as connection:
            head = connection.execute(select(schema.audit_head.c.seq, schema.audit_head.c.hash)).one()
        return int(head.seq), str(head.hash)

    def _chain_key(self, connection: Connection) -> bytes | None:
        if self._known:
            return self._key
        table = schema.secret
        wrapped = connection.execute(select(table.c.wrapped).where(table.c.name == KEY_NAME)).scalar()
        if wrapped is not None:
            if self._keys is None:
                raise KeyUnavailable(
                    "the audit log of this database is keyed: give the key with --key file:PATH or --key "
                    "env:NAME"
                )
            self._key = self._keys.unwrap(wrapped, KEY_NAME.encode())
        self._known = True
        return self._key


def names_of_subjects(connection: Connection, ids: set[int]) -> dict[int, str]:
    """External ids of subjects that are still enrolled, by row number."""
    if not ids:
        return {}
    table = schema.subject
    rows = connection.execute(select(table.c.id, table.c.external_id).where(table.c.id.in_(sorted(ids))))
    return {int(row.id): str(row.external_id) for row in rows}


def next_row(connection: Connection, count: int = 1) -> int:
    """A number for a new subject, rejected probe or erasure."""
    return take(connection, "row", count)

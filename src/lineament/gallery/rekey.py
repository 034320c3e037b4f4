"""Another master key, while everything goes on: only the wrapped keys are written anew, a few at a time.

Templates stay as they are sealed. A stop in between leaves some keys under the old master key and some
under the new one, and both open until the old one is retired; the same command goes on where it was.
"""

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection, select, update

from lineament.core.errors import KeyUnavailable
from lineament.gallery import schema
from lineament.gallery.audit import KEY_NAME, Actor, Audit
from lineament.gallery.keys import KeySource, rewrap
from lineament.gallery.seal import place
from lineament.gallery.truth import Truth
from lineament.gallery.vault import key_place

AT_ONCE = 2_000


@dataclass(frozen=True, slots=True)
class Rekeyed:
    """How many wrapped keys were written anew, and the name of the master key that all are under now."""

    keys: int
    key_id: str


def rewrap_all(
    truth: Truth, audit: Audit, who: Actor, keys: KeySource, progress: Callable[[int], None] | None = None
) -> Rekeyed:
    """Bring every wrapped key of the database under the present master key.

    Args:
        truth, audit, who: where, and by whom.
        keys: holds the new key as the present one, and the old one for opening.
        progress: told how many keys were done, each time.

    Raises:
        KeyUnavailable: a key is under a master key that is not here; what was done stays done.
    """
    done = _named(truth, keys) + _collections(truth, keys)
    last = 0
    while True:
        with truth.write() as connection:
            seen, changed = _subjects(connection, keys, last)
        if not seen:
            break
        last, done = seen[-1], done + changed
        if progress is not None:
            progress(len(seen))
    with truth.write() as connection:
        audit.append(connection, who, "rotate_key", "", body={"keys": done, "key": keys.key_id})
    return Rekeyed(done, keys.key_id)


def in_use(truth: Truth, keys: KeySource) -> set[str]:
    """Names of the master keys that something in the database is still wrapped by."""
    with truth.read() as connection:
        wrapped = [
            row[0]
            for row in connection.execute(
                select(schema.secret.c.wrapped).where(schema.secret.c.name == KEY_NAME)
            )
        ]
        wrapped += [row[0] for row in connection.execute(select(schema.collection.c.data_key))]
        found = {keys.key_of(w) for w in wrapped if w is not None}
        subjects = select(schema.subject.c.data_key).execution_options(yield_per=10_000)
        found |= {keys.key_of(row[0]) for row in connection.execute(subjects) if row[0] is not None}
    return found


def _named(truth: Truth, keys: KeySource) -> int:
    table = schema.secret
    with truth.write() as connection:
        wrapped = connection.execute(select(table.c.wrapped).where(table.c.name == KEY_NAME)).scalar()
        if wrapped is None:
            raise KeyUnavailable("this database was made without a key: there is none to change")
        new = rewrap(keys, wrapped, KEY_NAME.encode())
        connection.execute(update(table).where(table.c.name == KEY_NAME).values(wrapped=new))
    return int(new != wrapped)


def _collections(truth: Truth, keys: KeySource) -> int:
    table, done = schema.collection, 0
    with truth.write() as connection:
        for row in connection.execute(select(table.c.id, table.c.data_key)).all():
            if row.data_key is None:
                continue
            new = rewrap(keys, row.data_key, key_place(row.id))
            done += int(new != row.data_key)
            connection.execute(update(table).where(table.c.id == row.id).values(data_key=new))
    return done


def _subjects(connection: Connection, keys: KeySource, after: int) -> tuple[list[int], int]:
    """Rewrap the next subjects by row number; those that were looked at, and how many were changed."""
    table = schema.subject
    rows = connection.execute(
        select(table.c.id, table.c.collection_id, table.c.data_key)
        .where(table.c.id > after)
        .order_by(table.c.id)
        .limit(AT_ONCE)
    ).all()
    changed = 0
    for row in rows:
        if row.data_key is None:
            continue
        new = rewrap(keys, row.data_key, place("data_key", row.collection_id, row.id))
        if new != row.data_key:
            connection.execute(update(table).where(table.c.id == row.id).values(data_key=new))
            changed += 1
    return [int(row.id) for row in rows], changed

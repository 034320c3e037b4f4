"""Numbered steps from an empty database to the present schema, each done once, in one transaction."""

import os
from collections.abc import Callable

from sqlalchemy import Connection, insert, inspect, select
from sqlalchemy.sql.schema import Table

from lineament.core.errors import GalleryVersion
from lineament.gallery import schema
from lineament.gallery.clock import now

IDENTITY = "identity"


def _create(tables: tuple[Table, ...]) -> Callable[[Connection], None]:
    return lambda connection: schema.metadata.create_all(connection, tables=list(tables), checkfirst=False)


def _first(connection: Connection) -> None:
    _create(schema.TABLES_1)(connection)
    counters = ("seq", "row", "collection")
    connection.execute(insert(schema.counter), [{"name": name, "value": 0} for name in counters])
    # Tells this database from every other one, where several share a search engine. It is no secret.
    connection.execute(insert(schema.secret).values(name=IDENTITY, wrapped=os.urandom(8)))


STEPS: tuple[tuple[int, str, Callable[[Connection], None]], ...] = (
    (1, "collections, subjects, references, outbox, audit, erasures", _first),
    (2, "watchlists and alerts", _create(schema.TABLES_2)),
)
"""Number, what it adds, how. A step that was released is never changed: a new one is written."""

PRESENT = STEPS[-1][0]


def present_version(connection: Connection) -> int:
    """The version of the database; 0 for one without our tables."""
    if not inspect(connection).has_table(schema.version.name):
        return 0
    found = connection.execute(select(schema.version.c.version).order_by(schema.version.c.version.desc()))
    return int(found.scalar() or 0)


def migrate(connection: Connection) -> tuple[int, int]:
    """Bring the database to the present schema; within the caller's transaction.

    Returns:
        (version before, version after).

    Raises:
        GalleryVersion: a newer package wrote the database.
    """
    before = present_version(connection)
    if before > PRESENT:
        raise GalleryVersion(
            f"the database has schema {before}, and this package knows {PRESENT}: update lineament, or "
            f"restore a "
            "backup made before the update"
        )
    if before == PRESENT:
        return before, before
    if before == 0:
        schema.metadata.create_all(connection, tables=[schema.version])
    for number, _, apply in STEPS:
        if number > before:
            apply(connection)
            connection.execute(insert(schema.version).values(version=number, at=now()))
    return before, PRESENT

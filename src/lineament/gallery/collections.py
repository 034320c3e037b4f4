"""Collections: made, found, listed, removed."""

import re
from dataclasses import asdict, fields
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select
from sqlalchemy.sql.schema import Table

from lineament.core.errors import CollectionExists, CollectionNotFound, GalleryBroken, InvalidArgument
from lineament.core.template import ModelId
from lineament.gallery import schema
from lineament.gallery.audit import Actor, Audit
from lineament.gallery.clock import now
from lineament.gallery.keys import KeySource, new_data_key
from lineament.gallery.truth import Truth, take
from lineament.gallery.values import REVIEWS, Collection, Settings
from lineament.gallery.vault import key_place

_NAME = re.compile(r"[\w][\w .@+\-]{0,199}", re.UNICODE)
KINDS = ("gallery", "watchlist")


def create(
    truth: Truth,
    audit: Audit,
    who: Actor,
    name: str,
    model: ModelId,
    alignment: str,
    dimension: int,
    *,
    kind: str = "gallery",
    settings: Settings | None = None,
    keys: KeySource | None = None,
) -> Collection:
    """Make an empty collection, bound to one model for good.

    Raises:
        CollectionExists: the name is taken.
        InvalidArgument: a name, kind or setting that cannot be.
    """
    settings = settings or Settings()
    _check(name, kind, settings, keys)
    with truth.write() as connection:
        audit.begin(connection, keys)
        if connection.execute(select(schema.collection.c.id).where(schema.collection.c.name == name)).first():
            raise CollectionExists(f"{truth.where} has a collection {name!r} already: choose another name")
        number = next_number(connection)
        wrapped = None if keys is None else keys.wrap(new_data_key(), key_place(number))
        connection.execute(
            insert(schema.collection).values(
                id=number, name=name, kind=kind, model_name=model.name, model_digest=model.digest,
                alignment=alignment, dimension=dimension, settings=asdict(settings), data_key=wrapped,
                created_at=now(),
            )
        )  # fmt: skip
        body = {"kind": kind, "model": str(model), "sealed": keys is not None, "settings": asdict(settings)}
        audit.append(connection, who, "create", name, body=body)
        return row_of(connection, name)[0]


def next_number(connection: Connection) -> int:
    """A number for a new collection; small ones, as search engines keep them apart by it."""
    return take(connection, "collection", 1)


def row_of(connection: Connection, name: str) -> tuple[Collection, bytes | None]:
    """A collection and its wrapped key.

    Raises:
        CollectionNotFound: none of that name; the message lists those there are.
        GalleryBroken: its settings cannot be read.
    """
    row = connection.execute(select(schema.collection).where(schema.collection.c.name == name)).first()
    if row is None:
        names = [r.name for r in connection.execute(select(schema.collection.c.name).limit(20))]
        there = f"there are {', '.join(sorted(names))}" if names else "there is none yet"
        raise CollectionNotFound(
            f"no collection is called {name!r}; {there}: make one with `lineament gallery create {name}`"
        )
    return _value(row), row.data_key


def references_in(truth: Truth, collection: Collection) -> int:
    """How many references a collection has at this moment."""
    table = schema.reference
    with truth.read() as connection:
        found = select(func.count()).select_from(table).where(table.c.collection_id == collection.id)
        return int(connection.execute(found).scalar_one())


def listed(connection: Connection) -> list[tuple[Collection, int, int]]:
    """All collections by name, with the number of subjects and of references."""
    rows = connection.execute(select(schema.collection).order_by(schema.collection.c.name)).all()
    people, samples = _counts(connection, schema.subject), _counts(connection, schema.reference)
    return [(_value(row), people.get(row.id, 0), samples.get(row.id, 0)) for row in rows]


def drop(truth: Truth, audit: Audit, who: Actor, name: str) -> Collection:
    """Remove an empty collection.

    Raises:
        InvalidArgument: there are subjects in it.
    """
    with truth.write() as connection:
        take(connection, "seq", 0)
        found, _ = row_of(connection, name)
        if count := _counts(connection, schema.subject).get(found.id, 0):
            raise InvalidArgument(f"{name!r} holds {count} subjects: erase them first, each with its receipt")
        for table in (schema.outbox, schema.request, schema.alert):
            connection.execute(delete(table).where(table.c.collection_id == found.id))
        connection.execute(delete(schema.collection).where(schema.collection.c.id == found.id))
        audit.append(connection, who, "drop", name)
        return found


def _counts(connection: Connection, table: Table) -> dict[int, int]:
    rows = connection.execute(select(table.c.collection_id, func.count()).group_by(table.c.collection_id))
    return {int(row[0]): int(row[1]) for row in rows}


def _value(row: Any) -> Collection:
    known = {f.name for f in fields(Settings)}
    if not isinstance(row.settings, dict):
        raise GalleryBroken(f"the settings of collection {row.name!r} cannot be read: restore a backup")
    settings = Settings(**{k: v for k, v in row.settings.items() if k in known})
    return Collection(
        int(row.id), row.name, row.kind, ModelId(row.model_name, row.model_digest), row.alignment,
        int(row.dimension), settings, row.data_key is not None, row.created_at,
    )  # fmt: skip


def _check(name: str, kind: str, settings: Settings, keys: KeySource | None) -> None:
    if not _NAME.fullmatch(name):
        raise InvalidArgument(
            f"{name[:80]!r} cannot be the name of a collection: use letters, digits and . _ - @ +, up to 200"
        )
    if kind not in KINDS:
        raise InvalidArgument(f"a collection is a gallery or a watchlist, not {kind!r}")
    if settings.review not in REVIEWS:
        raise InvalidArgument(f"review is one of {', '.join(REVIEWS)}, not {settings.review!r}")
    for what, rate in (("review_fmr", settings.review_fmr), ("fpir", settings.fpir)):
        if not 0.0 < rate < 1.0:
            raise InvalidArgument(f"{what} lies between 0 and 1, not {rate}")
    if settings.retain_days < 0:
        raise InvalidArgument(f"retain_days is 0 (no limit) or more, not {settings.retain_days}")
    if settings.transform and keys is None:
        raise InvalidArgument("a secret rotation of templates needs a key: give one with --key file:PATH")

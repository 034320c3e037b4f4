"""Alerts in the database: kept once each, sealed like the subject they name, and reviewed.

A reviewer confirms an alert, or rejects it. A rejection is kept as "not this person": the face that raised
the alert, and faces more like it than like the subject's references, do not raise it again.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float32, UInt8
from sqlalchemy import insert, select, update

from lineament.core.errors import GalleryError, InvalidArgument, SubjectNotFound
from lineament.gallery import rejected, schema, subjects
from lineament.gallery.clock import now
from lineament.gallery.enrol import as_png as as_png
from lineament.gallery.enrol import from_png
from lineament.gallery.gallery import Gallery
from lineament.gallery.truth import take

Judgement = Literal["confirmed", "rejected"]


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """An alert as it is stored.

    Attributes:
        id: of the event.
        at: ISO time, UTC.
        kind: `enter`, `exit`, `unknown`, `stopped`.
        subject: id of the subject, or None.
        body: everything else that was written down.
        review: `open`, `confirmed` or `rejected`.
        reviewer, reviewed_at: by whom and when.
    """

    id: str
    at: str
    kind: str
    subject: str | None
    body: Mapping[str, Any]
    review: str
    reviewer: str | None
    reviewed_at: str | None


def keep(
    gallery: Gallery,
    alert: str,
    at: str,
    kind: str,
    subject: str | None,
    body: Mapping[str, Any],
    vector: Float32[np.ndarray, "d"] | None = None,
    crop: UInt8[np.ndarray, "side side 3"] | None = None,
) -> bool:
    """Store an alert in one transaction with its audit record; False when its id is there already.

    Args:
        gallery: the watchlist.
        alert: id of the event, the same for the same event.
        at: ISO time, UTC.
        kind: what happened.
        subject: who, or None.
        body: plain values, without templates; the subject's id is left out of it and comes from the row.
        vector: unit template of the face, as the model made it; or None.
        crop: the aligned face; or None.
    """
    table = schema.alert
    with gallery.truth.write() as connection:
        take(connection, "seq", 0)
        if connection.execute(select(table.c.id).where(table.c.id == alert)).first():
            return False
        row = None if subject is None else subjects.row_or_none(connection, gallery.collection, subject)
        number = 0 if row is None else int(row.id)
        seal = gallery.vault.own if row is None else gallery.vault.of(row.id, row.data_key)
        turned = None if vector is None else gallery.vault.turn(vector[None].astype(np.float32))[0]
        place = gallery.vault.place
        connection.execute(
            insert(table).values(
                id=alert,
                collection_id=gallery.collection.id,
                subject_id=None if row is None else number,
                at=at,
                kind=kind,
                body=json.dumps({**body, "subject": None}, sort_keys=True),
                vector=None
                if turned is None
                else seal.seal(np.ascontiguousarray(turned, "<f4").tobytes(), place("alert", number)),
                crop=None if crop is None else seal.seal(as_png(crop), place("alert_crop", number)),
                review="open",
            )
        )
        gallery.audit.append(
            connection, gallery.actor, "alert", gallery.collection.name, None if row is None else number,
            {"alert": alert, "kind": kind},
        )  # fmt: skip
    return True


def listed(gallery: Gallery, *, review: str | None = None, limit: int = 1000) -> list[Kept]:
    """Alerts of a watchlist, the newest first."""
    table, subject = schema.alert, schema.subject
    query = (
        select(table, subject.c.external_id)
        .outerjoin(subject, subject.c.id == table.c.subject_id)
        .where(table.c.collection_id == gallery.collection.id)
        .order_by(table.c.at.desc(), table.c.id)
        .limit(limit)
    )
    if review is not None:
        query = query.where(table.c.review == review)
    with gallery.truth.read() as connection:
        return [_kept(row) for row in connection.execute(query)]


def latest(gallery: Gallery, source: str) -> list[Kept]:
    """The last alert of each subject from one source."""
    found: dict[str, Kept] = {}
    for alert in listed(gallery, limit=100_000):
        if alert.subject is not None and alert.body.get("source") == source:
            found.setdefault(alert.subject, alert)
    return list(found.values())


def full_id(gallery: Gallery, beginning: str) -> str:
    """The id of the one alert that begins so.

    Raises:
        SubjectNotFound: none does.
        InvalidArgument: several do.
    """
    table = schema.alert
    query = select(table.c.id).where(
        table.c.collection_id == gallery.collection.id, table.c.id.startswith(beginning, autoescape=True)
    )
    with gallery.truth.read() as connection:
        found = [row.id for row in connection.execute(query.limit(2))] if beginning else []
    if not found:
        raise SubjectNotFound(
            f"{gallery.collection.name!r} has no alert {beginning!r}: see `lineament watchlist alerts`"
        )
    if len(found) > 1:
        raise InvalidArgument(f"several alerts begin with {beginning!r}: give more of the id")
    return str(found[0])


def evidence(gallery: Gallery, alert: str) -> np.ndarray | None:
    """The aligned face of an alert, uint8 (side, side, 3) RGB, for a reviewer; the audit log notes it.

    Raises:
        SubjectNotFound: no such alert.
    """
    with gallery.truth.write() as connection:
        row, seal, number = _row(gallery, connection, alert)
        gallery.audit.append(
            connection,
            gallery.actor,
            "alert_shown",
            gallery.collection.name,
            number or None,
            {"alert": alert},
        )
    return (
        None if row.crop is None else from_png(seal.open(row.crop, gallery.vault.place("alert_crop", number)))
    )


def judge(gallery: Gallery, alert: str, judgement: Judgement) -> Kept:
    """A reviewer's word on an alert; a rejection becomes "not this person".

    Raises:
        SubjectNotFound: no such alert, or its subject is gone.
        GalleryError: it was judged before.
    """
    table = schema.alert
    with gallery.truth.write() as connection:
        take(connection, "seq", 0)
        row, seal, number = _row(gallery, connection, alert)
        if row.review != "open":
            raise GalleryError(f"alert {alert} was {row.review} by {row.reviewer} already")
        if judgement == "rejected" and number and row.vector is not None:
            plain = seal.open(row.vector, gallery.vault.place("alert", number))
            subject = connection.execute(select(schema.subject).where(schema.subject.c.id == number)).one()
            vector = np.frombuffer(plain, "<f4")
            rejected.keep(connection, gallery.collection, gallery.vault, subject, vector, gallery.actor.name)
        connection.execute(
            update(table)
            .where(table.c.id == alert)
            .values(review=judgement, reviewer=gallery.actor.name, reviewed_at=now())
        )
        body = {"alert": alert, "judgement": judgement}
        gallery.audit.append(
            connection, gallery.actor, "alert_judged", gallery.collection.name, number or None, body
        )
    return next(k for k in listed(gallery, limit=100_000) if k.id == alert)


def _row(gallery: Gallery, connection: Any, alert: str) -> tuple[Any, Any, int]:
    table, subject = schema.alert, schema.subject
    row = connection.execute(
        select(table, subject.c.data_key)
        .outerjoin(subject, subject.c.id == table.c.subject_id)
        .where(table.c.id == alert, table.c.collection_id == gallery.collection.id)
    ).first()
    if row is None:
        raise SubjectNotFound(
            f"{gallery.collection.name!r} has no alert {alert!r}: see `lineament watchlist alerts`"
        )
    if row.subject_id is None:
        return row, gallery.vault.own, 0
    return row, gallery.vault.of(row.subject_id, row.data_key), int(row.subject_id)


def _kept(row: Any) -> Kept:
    return Kept(
        row.id, row.at, row.kind, row.external_id, json.loads(row.body), row.review, row.reviewer,
        row.reviewed_at,
    )  # fmt: skip

"""Subjects and their references in the truth: rows in, rows out, each change with its event for the index."""

import datetime
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32
from sqlalchemy import Connection, delete, func, insert, select, update

from lineament.core.errors import GalleryBroken, InvalidArgument, SubjectExists, SubjectNotFound
from lineament.gallery import rejected, schema
from lineament.gallery.audit import next_row
from lineament.gallery.clock import iso, now
from lineament.gallery.template_of import subject_template
from lineament.gallery.truth import take
from lineament.gallery.values import Collection, Subject
from lineament.gallery.vault import Vault

_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_\-]{0,63}")
MOST_METADATA = 64 * 1024
"""Characters of one subject's metadata as JSON."""


@dataclass(frozen=True, slots=True, eq=False)
class NewReference:
    """A sample to enrol.

    Attributes:
        vector: unit template, already turned.
        norm: of the raw output.
        digest: of the picture, as stored.
        quality: capture facts by name, or None.
        crop: encoded aligned crop, or None.
        origin: the reference under the model before, whose crop this one is made of; or None.
    """

    vector: Float32[np.ndarray, "d"]
    norm: float
    digest: str
    quality: Mapping[str, Any] | None = None
    crop: bytes | None = None
    origin: int | None = None


def check_id(external_id: str) -> str:
    """The id that a caller gave, or an error: 1 to 255 printable characters without surrounding blanks.

    Raises:
        InvalidArgument: another one.
    """
    if not external_id or len(external_id) > 255 or not external_id.isprintable():
        raise InvalidArgument(f"a subject's id has 1 to 255 printable characters, not {external_id[:80]!r}")
    if external_id != external_id.strip():
        raise InvalidArgument(f"a subject's id begins and ends without blanks, not {external_id!r}")
    return external_id


def check_metadata(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Names to text, whole numbers, finite numbers, truth values or None.

    Raises:
        InvalidArgument: anything else, or too much of it.
    """
    for key, value in metadata.items():
        if not _KEY.fullmatch(key):
            raise InvalidArgument(
                f"{key[:80]!r} cannot name a piece of metadata: use letters, digits, _ and -"
            )
        if not _can_be_stored(value):
            raise InvalidArgument(
                f"metadata {key!r} is a text without NUL, a number of 64 bits, true, false or null"
            )
    if len(json.dumps(dict(metadata))) > MOST_METADATA:
        raise InvalidArgument(f"one subject's metadata takes up to {MOST_METADATA} characters as JSON")
    return dict(metadata)


def _can_be_stored(value: object) -> bool:
    if isinstance(value, str):
        # PostgreSQL has no NUL, and neither database has half a pair of surrogates.
        return "\0" not in value and value.encode("utf-8", "replace").decode() == value
    if isinstance(value, int):
        return -(2**63) <= value < 2**63
    return value is None or (isinstance(value, float) and math.isfinite(value))


def check_date(date: str | None) -> str | None:
    """An ISO date or time as stored, UTC.

    Raises:
        InvalidArgument: not one.
    """
    if date is None:
        return None
    try:
        moment = datetime.datetime.fromisoformat(date)
    except ValueError as error:
        raise InvalidArgument(f"{date!r} is not a date: write it as 2027-03-31") from error
    return iso(moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC))


def row(connection: Connection, collection: Collection, external_id: str) -> Any:
    """The subject's row.

    Raises:
        SubjectNotFound: there is none.
    """
    table = schema.subject
    found = connection.execute(
        select(table).where(table.c.collection_id == collection.id, table.c.external_id == external_id)
    ).first()
    if found is None:
        raise SubjectNotFound(
            f"{collection.name!r} has no subject {external_id!r}: see `lineament gallery list`"
        )
    return found


def row_or_none(connection: Connection, collection: Collection, external_id: str) -> Any:
    """The subject's row, or None."""
    try:
        return row(connection, collection, external_id)
    except SubjectNotFound:
        return None


def all_rows(connection: Connection, collection: Collection) -> list[Any]:
    """All subjects' rows, oldest first."""
    table = schema.subject
    query = select(table).where(table.c.collection_id == collection.id).order_by(table.c.id)
    return list(connection.execute(query))


def copy(connection: Connection, vault: Vault, collection: Collection, to: Vault, source: Any) -> Any:
    """The same subject in another collection, without references; its row.

    Args:
        connection: of `Truth.write`.
        vault: of the source.
        collection, to: where it goes, and what seals there.
        source: the row.
    """
    hidden = None
    if source.sensitive is not None:
        seal = vault.of(source.id, source.data_key)
        hidden = _loaded(seal.open(source.sensitive, vault.place("metadata", source.id)), source.id)
    return add(
        connection,
        collection,
        to,
        source.external_id,
        metadata=source.metadata,
        sensitive=hidden,
        consent=source.consent,
        retain_until=source.retain_until,
    )


def add(
    connection: Connection,
    collection: Collection,
    vault: Vault,
    external_id: str,
    *,
    metadata: Mapping[str, Any],
    sensitive: Mapping[str, Any] | None,
    consent: Mapping[str, Any] | None,
    retain_until: str | None,
) -> Any:
    """A new subject without references; its row."""
    number, moment = next_row(connection), now()
    key = vault.new_key(number)
    hidden = None
    if sensitive:
        hidden = vault.of(number, key).seal(
            json.dumps(dict(sensitive)).encode(), vault.place("metadata", number)
        )
    connection.execute(
        insert(schema.subject).values(
            id=number, collection_id=collection.id, external_id=external_id, metadata=dict(metadata),
            sensitive=hidden, consent=None if consent is None else dict(consent), retain_until=retain_until,
            data_key=key, created_at=moment, updated_at=moment,
        )
    )  # fmt: skip
    return row(connection, collection, external_id)


def add_references(
    connection: Connection, collection: Collection, vault: Vault, subject: Any, new: Sequence[NewReference]
) -> list[int]:
    """Store samples and their events, and renew the subject's template; the reference ids."""
    if not new:
        return []
    first, moment = take(connection, "seq", len(new)), now()
    seal, rows, events = vault.of(subject.id, subject.data_key), [], []
    for number, sample in enumerate(new, first):
        vector = np.ascontiguousarray(sample.vector, "<f4").tobytes()
        crop = sample.crop
        rows.append({
            "id": number, "collection_id": collection.id, "subject_id": subject.id,
            "vector": seal.seal(vector, vault.place("template", subject.id, number)),
            "norm": float(sample.norm),
            "quality": None if sample.quality is None else finite(sample.quality),
            "source_digest": sample.digest,
            "crop": None if crop is None else seal.seal(crop, vault.place("crop", subject.id, number)),
            "origin": sample.origin, "created_at": moment,
        })  # fmt: skip
        events.append({"seq": number, "collection_id": collection.id, "act": "add", "reference_id": number})
    connection.execute(insert(schema.reference), rows)
    connection.execute(insert(schema.outbox), events)
    renew_template(connection, vault, subject)
    return list(range(first, first + len(new)))


def remove_references(connection: Connection, collection: Collection, ids: Sequence[int]) -> None:
    """Delete samples and say so to the index; subjects' templates are the caller's to renew."""
    if not ids:
        return
    first = take(connection, "seq", len(ids))
    for start in range(0, len(ids), 500):
        some = list(ids[start : start + 500])
        connection.execute(delete(schema.reference).where(schema.reference.c.id.in_(some)))
    connection.execute(
        insert(schema.outbox),
        [
            {"seq": first + i, "collection_id": collection.id, "act": "remove", "reference_id": number}
            for i, number in enumerate(ids)
        ],
    )


def reference_rows(connection: Connection, subject_id: int) -> list[Any]:
    """A subject's references, oldest first."""
    table = schema.reference
    return list(
        connection.execute(select(table).where(table.c.subject_id == subject_id).order_by(table.c.id))
    )


def vectors_of(connection: Connection, vault: Vault, subject: Any) -> tuple[list[int], np.ndarray]:
    """Ids and vectors (n, d), still turned, of a subject's references."""
    rows = reference_rows(connection, subject.id)
    plain: Any = [(r.id, r.subject_id, r.vector, subject.data_key) for r in rows]
    return [int(r.id) for r in rows], vault.unseal(plain)


def renew_template(connection: Connection, vault: Vault, subject: Any) -> None:
    """Store the subject's template anew, from all its references."""
    _, vectors = vectors_of(connection, vault, subject)
    sealed = None
    if len(vectors):
        plain = np.ascontiguousarray(subject_template(vectors).vector, "<f4").tobytes()
        sealed = vault.of(subject.id, subject.data_key).seal(plain, vault.place("template", subject.id))
    table = schema.subject
    connection.execute(
        update(table).where(table.c.id == subject.id).values(template=sealed, updated_at=now())
    )


def change(connection: Connection, vault: Vault, subject: Any, about: Any) -> None:
    """Set what `about` states (see `lineament.gallery.enrol.About`) and leave the rest."""
    values: dict[str, Any] = {}
    if about.metadata is not None:
        values["metadata"] = {**subject.metadata, **about.metadata}
    if about.consent is not None:
        values["consent"] = dict(about.consent)
    if about.retain_until is not None:
        values["retain_until"] = about.retain_until
    if about.sensitive is not None:
        seal, where = vault.of(subject.id, subject.data_key), vault.place("metadata", subject.id)
        before = {} if subject.sensitive is None else _loaded(seal.open(subject.sensitive, where), subject.id)
        values["sensitive"] = seal.seal(json.dumps({**before, **about.sensitive}).encode(), where)
    if values:
        table = schema.subject
        connection.execute(update(table).where(table.c.id == subject.id).values(**values, updated_at=now()))


def days_from_now(days: int) -> str:
    """The moment so many days from now, as stored."""
    return iso(datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=days))


def rename(connection: Connection, collection: Collection, subject: Any, external_id: str) -> None:
    """Give a subject another id.

    Raises:
        SubjectExists: the id is taken.
    """
    table = schema.subject
    taken = select(table.c.id).where(
        table.c.collection_id == collection.id, table.c.external_id == external_id, table.c.id != subject.id
    )
    if connection.execute(taken).first():
        raise SubjectExists(
            f"{collection.name!r} has a subject {external_id!r} already: merge them, if they are one"
        )
    connection.execute(
        update(table).where(table.c.id == subject.id).values(external_id=external_id, updated_at=now())
    )


def merge(
    connection: Connection, collection: Collection, vault: Vault, source: Any, target: Any
) -> list[int]:
    """Move all samples of one subject to another, sealed anew under its key, and remove the first.

    Returns:
        The new reference ids: the moved samples are new rows, so that no index mistakes whose they are.
    """
    rows = reference_rows(connection, source.id)
    have = {r.source_digest for r in reference_rows(connection, target.id)}
    _, vectors = vectors_of(connection, vault, source)
    seal = vault.of(source.id, source.data_key)
    moved = [
        NewReference(
            vector, r.norm, r.source_digest, r.quality,
            None if r.crop is None else seal.open(r.crop, vault.place("crop", source.id, r.id)),
        )
        for r, vector in zip(rows, vectors, strict=True)
        if r.source_digest not in have
    ]  # fmt: skip
    ids = add_references(connection, collection, vault, target, moved)
    rejected.copy(connection, collection, vault, source, target)
    remove(connection, collection, vault, source)
    return ids


def remove(connection: Connection, collection: Collection, vault: Vault, subject: Any) -> dict[str, int]:
    """Delete a subject with everything of it; how many rows of each kind."""
    ids = [int(r.id) for r in reference_rows(connection, subject.id)]
    crops = connection.execute(
        select(func.count()).where(
            schema.reference.c.subject_id == subject.id, schema.reference.c.crop.is_not(None)
        )
    ).scalar_one()
    remove_references(connection, collection, ids)
    counts = {"references": len(ids), "crops": int(crops)}
    for name, table in (
        ("rejected_probes", schema.not_this_person),
        ("requests", schema.request),
        ("alerts", schema.alert),
        ("watchlist_entries", schema.entry),
    ):
        gone = connection.execute(delete(table).where(table.c.subject_id == subject.id))
        counts[name] = int(gone.rowcount)
    connection.execute(delete(schema.subject).where(schema.subject.c.id == subject.id))
    counts["subjects"] = 1
    vault.forget(subject.data_key)
    return counts


def remove_one(
    connection: Connection, collection: Collection, vault: Vault, subject: Any, reference: int
) -> None:
    """Delete one sample and renew the subject's template.

    Raises:
        SubjectNotFound: the subject has no such reference.
    """
    if reference not in [int(r.id) for r in reference_rows(connection, subject.id)]:
        raise SubjectNotFound(
            f"{subject.external_id!r} has no reference {reference}: see `lineament gallery show`"
        )
    remove_references(connection, collection, [reference])
    renew_template(connection, vault, subject)


def page(connection: Connection, collection: Collection, after: str | None, limit: int) -> list[Any]:
    """Rows by external id, after one of them.

    Raises:
        InvalidArgument: a limit under 1.
    """
    if limit < 1:
        raise InvalidArgument(f"a page holds at least one subject, not {limit}")
    table = schema.subject
    query = select(table).where(table.c.collection_id == collection.id)
    if after is not None:
        query = query.where(table.c.external_id > after)
    return list(connection.execute(query.order_by(table.c.external_id).limit(limit)))


def value(connection: Connection, vault: Vault, found: Any, *, sensitive: bool = False) -> Subject:
    """A row as people see it."""
    count = connection.execute(
        select(func.count()).select_from(schema.reference).where(schema.reference.c.subject_id == found.id)
    ).scalar_one()
    hidden: dict[str, Any] | None = None
    if sensitive:
        hidden = {}
        if found.sensitive is not None:
            seal = vault.of(found.id, found.data_key)
            hidden = _loaded(seal.open(found.sensitive, vault.place("metadata", found.id)), found.id)
    return Subject(
        found.external_id, int(count), dict(found.metadata), hidden, found.consent, found.retain_until,
        found.created_at, found.updated_at,
    )  # fmt: skip


def finite(quality: Mapping[str, Any]) -> dict[str, Any]:
    """Capture facts as JSON can hold them: what was not measured is null."""
    return {k: (None if isinstance(v, float) and not math.isfinite(v) else v) for k, v in quality.items()}


def _loaded(plain: bytes, number: int) -> dict[str, Any]:
    try:
        return dict(json.loads(plain))
    except ValueError as error:
        raise GalleryBroken(f"the sensitive metadata of subject row {number} cannot be read") from error

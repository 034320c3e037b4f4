"""Probes that a reviewer said are not a subject: kept with the subject, sealed under its key."""

from typing import Any

import numpy as np
from jaxtyping import Float32
from sqlalchemy import Connection, insert, select

from lineament.gallery import schema
from lineament.gallery.audit import next_row
from lineament.gallery.clock import now
from lineament.gallery.values import Collection
from lineament.gallery.vault import Vault

KIND = "rejected"


def keep(
    connection: Connection,
    collection: Collection,
    vault: Vault,
    subject: Any,
    vector: Float32[np.ndarray, "d"],
    actor: str,
    at: str | None = None,
) -> None:
    """Store a probe, already turned, that is not the subject."""
    number = next_row(connection)
    plain = np.ascontiguousarray(vector, "<f4").tobytes()
    sealed = vault.of(subject.id, subject.data_key).seal(plain, vault.place(KIND, subject.id, number))
    connection.execute(
        insert(schema.not_this_person).values(
            id=number, collection_id=collection.id, subject_id=subject.id, vector=sealed, actor=actor,
            at=at or now(),
        )
    )  # fmt: skip


def copy(connection: Connection, collection: Collection, vault: Vault, source: Any, target: Any) -> None:
    """Keep the probes that are not `source` as probes that are not `target`: the two are one person."""
    table, seal = schema.not_this_person, vault.of(source.id, source.data_key)
    rows = connection.execute(select(table).where(table.c.subject_id == source.id).order_by(table.c.id)).all()
    for row in rows:
        plain = seal.open(row.vector, vault.place(KIND, source.id, row.id))
        keep(connection, collection, vault, target, np.frombuffer(plain, "<f4"), row.actor, row.at)

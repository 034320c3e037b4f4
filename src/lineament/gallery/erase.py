"""Erasure: rows deleted and overwritten, the key destroyed, files rewritten, and a signed receipt.

What is not within reach is said in the receipt: exports, and backups of the database and of the keys that
were made before. In PostgreSQL also its own write-ahead log and its replicas. A sealed collection answers
for those: after a change of the master key (`rotate-key`) nothing in them can be opened.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, insert, select

from lineament.gallery import schema, subjects
from lineament.gallery.audit import Actor, Audit, next_row
from lineament.gallery.clock import now
from lineament.gallery.receipt import Receipt, SigningKey, sign
from lineament.gallery.truth import Truth, take, vacuum
from lineament.gallery.values import Collection
from lineament.gallery.vault import Vault


@dataclass(frozen=True, slots=True)
class Erased:
    """What `erase` did.

    Attributes:
        subject: the id it had.
        removed: how many rows of each kind.
        receipt: the signed document, as JSON holds it.
        rewritten: whether the database's files were rewritten after it.
    """

    subject: str
    removed: dict[str, int]
    receipt: dict[str, Any]
    rewritten: bool = False


def erase(
    truth: Truth,
    audit: Audit,
    who: Actor,
    collection: Collection,
    vault: Vault,
    external_id: str,
    signer: SigningKey,
) -> Erased:
    """Erase one subject's rows, in one transaction; `rewrite_files` goes over the files afterwards.

    Args:
        truth, audit, who, collection, vault: where, and by whom.
        external_id: of the subject.
        signer: signs the receipt.

    Raises:
        SubjectNotFound: no such subject.
    """
    with truth.write() as connection:
        # Before anything is looked up: no other writer may add a sample in between.
        take(connection, "seq", 0)
        row = subjects.row(connection, collection, external_id)
        key = vault.key_name(row.id, row.data_key)
        removed = subjects.remove(connection, collection, vault, row)
        body = {"removed": removed, "key": key}
        seq, digest = audit.append(connection, who, "erase", collection.name, row.id, body)
        receipt = Receipt(
            collection.name, external_id, removed, now(), who.name, who.purpose, seq, digest, key
        )
        document = sign(receipt, signer)
        _keep(connection, collection, external_id, document)
    return Erased(external_id, removed, document)


def rewrite_files(truth: Truth) -> None:
    """Overwrite what was deleted, in the database's own files."""
    vacuum(truth)


def receipts(truth: Truth, collection: Collection, external_id: str) -> list[dict[str, Any]]:
    """Receipts of a subject that was erased, without its id, which the database does not keep."""
    table = schema.erasure
    with truth.read() as connection:
        rows = connection.execute(
            select(table.c.receipt)
            .where(table.c.subject_digest == _name(collection, external_id))
            .order_by(table.c.id)
        ).all()
    return [json.loads(row.receipt) for row in rows]


def due(connection: Connection, collection: Collection, moment: str | None = None) -> list[str]:
    """Ids of subjects whose time is over, the longest over first."""
    table = schema.subject
    rows = connection.execute(
        select(table.c.external_id)
        .where(table.c.collection_id == collection.id, table.c.retain_until <= (moment or now()))
        .order_by(table.c.retain_until, table.c.external_id)
    )
    return [str(row.external_id) for row in rows]


def signing_key(truth: Truth, path: Path | None) -> SigningKey:
    """The key that signs receipts: of `path`, else beside an SQLite database, made at the first use.

    Raises:
        KeyUnavailable: the file is there and cannot be used.
        OutputFailed: it cannot be made.
    """
    if path is None and truth.path is not None:
        path = truth.path.with_name(truth.path.name + ".signing.pem")
    if path is None:
        path = Path("lineament-signing.pem")
    return SigningKey.open(path) if path.exists() else SigningKey.create(path)


def _keep(connection: Connection, collection: Collection, external_id: str, document: dict[str, Any]) -> None:
    """Remember that there was a receipt, without whose: who presents the id finds it."""
    said = {**document, "receipt": {**document["receipt"], "subject": "(not kept)"}}
    connection.execute(
        insert(schema.erasure).values(
            id=next_row(connection),
            collection=collection.name,
            subject_digest=_name(collection, external_id),
            receipt=json.dumps(said, sort_keys=True),
            at=now(),
        )
    )


def _name(collection: Collection, external_id: str) -> str:
    return hashlib.sha256(f"{collection.id}/{external_id}".encode()).hexdigest()

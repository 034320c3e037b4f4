"""A collection, or some of its subjects, into one file; see `lineament.gallery.transfer`."""

import base64
import json
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Connection, func, select

from lineament.core.errors import InvalidArgument, SubjectNotFound
from lineament.core.files import replacing
from lineament.gallery import rejected, schema
from lineament.gallery.bulk_known import existing_subjects
from lineament.gallery.bulk_rows import Opened
from lineament.gallery.bulk_summary import Progress
from lineament.gallery.clock import now
from lineament.gallery.keys import KeySource, open_keys
from lineament.gallery.transfer_file import ENTRY, ExportWriter, references_as_parquet
from lineament.gallery.truth import chunks
from lineament.gallery.values import Collection
from lineament.gallery.vault import Vault

SUBJECTS = 500
"""Subjects of one part."""

REFERENCES = 1000
"""Samples of one part: 20 MB with crops."""


@dataclass(frozen=True, slots=True)
class Exported:
    """The outcome of `export_collection`.

    Attributes:
        path: of the file.
        subjects, references, crops: how many it holds.
        sha256: of the file.
        sealed: whether a key is needed to read it.
    """

    path: Path
    subjects: int
    references: int
    crops: int
    sha256: str
    sealed: bool


def export_collection(
    gallery: Opened,
    path: str | Path,
    *,
    subjects: Sequence[str] | None = None,
    with_crops: bool = True,
    keys: KeySource | str | None = None,
    plain: bool = False,
    progress: Progress | None = None,
) -> Exported:
    """Write a collection, or some of its subjects, into one file that only its owner may read.

    The audit log has the export before the file is there.

    Args:
        gallery: the collection.
        path: of the file; one that is there is replaced.
        subjects: only these.
        with_crops: take the aligned crops along, where they were kept.
        keys: seals the file.
        plain: write a sealed collection into a file that anybody can read.
        progress: called after each part.

    Raises:
        InvalidArgument: a sealed collection, and neither `keys` nor `plain`.
        SubjectNotFound: one of `subjects` is not there; nothing is written.
        OutputFailed: the place cannot be written.
    """
    source = open_keys(keys) if isinstance(keys, str) else keys
    if gallery.collection.sealed and source is None and not plain:
        raise InvalidArgument(
            f"{gallery.collection.name!r} is sealed: give a key for the file, or say "
            "plain to write it readable"
        )
    place = Path(path)
    with replacing(place, private=True) as stream:
        with gallery.truth.read() as connection:
            chosen = _chosen(connection, gallery.collection, subjects)
            counts = _counts(connection, gallery.collection, chosen, with_crops)
            writer = ExportWriter(stream, _head(gallery.collection, counts), source)
            done = 0
            for number, people in enumerate(_people(connection, gallery.collection, chosen)):
                lines = [json.dumps(_record(connection, gallery.vault, row)) for row in people]
                writer.add(f"{number:05}.subjects", "\n".join(lines).encode())
                for part, rows in enumerate(_references(connection, people, with_crops)):
                    writer.add(f"{number:05}.references.{part:05}", _packed(gallery.vault, rows))
                    done += len(rows)
                    if progress is not None:
                        progress(done, counts["references"])
        sha256 = writer.finish()
        body = {**counts, "file_sha256": sha256, "sealed": source is not None, "all": subjects is None}
        with gallery.truth.write() as connection:
            gallery.audit.append(connection, gallery.actor, "export", gallery.collection.name, None, body)
    return Exported(
        place, counts["subjects"], counts["references"], counts["crops"], sha256, source is not None
    )


def _head(collection: Collection, counts: dict[str, int]) -> dict[str, Any]:
    return {
        "export": secrets.token_hex(16),
        "created_at": now(),
        "collection": {
            "name": collection.name, "kind": collection.kind, "alignment": collection.alignment,
            "model": {"name": collection.model.name, "digest": collection.model.digest},
            "dimension": collection.dimension, "sealed": collection.sealed,
            "settings": asdict(collection.settings),
        },
        "counts": counts,
    }  # fmt: skip


def _chosen(connection: Connection, collection: Collection, names: Sequence[str] | None) -> list[int]:
    """Row numbers of the subjects to write, in order."""
    table = schema.subject
    if names is None:
        query = select(table.c.id).where(table.c.collection_id == collection.id).order_by(table.c.id)
        return [int(row[0]) for row in connection.execute(query)]
    found = existing_subjects(connection, collection, names)
    if missing := [name for name in names if name not in found]:
        raise SubjectNotFound(
            f"{collection.name!r} has no subject {missing[0]!r} ({len(missing)} of these are not there): see "
            " `lineament gallery list`"
        )
    return sorted(int(row.id) for row in found.values())


def _counts(
    connection: Connection, collection: Collection, chosen: list[int], with_crops: bool
) -> dict[str, int]:
    table, totals = schema.reference, [0, 0]
    for some in chunks(chosen):
        row = connection.execute(
            select(func.count(), func.count(table.c.crop)).where(table.c.subject_id.in_(some))
        ).one()
        totals = [totals[0] + int(row[0]), totals[1] + int(row[1])]
    return {"subjects": len(chosen), "references": totals[0], "crops": totals[1] if with_crops else 0}


def _people(connection: Connection, collection: Collection, chosen: list[int]) -> Iterator[list[Any]]:
    table = schema.subject
    for some in chunks(chosen, SUBJECTS):
        yield list(connection.execute(select(table).where(table.c.id.in_(some)).order_by(table.c.id)))


def _record(connection: Connection, vault: Vault, row: Any) -> dict[str, Any]:
    """A subject as plain values."""
    seal, number = vault.of(row.id, row.data_key), int(row.id)
    hidden = None
    if row.sensitive is not None:
        hidden = json.loads(seal.open(row.sensitive, vault.place("metadata", number)))
    table, entry = schema.not_this_person, schema.entry
    probes = connection.execute(select(table).where(table.c.subject_id == number).order_by(table.c.id)).all()
    listed = connection.execute(select(entry).where(entry.c.subject_id == number)).first()
    return {
        "id": row.external_id,
        "metadata": dict(row.metadata), "sensitive": hidden, "consent": row.consent,
        "retain_until": row.retain_until, "created_at": row.created_at,
        "entry": None if listed is None else {name: getattr(listed, name) for name in ENTRY},
        "rejected": [
            {
                "vector": _text(vault, seal.open(p.vector, vault.place(rejected.KIND, number, p.id))),
                "actor": p.actor, "at": p.at,
            }
            for p in probes
        ],
    }  # fmt: skip


def _text(vault: Vault, plain: bytes) -> str:
    back = vault.turn_back(np.frombuffer(plain, "<f4")[None])
    return base64.b64encode(np.ascontiguousarray(back, "<f4").tobytes()).decode("ascii")


def _references(connection: Connection, people: Sequence[Any], with_crops: bool) -> Iterator[list[Any]]:
    """Samples of some subjects with their subject's name and key, a part at a time."""
    reference, subject = schema.reference, schema.subject
    query = (
        select(
            reference.c.id, reference.c.subject_id, reference.c.vector, subject.c.data_key,
            subject.c.external_id,
            reference.c.norm, reference.c.quality, reference.c.source_digest, reference.c.created_at,
            *([reference.c.crop] if with_crops else []),
        )
        .join(subject, subject.c.id == reference.c.subject_id)
        .where(reference.c.subject_id.in_([int(row.id) for row in people]))
        .order_by(reference.c.subject_id, reference.c.id)
    )  # fmt: skip
    with connection.execute(query) as rows:
        while part := list(rows.fetchmany(REFERENCES)):
            yield part


def _packed(vault: Vault, rows: list[Any]) -> bytes:
    def crop(row: Any) -> bytes | None:
        if getattr(row, "crop", None) is None:
            return None
        where = vault.place("crop", int(row.subject_id), int(row.id))
        return vault.of(int(row.subject_id), row.data_key).open(row.crop, where)

    columns = {
        "subject": [row.external_id for row in rows],
        "norm": [float(row.norm) for row in rows],
        "quality": [None if row.quality is None else json.dumps(row.quality) for row in rows],
        "digest": [row.source_digest for row in rows],
        "crop": [crop(row) for row in rows],
        "created_at": [row.created_at for row in rows],
    }
    return references_as_parquet(columns, vault.turn_back(vault.unseal(rows)))

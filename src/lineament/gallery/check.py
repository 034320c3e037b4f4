"""Does everything hold? Every row is opened, every rule between rows is asked, and the audit chain is
followed."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from sqlalchemy import func, select, text

from lineament.core.errors import LineamentError
from lineament.gallery import schema
from lineament.gallery.audit import Audit
from lineament.gallery.follow import Follower, stored_vectors
from lineament.gallery.template_of import subject_template
from lineament.gallery.truth import Truth
from lineament.gallery.values import Collection, Health, Problem
from lineament.gallery.vault import Vault

AT_ONCE = 5_000
MOST = 1_000
"""Problems that are listed; a damaged database may hold millions."""

_RESTORE = "restore it from a backup, or remove it and enrol the person again"


def check(
    truth: Truth,
    audit: Audit,
    collection: Collection,
    vault: Vault,
    follower: Follower | None = None,
    anchor: tuple[int, str] | None = None,
) -> Health:
    """Look at a whole collection, and at the audit log of its database.

    Args:
        truth, audit, collection, vault: where.
        follower: its index is compared with the truth; None leaves that out.
        anchor: head of the audit chain, kept elsewhere.

    Raises:
        GalleryBroken: the database is so damaged that it cannot be read on.
    """
    problems = [*_pages(truth)]
    seen: dict[int, list[np.ndarray]] = {}
    count = 0
    for number, subject_id, outcome in _references(truth, collection, vault):
        count += 1
        if isinstance(outcome, str):
            problems.append(Problem("reference_damaged", f"reference {number}", f"{outcome}; {_RESTORE}"))
        else:
            seen.setdefault(subject_id, []).append(outcome)
    people = [*_subjects(truth, collection, vault, seen, problems)]
    problems += _orphans(truth, collection)
    if follower is not None:
        problems += _index(follower, count)
    verified = audit.check(anchor)
    problems += [
        Problem(f"audit_{p.kind}", f"audit record {p.seq}", f"{p.message}; somebody changed the log")
        for p in verified.problems
    ]
    return Health(count, len(people), verified.count, tuple(problems[:MOST]))


def _pages(truth: Truth) -> Iterator[Problem]:
    """What SQLite itself says of its file."""
    if not truth.sqlite:
        return
    with truth.read() as connection:
        for row in connection.execute(text("PRAGMA integrity_check(20)")):
            if row[0] != "ok":
                advice = "stop writing to the database and restore a backup"
                yield Problem("page_damaged", "database file", f"{row[0]}; {advice}")


def _references(
    truth: Truth, collection: Collection, vault: Vault
) -> Iterator[tuple[int, int, np.ndarray | str]]:
    """(reference, subject row, vector or what is wrong with it)."""
    query = stored_vectors().where(schema.reference.c.collection_id == collection.id)
    with truth.read() as connection:
        rows = connection.execution_options(yield_per=AT_ONCE).execute(query)
        for part in rows.partitions(AT_ONCE):
            try:
                vectors: Any = vault.unseal(part)
            except LineamentError:
                vectors = None
            for i, row in enumerate(part):
                known = None if vectors is None else vectors[i]
                yield int(row.id), int(row.subject_id), _judged(vault, row, known)


def _judged(vault: Vault, row: Any, known: np.ndarray | None) -> np.ndarray | str:
    try:
        vector: np.ndarray = vault.unseal([row])[0] if known is None else known
    except LineamentError as error:
        return error.message
    length = float(np.linalg.norm(vector.astype(np.float64)))
    return vector if abs(length - 1.0) < 1e-4 else f"its template has length {length:.4g} instead of 1"


def _subjects(
    truth: Truth,
    collection: Collection,
    vault: Vault,
    seen: dict[int, list[np.ndarray]],
    problems: list[Problem],
) -> Iterator[int]:
    table = schema.subject
    query = select(table).where(table.c.collection_id == collection.id)
    with truth.read() as connection:
        for row in connection.execution_options(yield_per=AT_ONCE).execute(query):
            yield int(row.id)
            where = f"subject row {row.id}"
            try:
                seal = vault.of(row.id, row.data_key)
                if row.sensitive is not None:
                    seal.open(row.sensitive, vault.place("metadata", row.id))
                stored = None
                if row.template is not None:
                    stored = np.frombuffer(seal.open(row.template, vault.place("template", row.id)), "<f4")
            except LineamentError as error:
                problems.append(Problem("subject_damaged", where, f"{error.message}; {_RESTORE}"))
                continue
            samples = seen.get(int(row.id), [])
            expected = subject_template(np.stack(samples)).vector if samples else None
            if (stored is None) != (expected is None) or (
                stored is not None and expected is not None and not np.allclose(stored, expected, atol=1e-5)
            ):
                message = (
                    "its own template is not that of its references: adding or removing a sample renews it"
                )
                problems.append(Problem("subject_template_stale", where, message))


def _orphans(truth: Truth, collection: Collection) -> list[Problem]:
    """References without subject, and references that the index was never told of."""
    reference, subject, outbox = schema.reference, schema.subject, schema.outbox
    here = reference.c.collection_id == collection.id
    lost = select(func.count()).where(here, reference.c.subject_id.not_in(select(subject.c.id)))
    untold = select(func.count()).where(
        here, reference.c.id.not_in(select(outbox.c.seq).where(outbox.c.collection_id == collection.id))
    )
    with truth.read() as connection:
        found = {
            "reference_without_subject": int(connection.execute(lost).scalar_one()),
            "reference_without_event": int(connection.execute(untold).scalar_one()),
        }
    return [
        Problem(what, collection.name, f"{count} rows; restore a backup")
        for what, count in found.items()
        if count
    ]


def _index(follower: Follower, count: int) -> list[Problem]:
    follower.catch_up()
    held = follower.index.count()
    if held == count:
        return []
    message = f"the index holds {held} references and the truth {count}; run `lineament gallery rebuild`"
    return [Problem("index_differs", "index", message)]

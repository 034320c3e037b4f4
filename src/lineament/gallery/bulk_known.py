"""What of an import is there already, and what cannot be: asked for many samples in few statements."""

import json
from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, select

from lineament.core.errors import InvalidArgument
from lineament.core.verdict import Reason
from lineament.gallery import schema, subjects
from lineament.gallery.enrol import About
from lineament.gallery.truth import chunks
from lineament.gallery.values import Collection
from lineament.gallery.vault import Vault


def known_digests(
    connection: Connection, collection: Collection, digests: Iterable[str]
) -> set[tuple[int, str]]:
    """(subject row, digest) of those references that have one of these digests."""
    table = schema.reference
    found: set[tuple[int, str]] = set()
    for some in chunks(list(dict.fromkeys(digests))):
        rows = connection.execute(
            select(table.c.subject_id, table.c.source_digest).where(
                table.c.collection_id == collection.id, table.c.source_digest.in_(some)
            )
        )
        found.update((int(row[0]), str(row[1])) for row in rows)
    return found


def existing_subjects(connection: Connection, collection: Collection, names: Iterable[str]) -> dict[str, Any]:
    """Rows of those subjects that are there, by external id."""
    table = schema.subject
    names_of = ("id", "external_id", "data_key", "metadata", "sensitive", "consent", "retain_until")
    columns = [table.c[name] for name in names_of]
    found: dict[str, Any] = {}
    for some in chunks(list(dict.fromkeys(names))):
        rows = connection.execute(
            select(*columns).where(table.c.collection_id == collection.id, table.c.external_id.in_(some))
        )
        found.update((str(row.external_id), row) for row in rows)
    return found


def differs(vault: Vault, row: Any, said: About) -> bool:
    """Whether a subject's row does not say already what `said` says."""
    if said.metadata is not None and {**row.metadata, **said.metadata} != row.metadata:
        return True
    if said.consent is not None and dict(said.consent) != row.consent:
        return True
    if said.retain_until is not None and said.retain_until != row.retain_until:
        return True
    if not said.sensitive:
        return False
    if row.sensitive is None:
        return True
    seal = vault.of(int(row.id), row.data_key)
    before = json.loads(seal.open(row.sensitive, vault.place("metadata", int(row.id))))
    return bool({**before, **said.sensitive} != before)


def odd_name(name: str) -> Reason | None:
    """Why this cannot be a subject's id; None when it can."""
    try:
        subjects.check_id(name)
    except InvalidArgument as error:
        return Reason(error.reason, error.message, blocking=True)
    return None

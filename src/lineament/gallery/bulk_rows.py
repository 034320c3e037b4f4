"""Many samples of many subjects into the truth: one transaction a chunk, few statements, no loop over pairs.

What `lineament.gallery.subjects` does for one subject with SQLAlchemy's own inserts, this does for thousands:
subjects are looked up together, numbers are taken together, rows go to the driver as tuples, and subjects'
templates are computed for all subjects of the same number of samples at once.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32
from sqlalchemy import Connection, bindparam, insert, update
from sqlalchemy.sql.schema import Table

from lineament.core.verdict import Reason
from lineament.gallery import schema, subjects
from lineament.gallery.audit import Actor, Audit, next_row
from lineament.gallery.bulk_known import differs, existing_subjects, known_digests
from lineament.gallery.bulk_template_of import subject_templates
from lineament.gallery.clock import now
from lineament.gallery.enrol import About
from lineament.gallery.follow import stored_vectors
from lineament.gallery.seal import Sealer, seal_vectors
from lineament.gallery.truth import Truth, chunks, take
from lineament.gallery.values import Collection
from lineament.gallery.vault import Vault

_SUBJECT = (
    "id", "collection_id", "external_id", "metadata", "sensitive", "consent", "retain_until", "data_key",
    "template", "created_at", "updated_at",
)  # fmt: skip
_REFERENCE = (
    "id", "collection_id", "subject_id", "vector", "norm", "quality", "source_digest", "crop", "created_at",
)  # fmt: skip
_OUTBOX = ("seq", "collection_id", "act", "reference_id")


@runtime_checkable
class Opened(Protocol):
    """What is written into; every `Gallery` is one."""

    @property
    def truth(self) -> Truth:
        """The database."""
        ...

    @property
    def audit(self) -> Audit:
        """Its log."""
        ...

    @property
    def actor(self) -> Actor:
        """Who acts."""
        ...

    @property
    def collection(self) -> Collection:
        """Which collection."""
        ...

    @property
    def vault(self) -> Vault:
        """What seals it."""
        ...


@dataclass(slots=True, eq=False)
class Rows:
    """Samples that may be enrolled; the i-th entry of every column belongs to one sample.

    Attributes:
        subjects: external ids, checked.
        vectors: unit rows as the model made them (not turned).
        norms: of the raw outputs.
        digests: as stored.
        quality, crops, created: as stored, or None for none at all.
    """

    subjects: Sequence[str]
    vectors: Float32[np.ndarray, "n d"]
    norms: Float32[np.ndarray, "n"]
    digests: Sequence[str]
    quality: Sequence[Mapping[str, Any] | None] | None = None
    crops: Sequence[bytes | None] | None = None
    created: Sequence[str] | None = None


@dataclass(slots=True)
class Written:
    """What one transaction did.

    Attributes:
        enrolled, known: samples that are new, and that were there.
        made: row numbers of new subjects, by external id.
        refused: (row, why) of samples that may not be enrolled.
    """

    enrolled: int = 0
    known: int = 0
    made: dict[str, int] = field(default_factory=dict[str, int])
    refused: list[tuple[int, Reason]] = field(default_factory=list[tuple[int, Reason]])


@dataclass(slots=True)
class _Person:
    """A subject of the chunk: its number, its wrapped key, and its row where it was there before."""

    id: int
    data_key: bytes | None
    row: Any = None
    _seal: Sealer | None = None

    def seal(self, vault: Vault) -> Sealer:
        """What seals this subject's rows, opened once."""
        if self._seal is None:
            self._seal = vault.of(self.id, self.data_key)
        return self._seal


def write_rows(
    to: Opened,
    rows: Rows,
    about: Mapping[str, About],
    *,
    bare: Mapping[str, str] | None = None,
    action: str = "enrol",
    as_it_was: bool = False,
) -> Written:
    """Enrol samples in one transaction, with their events, their subjects and one audit record.

    A sample whose digest the subject has already is left out. A subject is made when it has a sample.

    Args:
        to: the collection.
        rows: samples.
        about: what is said of subjects, checked; written where it differs from what is there.
        bare: subjects to make even without a sample, with the time they were made at.
        action: of the audit record.
        as_it_was: take subjects over with what consent they have, as a transfer does.

    Raises:
        GalleryError, OutputFailed: the database cannot be written; nothing of the chunk is.
    """
    with to.truth.write() as connection:
        # Taking a number first makes other writers wait: what is looked up below stays true until the commit.
        take(connection, "seq", 0)
        there = existing_subjects(connection, to.collection, [*rows.subjects, *(bare or ())])
        blocked = {} if as_it_was else _without_consent(to.collection, there, rows.subjects, about)
        outcome, fresh = _sorted_out(connection, to.collection, rows, there, blocked)
        wanted = dict.fromkeys(rows.subjects[i] for i in fresh)
        made = [name for name in (*wanted, *(bare or ())) if name not in there]
        made = list(dict.fromkeys(made))
        outcome.made = _numbers(connection, made)
        people = {name: _Person(int(row.id), row.data_key, row) for name, row in there.items()}
        people |= {name: _Person(n, to.vault.new_key(n)) for name, n in outcome.made.items()}
        vectors = to.vault.turn(rows.vectors[fresh]) if fresh else rows.vectors[:0]
        templates = _templates(
            connection, to.vault, people, wanted, [rows.subjects[i] for i in fresh], vectors
        )
        _add_subjects(connection, to, {name: people[name] for name in made}, about, templates, bare or {})
        _change_subjects(connection, to.vault, {n: people[n] for n in there}, about, templates)
        first = _add_references(connection, to, rows, fresh, people, vectors)
        body = _body(outcome, first, len(fresh))
        to.audit.append(connection, to.actor, action, to.collection.name, None, body)
    return outcome


def _without_consent(
    collection: Collection, there: Mapping[str, Any], names: Sequence[str], about: Mapping[str, About]
) -> dict[str, Reason]:
    """Subjects that have to consent first."""
    if not collection.settings.ask_consent:
        return {}
    blocked: dict[str, Reason] = {}
    for name in dict.fromkeys(names):
        said, row = about.get(name), there.get(name)
        consent = (said.consent if said else None) or (None if row is None else row.consent)
        if not consent or consent.get("withdrawn"):
            message = f"{collection.name!r} asks for consent, and none is recorded: state it with the import"
            blocked[name] = Reason("consent_missing", message, blocking=True)
    return blocked


def _sorted_out(
    connection: Connection,
    collection: Collection,
    rows: Rows,
    there: Mapping[str, Any],
    blocked: Mapping[str, Reason],
) -> tuple[Written, list[int]]:
    """Counts so far, and the rows to write."""
    outcome, fresh = Written(), list[int]()
    names = {int(row.id): name for name, row in there.items()}
    asked = (d for s, d in zip(rows.subjects, rows.digests, strict=True) if s in there)
    known = known_digests(connection, collection, asked)
    seen = {(names[number], digest) for number, digest in known if number in names}
    for i, pair in enumerate(zip(rows.subjects, rows.digests, strict=True)):
        if pair in seen:
            outcome.known += 1
        elif pair[0] in blocked:
            outcome.refused.append((i, blocked[pair[0]]))
        else:
            seen.add(pair)
            fresh.append(i)
    outcome.enrolled = len(fresh)
    return outcome, fresh


def _numbers(connection: Connection, names: Sequence[str]) -> dict[str, int]:
    if not names:
        return {}
    first = next_row(connection, len(names))
    return {name: first + i for i, name in enumerate(names)}


def _templates(
    connection: Connection,
    vault: Vault,
    people: Mapping[str, _Person],
    wanted: Iterable[str],
    owners: Sequence[str],
    vectors: Float32[np.ndarray, "n d"],
) -> dict[str, bytes]:
    """Sealed subject templates of all subjects that get a sample, from what they have and what they get."""
    names = list(wanted)
    if not names:
        return {}
    place_of = {name: i for i, name in enumerate(names)}
    whose = np.fromiter((place_of[name] for name in owners), np.int64, len(owners))
    before = {people[n].id: place_of[n] for n in names if people[n].row is not None}
    for some in chunks(list(before)):
        old = connection.execute(stored_vectors().where(schema.reference.c.subject_id.in_(some))).all()
        # What was there comes first: the sum has the order that `renew_template` would have.
        vectors = np.concatenate([vault.unseal(old), vectors])
        whose = np.concatenate([np.array([before[int(r.subject_id)] for r in old], np.int64), whose])
    made = subject_templates(vectors, whose, len(names))
    contexts = [vault.place("template", people[name].id) for name in names]
    seals = (people[name].seal(vault) for name in names)
    return dict(zip(names, seal_vectors(seals, made, contexts), strict=True))


def _add_subjects(
    connection: Connection,
    to: Opened,
    people: Mapping[str, _Person],
    about: Mapping[str, About],
    templates: Mapping[str, bytes],
    bare: Mapping[str, str],
) -> None:
    moment, days = now(), to.collection.settings.retain_days
    due = subjects.days_from_now(days) if days else None
    nothing, rows = About(), list[tuple[Any, ...]]()
    for name, person in people.items():
        said, hidden = about.get(name, nothing), None
        if said.sensitive:
            plain = json.dumps(dict(said.sensitive)).encode()
            hidden = person.seal(to.vault).seal(plain, to.vault.place("metadata", person.id))
        rows.append((
            person.id, to.collection.id, name, _json(said.metadata or {}), hidden, _json(said.consent),
            said.retain_until or due, person.data_key, templates.get(name), bare.get(name, moment), moment,
        ))  # fmt: skip
    insert_rows(connection, schema.subject, _SUBJECT, rows)


def _change_subjects(
    connection: Connection,
    vault: Vault,
    people: Mapping[str, _Person],
    about: Mapping[str, About],
    templates: Mapping[str, bytes],
) -> None:
    """Renew templates of subjects that were there, and what is said of them."""
    table = schema.subject
    renewed = [{"number": people[n].id, "sealed": templates[n]} for n in people if n in templates]
    if renewed:
        change = update(table).where(table.c.id == bindparam("number"))
        connection.execute(change.values(template=bindparam("sealed"), updated_at=now()), renewed)
    for name, person in people.items():
        said = about.get(name)
        if said is not None and differs(vault, person.row, said):
            subjects.change(connection, vault, person.row, said)


def _add_references(
    connection: Connection,
    to: Opened,
    rows: Rows,
    fresh: Sequence[int],
    people: Mapping[str, _Person],
    vectors: Float32[np.ndarray, "n d"],
) -> int:
    """Store samples and their events; the first reference id."""
    if not fresh:
        return 0
    vault, collection, moment = to.vault, to.collection.id, now()
    first = take(connection, "seq", len(fresh))
    owners = [people[rows.subjects[i]] for i in fresh]
    numbers = range(first, first + len(fresh))
    # As `Vault.place` writes it; a call a row would take a tenth of all the time.
    start = vault.place("template", 0).decode("ascii").removesuffix("0:0")
    contexts = [f"{start}{p.id}:{n}".encode("ascii") for p, n in zip(owners, numbers, strict=True)]
    sealed = seal_vectors((p.seal(vault) for p in owners), vectors, contexts)
    quality, crops, created = rows.quality, rows.crops, rows.created
    norms = rows.norms[list(fresh)].tolist()
    stored: list[tuple[Any, ...]] = []
    for n, i, person, blob, norm in zip(numbers, fresh, owners, sealed, norms, strict=True):
        facts = None if quality is None else quality[i]
        crop = None if crops is None else crops[i]
        if crop is not None:
            crop = person.seal(vault).seal(crop, vault.place("crop", person.id, n))
        stored.append((
            n, collection, person.id, blob, norm, _json(None if facts is None else subjects.finite(facts)),
            rows.digests[i], crop, moment if created is None else created[i],
        ))  # fmt: skip
    insert_rows(connection, schema.reference, _REFERENCE, stored)
    events = [(n, collection, "add", n) for n in numbers]
    insert_rows(connection, schema.outbox, _OUTBOX, events)
    return first


def insert_rows(
    connection: Connection, table: Table, names: Sequence[str], rows: Sequence[tuple[Any, ...]]
) -> None:
    """Insert tuples of plain values, JSON as text, in the order of `names`, which is the table's.

    The driver gets them as they are: what SQLAlchemy does to each value costs more than storing it.
    """
    if not rows:
        return
    statement = str(insert(table).compile(dialect=connection.dialect, column_keys=list(names)))
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(statement, list(rows))
    else:
        connection.exec_driver_sql(statement, [dict(zip(names, row, strict=True)) for row in rows])


def _json(value: Mapping[str, Any] | None) -> str:
    """As SQLAlchemy stores it: None is JSON's null."""
    return "null" if value is None else "{}" if not value else json.dumps(dict(value))


def _body(outcome: Written, first: int, count: int) -> dict[str, Any]:
    """Counts and row numbers for the audit log."""
    made = list(outcome.made.values())
    items = {"enrolled": outcome.enrolled, "already_enrolled": outcome.known, "refused": len(outcome.refused)}
    return {
        "bulk": True,
        "items": items,
        "references": [first, first + count - 1] if count else [],
        "subjects": [made[0], made[-1]] if made else [],
    }

"""Search: the index proposes, the truth decides.

Every proposal is fetched from the truth (still there? whose? which vector?) and scored again exactly.
Where fewer subjects come out than were asked for, because several references belong to one subject or were
deleted since, more proposals are taken, until nothing at or over the floor can be missing.

What was enrolled after the index had last looked is read from the outbox, in the transaction that looks the
proposals up, and scored too. So an answer is that of one state of the truth, however many processes write
meanwhile: of two subjects that are merged, a search finds the one or the other.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64, Int64
from sqlalchemy import Connection, cast, func, select
from sqlalchemy.dialects.postgresql import JSONB

from lineament.core.candidate import Candidate
from lineament.core.errors import TemplateInvalid
from lineament.core.template import Template, require_same_model
from lineament.gallery import schema
from lineament.gallery.port import Hits, VectorIndex
from lineament.gallery.truth import Truth, chunks
from lineament.gallery.values import Collection
from lineament.gallery.vault import Vault

PER_SUBJECT = 4
"""References proposed per subject wanted, at first."""

TIE = 1e-6
"""Cosine by which an index that adds up in float32 may rank two references the wrong way round."""

MOST = 65_536
"""Proposals for one probe; a search that would need more says that it is not complete."""


@dataclass(frozen=True, slots=True, eq=False)
class Query:
    """What to search for.

    Attributes:
        probes: (m, d) unit rows, turned as stored.
        floor: cosine under which nothing is wanted.
        k: subjects wanted for each probe.
        where: what the metadata of subjects must say; empty for all.
        among: the references of such subjects, in rising order, see `references_where`; None for all.
        without: subjects (row numbers) that are left out.
        valid: whether a subject row may be a candidate now, as on a watchlist; None for all.
    """

    probes: Float32[np.ndarray, "m d"]
    floor: float
    k: int
    where: dict[str, Any] = field(default_factory=dict[str, Any])
    among: Int64[np.ndarray, "a"] | None = None
    without: frozenset[int] = frozenset()
    valid: Callable[[Connection, set[int]], set[int]] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Ranked:
    """Candidates of one probe with the row numbers of their subjects, and whether the answer is complete."""

    candidates: tuple[Candidate, ...]
    rows: tuple[int, ...]
    complete: bool


@dataclass(slots=True)
class _Stored:
    """What the truth knows of proposed references."""

    vectors: dict[int, np.ndarray]
    subject: dict[int, int]
    name: dict[int, str]
    rejected: dict[int, np.ndarray]
    allowed: set[int]
    fresh: list[int]


def search(
    truth: Truth,
    collection: Collection,
    vault: Vault,
    index: VectorIndex,
    query: Query,
    *,
    lead: bool = False,
) -> list[Ranked]:
    """The best subjects for each probe, best first.

    A probe that is more alike to what a reviewer said is *not* a subject than to any of the subject's
    references does not find that subject.

    Args:
        truth, collection, vault, index: where.
        query: what.
        lead: marks the candidates as leads, to which no threshold was applied.

    Raises:
        TemplateInvalid: a probe that is not a unit vector of the collection's dimension.
    """
    probes = np.ascontiguousarray(query.probes, np.float32)
    if probes.ndim != 2 or probes.shape[1] != collection.dimension:
        raise TemplateInvalid(
            f"a probe for {collection.name!r} has {collection.dimension} numbers, not {probes.shape[-1]}"
        )
    found: list[Ranked | None] = [None] * len(probes)
    todo, wanted = list(range(len(probes))), query.k * PER_SUBJECT
    while todo:
        seen = index.applied_seq()
        hits = index.search(probes[todo], k=wanted, floor=query.floor, among=query.among)
        stored = _look_up(truth, collection, vault, hits, query, seen)
        again: list[int] = []
        for i, hit in zip(todo, hits, strict=True):
            ranked, last = _rank(probes[i], hit, stored, query, collection.name, lead)
            # Fewer proposals than asked for: the index has no more at or over the floor.
            more, short = len(hit) >= wanted, len(ranked.candidates) < query.k
            # As good as the last proposal: equally good ones may be missing, and the oldest goes first.
            tied = not short and ranked.candidates[-1].similarity <= last + TIE
            if more and (short or tied) and wanted < MOST:
                again.append(i)
            else:
                found[i] = Ranked(ranked.candidates, ranked.rows, hit.complete and not (more and short))
        todo, wanted = again, min(wanted * 4, MOST)
    return [r for r in found if r is not None]


def unit_rows(templates: Sequence[Template], collection: Collection) -> Float32[np.ndarray, "n d"]:
    """Templates as rows, fit to be stored or searched for.

    Raises:
        TemplateMismatch: a template of another model than the collection's.
        TemplateInvalid: one of another length, not finite, or not a unit vector. Its numbers are not shown.
    """
    rows = np.empty((len(templates), collection.dimension), np.float32)
    for i, template in enumerate(templates):
        require_same_model(template.model, collection.model)
        if template.vector.shape != (collection.dimension,):
            raise TemplateInvalid(
                f"template {i} has {len(template.vector)} numbers, and those of {collection.name!r} have "
                f"{collection.dimension}: make it with the collection's model"
            )
        length = float(np.linalg.norm(template.vector.astype(np.float64)))
        # `not (… < …)` is true for NaN as well.
        if not (abs(length - 1.0) < 1e-4 and math.isfinite(template.norm)):
            raise TemplateInvalid(
                f"template {i} is not a unit vector (length {length:.6g}): make it with the recognizer, or "
                "with Templates.from_raw, which scales and checks"
            )
        rows[i] = template.vector
    return rows


def references_where(
    connection: Connection, collection: Collection, where: dict[str, Any], after: int = 0
) -> Int64[np.ndarray, "n"]:
    """References of subjects whose metadata have these values, in rising order.

    A value must be of the kind that is stored: the text "1" is not the number 1, and neither is true; 1 and
    1.0 are one number. None finds what is null or not there.

    Args:
        connection, collection: where.
        where: names and values.
        after: only references of a larger number.
    """
    reference, subject = schema.reference, schema.subject
    query = (
        select(reference.c.id)
        .join(subject, subject.c.id == reference.c.subject_id)
        .where(reference.c.collection_id == collection.id, reference.c.id > after)
        .order_by(reference.c.id)
    )
    equals = _equals_sqlite if connection.dialect.name == "sqlite" else _equals_postgresql
    for key, value in where.items():
        query = query.where(equals(key, value))
    return np.fromiter((row[0] for row in connection.execute(query)), np.int64)


def _equals_sqlite(key: str, value: Any) -> Any:
    column, path = schema.subject.c.metadata, f'$."{key}"'
    kind, entry = func.json_type(column, path), func.json_extract(column, path)
    if value is None:
        return func.coalesce(kind, "null") == "null"
    if isinstance(value, bool):
        return kind == str(value).lower()
    if isinstance(value, str):
        return (kind == "text") & (entry == value)
    return kind.in_(("integer", "real")) & (entry == value)


def _equals_postgresql(key: str, value: Any) -> Any:
    column = cast(schema.subject.c.metadata, JSONB)
    if value is None:
        return func.coalesce(func.jsonb_typeof(column[key]), "null") == "null"
    return column.contains({key: value})


def _look_up(
    truth: Truth, collection: Collection, vault: Vault, hits: Sequence[Hits], query: Query, seen: int
) -> _Stored:
    """Fetch every proposed reference that is still there, and those that came after event `seen`."""
    stored = _Stored({}, {}, {}, {}, set(), [])
    reference, subject = schema.reference, schema.subject
    with truth.read() as connection:
        stored.fresh = _fresh(connection, collection, query, seen)
        ids = sorted({int(i) for hit in hits for i in hit.ids}.union(stored.fresh))
        rows: list[Any] = []
        for some in chunks(ids, 2000):
            rows += connection.execute(
                select(
                    reference.c.id, reference.c.subject_id, reference.c.vector, subject.c.data_key,
                    subject.c.external_id,
                )
                .join(subject, subject.c.id == reference.c.subject_id)
                .where(reference.c.id.in_(some), reference.c.collection_id == collection.id)
            ).all()  # fmt: skip
        if not rows:
            return stored
        vectors = vault.unseal([row[:4] for row in rows])
        for row, vector in zip(rows, vectors, strict=True):
            stored.vectors[int(row.id)] = vector
            stored.subject[int(row.id)] = int(row.subject_id)
            stored.name[int(row.subject_id)] = str(row.external_id)
        people = set(stored.name)
        allowed = people if query.valid is None else query.valid(connection, people)
        if collection.settings.ask_consent:
            allowed = allowed & _consenting(connection, people)
        stored.allowed = allowed - query.without
        stored.rejected = _rejected(connection, vault, people)
    return stored


def _consenting(connection: Connection, people: set[int]) -> set[int]:
    """Those who have not taken their consent back."""
    table, found = schema.subject, set[int]()
    for some in chunks(sorted(people)):
        rows = connection.execute(select(table.c.id, table.c.consent).where(table.c.id.in_(some)))
        found.update(int(row.id) for row in rows if row.consent and not row.consent.get("withdrawn"))
    return found


def _rejected(connection: Connection, vault: Vault, people: set[int]) -> dict[int, np.ndarray]:
    """Probes that reviewers said are not these subjects, (n, d) by subject."""
    table, subject = schema.not_this_person, schema.subject
    found: dict[int, list[np.ndarray]] = {}
    for some in chunks(sorted(people)):
        rows = connection.execute(
            select(table.c.id, table.c.subject_id, table.c.vector, subject.c.data_key)
            .join(subject, subject.c.id == table.c.subject_id)
            .where(table.c.subject_id.in_(some))
        ).all()
        for row in rows:
            seal = vault.of(row.subject_id, row.data_key)
            plain = seal.open(row.vector, vault.place("rejected", row.subject_id, row.id))
            found.setdefault(int(row.subject_id), []).append(np.frombuffer(plain, "<f4"))
    return {number: np.stack(vectors) for number, vectors in found.items()}


def _fresh(connection: Connection, collection: Collection, query: Query, seen: int) -> list[int]:
    """References of which the index may not have heard when it had seen event `seen`."""
    table = schema.outbox
    found = connection.execute(
        select(table.c.reference_id).where(
            table.c.collection_id == collection.id, table.c.act == "add", table.c.seq > seen
        )
    )
    new = {int(row[0]) for row in found}
    if new and query.where:
        new &= set(references_where(connection, collection, query.where, min(new) - 1).tolist())
    return sorted(new)


def _rank(
    probe: np.ndarray, hit: Hits, stored: _Stored, query: Query, collection: str, lead: bool
) -> tuple[Ranked, float]:
    """Candidates, and the similarity of the least proposal."""
    proposed = [int(i) for i in hit.ids if int(i) in stored.vectors]
    ids = list(dict.fromkeys(proposed + [i for i in stored.fresh if i in stored.vectors]))
    if not ids:
        return Ranked((), (), hit.complete), -2.0
    similarity = exact(probe, np.stack([stored.vectors[i] for i in ids]))
    last = float(similarity[: len(proposed)].min()) if proposed else -2.0
    best: dict[int, tuple[float, int]] = {}
    for i, score in zip(ids, similarity, strict=True):
        row = stored.subject[i]
        if row not in stored.allowed:
            continue
        # Of equal scores the older reference, so that the answer does not depend on the index's order.
        if row not in best or (score, -i) > (best[row][0], -best[row][1]):
            best[row] = (float(score), i)
    kept = [
        (score, row, reference)
        for row, (score, reference) in best.items()
        if score >= query.floor and not _is_rejected(probe, score, stored.rejected.get(row))
    ]
    kept.sort(key=lambda item: (-item[0], item[2]))
    kept = kept[: query.k]
    candidates = tuple(
        Candidate(stored.name[row], score, rank, reference, collection, lead)
        for rank, (score, row, reference) in enumerate(kept, 1)
    )
    return Ranked(candidates, tuple(row for _, row, _ in kept), hit.complete), last


def exact(probe: Float32[np.ndarray, "d"], vectors: Float32[np.ndarray, "n d"]) -> Float64[np.ndarray, "n"]:
    """Cosines in float64 of float32 vectors; of equal vectors exactly 1, of the same pair always the same."""
    a, b = probe.astype(np.float64), vectors.astype(np.float64)
    lengths = np.sqrt(np.einsum("d,d->", a, a) * np.einsum("nd,nd->n", b, b))
    # Not `b @ a`, where the last digit of a row depends on which others stand beside it.
    return np.clip(np.einsum("nd,d->n", b, a) / lengths, -1.0, 1.0)


def _is_rejected(probe: np.ndarray, score: float, rejected: np.ndarray | None) -> bool:
    return rejected is not None and bool(exact(probe, rejected).max() > score)

"""Search: the index proposes, the truth decides.

Every proposal is fetched from the truth (still there? whose? which vector?) and scored again exactly.
Where fewer subjects come out than were asked for, because several references belong to one subject or were
deleted since, more proposals are taken, until nothing under the floor can be missing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64, Int64
from sqlalchemy import Connection, select

from lineament.core.candidate import Candidate
from lineament.core.errors import TemplateInvalid
from lineament.gallery import schema
from lineament.gallery.port import Hits, VectorIndex
from lineament.gallery.truth import Truth, chunks
from lineament.gallery.values import Collection
from lineament.gallery.vault import Vault

PER_SUBJECT = 4
"""References proposed per subject wanted, at first."""

MOST = 65_536
"""Proposals for one probe; a search that would need more says that it is not complete."""


@dataclass(frozen=True, slots=True, eq=False)
class Query:
    """What to search for.

    Attributes:
        probes: (m, d) unit rows, turned as stored.
        floor: cosine under which nothing is wanted.
        k: subjects wanted for each probe.
        among: the only references to look at, in rising order; None for all.
        without: subjects (row numbers) that are left out.
        valid: whether a subject row may be a candidate now, as on a watchlist; None for all.
    """

    probes: Float32[np.ndarray, "m d"]
    floor: float
    k: int
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
        hits = index.search(probes[todo], k=wanted, floor=query.floor, among=query.among)
        stored = _look_up(truth, collection, vault, hits, query)
        again: list[int] = []
        for i, hit in zip(todo, hits, strict=True):
            ranked = _rank(probes[i], hit, stored, query, collection.name, lead)
            # Fewer proposals than asked for: the index has no more at or over the floor.
            if len(ranked.candidates) < query.k and len(hit) >= wanted and wanted < MOST:
                again.append(i)
            else:
                short = len(ranked.candidates) < query.k and len(hit) >= wanted
                found[i] = Ranked(ranked.candidates, ranked.rows, hit.complete and not short)
        todo, wanted = again, min(wanted * 4, MOST)
    return [r for r in found if r is not None]


def references_where(
    connection: Connection, collection: Collection, where: dict[str, Any]
) -> Int64[np.ndarray, "n"]:
    """References of subjects whose metadata have these values, in rising order."""
    reference, subject = schema.reference, schema.subject
    query = (
        select(reference.c.id)
        .join(subject, subject.c.id == reference.c.subject_id)
        .where(reference.c.collection_id == collection.id)
        .order_by(reference.c.id)
    )
    for key, value in where.items():
        query = query.where(_equals(subject.c.metadata[key], value))
    return np.fromiter((row[0] for row in connection.execute(query)), np.int64)


def _equals(entry: Any, value: Any) -> Any:
    if value is None:
        return entry.as_string().is_(None)
    if isinstance(value, bool):
        return entry.as_boolean() == value
    if isinstance(value, int):
        return entry.as_integer() == value
    if isinstance(value, float):
        return entry.as_float() == value
    return entry.as_string() == str(value)


def _look_up(
    truth: Truth, collection: Collection, vault: Vault, hits: Sequence[Hits], query: Query
) -> _Stored:
    """Fetch every proposed reference that is still there."""
    ids = sorted({int(i) for hit in hits for i in hit.ids})
    stored = _Stored({}, {}, {}, {}, set())
    reference, subject = schema.reference, schema.subject
    with truth.read() as connection:
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
        stored.allowed = (people if query.valid is None else query.valid(connection, people)) - query.without
        stored.rejected = _rejected(connection, vault, people)
    return stored


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


def _rank(probe: np.ndarray, hit: Hits, stored: _Stored, query: Query, collection: str, lead: bool) -> Ranked:
    ids = [int(i) for i in hit.ids if int(i) in stored.vectors and stored.subject[int(i)] in stored.allowed]
    if not ids:
        return Ranked((), (), hit.complete)
    similarity = exact(probe, np.stack([stored.vectors[i] for i in ids]))
    best: dict[int, tuple[float, int]] = {}
    for i, score in zip(ids, similarity, strict=True):
        row = stored.subject[i]
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
    return Ranked(candidates, tuple(row for _, row, _ in kept), hit.complete)


def exact(probe: Float32[np.ndarray, "d"], vectors: Float32[np.ndarray, "n d"]) -> Float64[np.ndarray, "n"]:
    """Cosines in float64 of float32 vectors, as `Template.similarity` computes them."""
    a, b = probe.astype(np.float64), vectors.astype(np.float64)
    lengths = np.sqrt((a @ a) * np.einsum("nd,nd->n", b, b))
    return np.clip((b @ a) / lengths, -1.0, 1.0)


def _is_rejected(probe: np.ndarray, score: float, rejected: np.ndarray | None) -> bool:
    return rejected is not None and bool(exact(probe, rejected).max() > score)

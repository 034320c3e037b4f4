"""Keeping an index in step with the truth: it follows the outbox, or is made anew from the references."""

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import groupby
from typing import Any

import numpy as np
from jaxtyping import Float32
from sqlalchemy import Connection, func, select

from lineament.gallery import schema
from lineament.gallery.port import VectorIndex
from lineament.gallery.truth import Truth, chunks

Unseal = Callable[[Sequence[Any]], Float32[np.ndarray, "n d"]]
"""From rows of (reference id, subject id, sealed vector, wrapped key of the subject) to unit vectors."""

AT_ONCE = 50_000
"""References that are unsealed and added together."""


class Follower:
    """Tells one index what the truth has committed.

    Every search calls `catch_up` first, so that what was enrolled before it, by any process, is found.
    (What was deleted needs no such care: a proposal is always looked up in the truth.)

    Args:
        truth: the database.
        collection_id: whose references.
        index: that shall follow.
        unseal: how stored vectors are read.
        shared: whether other processes tell the same index, as they do a server's.
    """

    def __init__(
        self,
        truth: Truth,
        collection_id: int,
        index: VectorIndex,
        unseal: Unseal,
        *,
        shared: bool = False,
    ) -> None:
        self._shared = shared
        self.truth = truth
        self.collection_id = collection_id
        self.index = index
        self._unseal = unseal
        self._lock = threading.Lock()
        self._rebuilding = threading.Lock()
        self._rebuilt = 0

    def catch_up(self) -> int:
        """Bring the index to what is committed now, and return the sequence number it has reached."""
        with self.truth.read() as connection:
            target = self._target(connection)
        if self.index.applied_seq() >= target:
            return target
        with self._lock, self._alone():
            applied = self.index.applied_seq()
            if applied == 0:
                # What an interrupted filling left may have been deleted from the truth since.
                self.index.clear()
                return self._from_references()
            while applied < target:
                applied = self._next(applied, target)
            return applied

    def rebuild(self, progress: Callable[[int], None] | None = None) -> int:
        """Forget what the index holds and fill it from the truth.

        Args:
            progress: told how many references were added, each time.

        Returns:
            The number of references.
        """
        with self._rebuilding, self._lock, self._alone():
            self._rebuilt += 1
            self.index.clear()
            self._from_references(progress)
            return self.index.count()

    def rebuilds(self) -> int:
        """How often the index was made anew; waits for a rebuild that is going on.

        A search that finds another number after it than before it has seen an index that was filled by half,
        and must be made again.
        """
        with self._rebuilding:
            return self._rebuilt

    def _alone(self) -> AbstractContextManager[None]:
        """Of several processes that share an index, one at a time tells it things, and in order."""
        return self.truth.alone(f"index-{self.collection_id}") if self._shared else nullcontext()

    def _target(self, connection: Connection) -> int:
        table = schema.outbox
        found = select(func.max(table.c.seq)).where(table.c.collection_id == self.collection_id)
        return int(connection.execute(found).scalar() or 0)

    def _from_references(self, progress: Callable[[int], None] | None = None) -> int:
        with self.truth.read() as connection:
            target = self._target(connection)
            stream = connection.execution_options(yield_per=AT_ONCE)
            own = stored_vectors().where(schema.reference.c.collection_id == self.collection_id)
            with stream.execute(own) as rows:
                for part in rows.partitions(AT_ONCE):
                    # The number is told at the end: an index that was filled by half knows that it is not.
                    self.index.upsert(_ids(part), self._unseal(part), self.index.applied_seq())
                    if progress is not None:
                        progress(len(part))
            self.index.delete(np.zeros(0, np.int64), target)
        return target

    def _next(self, applied: int, target: int) -> int:
        """Apply the next part of the outbox, in order."""
        table = schema.outbox
        due = (
            select(table.c.seq, table.c.act, table.c.reference_id)
            .where(table.c.collection_id == self.collection_id, table.c.seq > applied)
            .order_by(table.c.seq)
            .limit(AT_ONCE)
        )
        with self.truth.read() as connection:
            events = connection.execute(due).all()
            if not events:
                # The collection was dropped between the two looks: nothing is left to follow.
                self.index.delete(np.zeros(0, np.int64), target)
                return target
            for act, part in groupby(events, key=lambda row: row.act):
                same = list(part)
                seq, ids = int(same[-1].seq), [int(row.reference_id) for row in same]
                if act == "add":
                    rows = [r for some in chunks(ids) for r in connection.execute(by_ids(some)).all()]
                    # What was removed since is missing here, and its removal comes later in the outbox.
                    self.index.upsert(_ids(rows), self._unseal(rows), seq)
                else:
                    self.index.delete(np.array(ids, np.int64), seq)
                applied = seq
        return applied


def stored_vectors() -> Any:
    """Rows as `Unseal` takes them."""
    reference, subject = schema.reference, schema.subject
    return (
        select(reference.c.id, reference.c.subject_id, reference.c.vector, subject.c.data_key)
        .join(subject, subject.c.id == reference.c.subject_id)
        .order_by(reference.c.id)
    )


def by_ids(ids: list[int]) -> Any:
    """Rows as `Unseal` takes them, of some references."""
    return stored_vectors().where(schema.reference.c.id.in_(ids))


def _ids(rows: Sequence[Any]) -> np.ndarray:
    return np.array([row.id for row in rows], np.int64)

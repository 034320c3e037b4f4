"""Compact codes in memory instead of templates: the index of large galleries.

What is stored is a `Snapshot` that never changes: segments of encoded rows (segment.py), and the newest rows
as they are, in a `FlatRows`. A writer makes the next one and publishes it by one assignment, so that readers
take no lock and see whole updates only; nothing that FAISS searches is ever written to. When the newest rows
have become many, the writer encodes them into a segment, and puts small segments together: this holds up the
writer (about 10 µs a row), not the readers.

What a search assures:

- By bytes, a hard bound. |cosine − score| ≤ the length of what rounding took from the row, and that is
  measured for every row. The k-th best cosine is at least the k-th largest of (score − bound); whatever may
  reach that, or the floor, is proposed, and the ranking is lengthened until no row outside it can.
- By signs (RaBitQ), the same with a bound that is a probability: the error measured on the collection's own
  rows, `segment.SAFETY` = 5 standard deviations of it or the worst that was seen. Where errors are normal, as
  theorem 3.2 of Gao and Long 2024 lets expect, 3 in ten million wanted rows are beyond.
- `Hits.complete` is True where that held. With bytes it always does: where signs would have to rank too many
  rows, bytes rank instead. Signs alone stop at `MOST` rows, and say so.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64

from lineament.core.errors import IndexUnavailable, InvalidArgument
from lineament.gallery.flat import TOGETHER, FlatRows, Found, check_search, last_of_each, unit_rows
from lineament.gallery.port import Hits
from lineament.gallery.segment import Codec, Kind, Segment, engine
from lineament.gallery.sweep import Sweep
from lineament.runtime.options import processors

FRESH = 10_000
"""Rows kept as they are, beyond which they are encoded."""
LARGE = 131_072
"""Rows of a segment at most, unless smaller ones were put together; those of half of it are let be."""
SMALL_ONES = 4
"""Segments under that size, at which they are put together."""
BATCH = 3
"""Probes from which on all rows are multiplied, rather than ranked probe by probe."""
FEW = 4096
"""Rows to look at that are scored one by one, without any ranking."""
MOST = 16_384
"""Rows that sign codes rank at most."""

_Task = TypeVar("_Task")
_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """All that a search needs, at one moment."""

    segments: tuple[Segment, ...]
    fresh: FlatRows
    seq: int

    @property
    def count(self) -> int:
        """Rows that can be found."""
        return self.fresh.count + sum(s.count for s in self.segments)


class CodesIndex:
    """Search among codes: see `VectorIndex` for what it promises, and above for how that is kept.

    A row takes d bytes (`bytes`), d/8 + 8 (`rabitq`) or both, and 9 for its id. The numbers of a deleted row
    stay in memory, out of reach of any search, until its segment is written anew.

    Args:
        dimension: length of a template.
        kind: `bytes` always answers completely; `rabitq+bytes` too, and is faster for one probe at a time
            where templates are long; `rabitq` takes the least memory.
        threads: that search at the same time, all searches together; None for all processors.
        fresh: newest rows kept as they are.

    Raises:
        IndexUnavailable: FAISS is not installed.
        InvalidArgument: an argument under 1.
    """

    def __init__(
        self, dimension: int, kind: Kind = "bytes", *, threads: int | None = None, fresh: int = FRESH
    ) -> None:
        threads = processors() if threads is None else threads
        if min(dimension, threads, fresh) < 1:
            raise InvalidArgument("the dimension, the threads and the fresh rows are 1 or more")
        faiss = engine()
        self.codec = Codec(dimension, kind)
        self._threads, self._fresh = threads, fresh
        self._writing = threading.Lock()
        self._state: Snapshot | None = self._empty()
        # FAISS asks OpenMP for threads of its own in every call; each of these may have one only.
        self._pool = ThreadPoolExecutor(
            threads, "lineament-search", initializer=faiss.omp_set_num_threads, initargs=(1,)
        )

    @property
    def dimension(self) -> int:
        """Length of a template."""
        return self.codec.dimension

    @property
    def nbytes(self) -> int:
        """Memory of all rows, in bytes."""
        state = self._now()
        return sum(s.nbytes for s in state.segments) + state.fresh.buffer.nbytes

    def upsert(self, ids: Int64[np.ndarray, "n"], vectors: Float32[np.ndarray, "n d"], seq: int) -> None:
        """Add or replace rows, see `VectorIndex.upsert`; fastest with 100,000 or so at a time."""
        ids, vectors = last_of_each(ids, unit_rows(vectors, self.dimension, "references"))
        with self._writing:
            state = self._now()
            segments = _struck(state.segments, ids)
            state = Snapshot(segments, state.fresh.put(ids, vectors), seq)
            if state.fresh.count > self._fresh:
                state = self._settled(state)
            self._state = state

    def delete(self, ids: Int64[np.ndarray, "n"], seq: int) -> None:
        """Take rows out, see `VectorIndex.delete`."""
        with self._writing:
            state = self._now()
            unique = np.unique(ids)
            segments = _compact(_struck(state.segments, unique))
            self._state = Snapshot(segments, state.fresh.without(unique), seq)

    def search(
        self,
        queries: Float32[np.ndarray, "m d"],
        *,
        k: int,
        floor: float = -1.0,
        among: Int64[np.ndarray, "a"] | None = None,
    ) -> list[Hits]:
        """Rows alike to each probe, see `VectorIndex.search`."""
        check_search(k, floor, among)
        queries = unit_rows(queries, self.dimension, "probes")
        state = self._now()
        hits: list[Hits] = []
        for start in range(0, len(queries), TOGETHER):
            part = queries[start : start + TOGETHER]
            hits += _Search(self, state, part, k, floor, among).run()
        return hits

    def applied_seq(self) -> int:
        """The last sequence number told."""
        return self._now().seq

    def count(self) -> int:
        """Rows that a search can find."""
        return self._now().count

    def clear(self) -> None:
        """Forget everything."""
        with self._writing:
            self._now()
            self._state = self._empty()

    def close(self) -> None:
        """Let go of the memory and the threads; searches under way end undisturbed, or say it is closed."""
        with self._writing:
            self._state = None
            self._pool.shutdown(wait=False)

    def tasks(self, work: Callable[[_Task], _Answer], items: Sequence[_Task]) -> list[_Answer]:
        """Work done by the index's own threads, in order."""
        try:
            return list(self._pool.map(work, items))
        except RuntimeError as error:
            if self._state is None:
                raise _closed() from error
            raise

    def _settled(self, state: Snapshot) -> Snapshot:
        """With the fresh rows encoded, and small segments put together."""
        ids, vectors = state.fresh.living()
        segments, fresh = list(state.segments), FlatRows.none(self.dimension)
        for start in range(0, len(ids), LARGE):
            part = slice(start, start + LARGE)
            segment, odd = Segment.encode(self.codec, ids[part], vectors[part])
            fresh = fresh.appended(ids[part][odd], vectors[part][odd])
            segments += [segment] if segment.size else []
        small = [s for s in segments if s.count < LARGE // 2]
        if len(small) >= SMALL_ONES:
            segments = [s for s in segments if s.count >= LARGE // 2] + [Segment.merged(small)]
        return Snapshot(tuple(segments), fresh, state.seq)

    def _empty(self) -> Snapshot:
        return Snapshot((), FlatRows.none(self.dimension), 0)

    def _now(self) -> Snapshot:
        state = self._state
        if state is None:
            raise _closed()
        return state


@dataclass(frozen=True, slots=True, eq=False)
class _Job:
    """A segment, the rows of it to look at, and the probes for which it has more to tell."""

    segment: Segment
    scope: Bool[np.ndarray, "n"] | None
    probes: Int64[np.ndarray, "p"]


class _Search:
    """One search, of up to `TOGETHER` probes, in one snapshot."""

    def __init__(
        self,
        index: CodesIndex,
        state: Snapshot,
        queries: Float32[np.ndarray, "m d"],
        k: int,
        floor: float,
        among: Int64[np.ndarray, "a"] | None,
    ) -> None:
        self.index, self.state, self.k, self.floor = index, state, k, floor
        self.probes, self.among = len(queries), among
        self.codec = index.codec
        self.rotated = self.codec.rotated(queries)
        self.found = [state.fresh.search(queries, k, floor, among)]

    def run(self) -> list[Hits]:
        """What is proposed for each probe."""
        complete = np.ones(self.probes, np.bool_)
        jobs = [job for segment in self.state.segments if (job := self._job(segment)) is not None]
        if jobs and self.codec.has_bytes and self.probes >= BATCH:
            self.found.append(self._swept(jobs))
        elif jobs:
            complete = self._ranked(jobs)
        return Found.join(self.found).hits(self.probes, self.k, self.floor, complete)

    def _bars(self, more: Sequence[Found] = ()) -> Float64[np.ndarray, "m"]:
        return Found.join([*self.found, *more]).least(self.probes, self.k, self.floor)

    def _job(self, segment: Segment) -> _Job | None:
        """What to search of a segment; None where nothing is left, because few rows were scored at once."""
        everyone = np.arange(self.probes)
        if self.among is None:
            return _Job(segment, None if segment.count == segment.size else segment.alive, everyone)
        rows = segment.rows_of(self.among)
        if len(rows) == 0:
            return None
        if len(rows) <= FEW and self.codec.has_bytes:
            self.found.append(segment.pairs(self.rotated, rows, self._bars()))
            return None
        scope = np.zeros(segment.size, np.bool_)
        scope[rows] = True
        return _Job(segment, scope, everyone)

    def _swept(self, jobs: list[_Job]) -> Found:
        """All rows multiplied with all probes; those that may be wanted scored by bytes."""
        work = Sweep(self.codec, self.asked, self.k, self._bars())
        stretches = [(j.segment, j.scope, a, b) for j in jobs for a, b in work.stretches(j.segment.size)]
        coarse = self.index.tasks(work.stretch, stretches)
        bars = self._bars([found for found, _, _ in coarse])

        def scored(part: tuple[Found, Segment, Int64[np.ndarray, "r"]]) -> Found:
            found, segment, rows = part
            keep = found.scores.astype(np.float64) + found.error >= bars[found.probe]
            return segment.by_bytes(found.probe[keep], self.asked, rows[keep], bars)

        return Found.join(self.index.tasks(scored, coarse))

    def _searched(self, jobs: list[_Job]) -> bool:
        """Rows that a code says may be wanted; whether that is assured.

        With a floor that few rows can reach: all that reach it, at once. Otherwise the first in the code's order
        set a bar, and if the rest may reach it, all that reach the bar.
        """
        signs = self.codec.has_signs
        floors = np.full(self.probes, self.floor)
        if self._share(jobs, floors, signs) > DIRECT:
            ranked = self._each(jobs, lambda s, scope: s.best(self.asked, self._first, self._bars(), scope, signs))
            bars = self._bars([found for found, _ in ranked])
            open_jobs = [job for job, (_, reach) in zip(jobs, ranked, strict=True) if (reach >= bars).any()]
            done = [found for job, (found, _) in zip(jobs, ranked, strict=True) if job not in open_jobs]
            self.found += done
            jobs = open_jobs
        return True


def _struck(segments: tuple[Segment, ...], ids: Int64[np.ndarray, "n"]) -> tuple[Segment, ...]:
    """Segments without the rows of rising ids."""
    found = [(segment, segment.rows_of(ids)) for segment in segments]
    return tuple(segment.without(rows) if len(rows) else segment for segment, rows in found)


def _compact(segments: tuple[Segment, ...]) -> tuple[Segment, ...]:
    """Segments written anew where over a quarter of the rows is struck, and left out where all are."""
    worn = [(s, s.count < s.size - s.size // 4) for s in segments if s.count]
    return tuple(Segment.merged([s]) if anew else s for s, anew in worn)


def _closed() -> IndexUnavailable:
    return IndexUnavailable("this index is closed: open it again")

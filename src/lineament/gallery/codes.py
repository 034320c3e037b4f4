"""Compact codes in memory instead of templates: the index of large galleries.

What is stored is a `Snapshot` that never changes: segments of encoded rows (segment.py), and the newest rows
as they are, in a `FlatRows`. A writer makes the next one and publishes it by one assignment, so that readers
take no lock and see whole updates only; nothing that FAISS searches is ever written to. When the newest rows
have become many, the writer encodes them into a segment, and puts small segments together: this holds up the
writer (about 10 µs a row), not the readers.

What a search assures:

- By bytes, a hard bound. |cosine − score| ≤ the length of what rounding took from the row, and that is
  measured for every row. The k-th best cosine is at least the k-th largest of (score − bound); whatever may
  reach that, or the floor, is proposed.
- By signs (RaBitQ), the same with a bound that is a probability: the error measured on the collection's own
  rows, `codec.SAFETY` = 5 standard deviations of it or the worst that was seen. Where errors are normal, as
  theorem 3.2 of Gao and Long 2024 lets expect, 3 in ten million wanted rows are beyond.
- `Hits.complete` is True where that held. With bytes it always does: where too many rows may be wanted as far
  as signs can tell, bytes are searched instead. Signs alone stop at `MOST` rows a segment, and say so.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64

from lineament.core.errors import IndexUnavailable, InvalidArgument
from lineament.gallery.codec import Codec, Kind, Probes, engine
from lineament.gallery.flat import TOGETHER, FlatRows, Found, check_search, last_of_each, unit_rows
from lineament.gallery.port import Hits
from lineament.gallery.segment import Segment
from lineament.gallery.sweep import Sweep
from lineament.runtime.options import processors

FRESH = 10_000
"""Rows kept as they are, beyond which they are encoded."""
LARGE = 131_072
"""Rows of a segment at most, unless smaller ones were put together; those of half of it are let be."""
SMALL_ONES = 4
"""Segments under that size, at which they are put together."""
BATCH, BATCH_OF_SIGNS = 2, 8
"""Probes from which on multiplying all bytes is quicker than a search for each: without signs, and with."""
FIRST = 64
"""Rows of a segment that a code ranks first, at least."""
DIRECT = 0.05
"""Share of rows that may reach the floor as far as signs know, up to which all those are scored at once."""
RANKED = 0.01
"""Share of rows that may reach the floor by bytes, up to which so many are ranked."""
ALL = 0.1
"""Share of rows up to which sign codes are used at all, where there are bytes too."""
FEW = 4096
"""Rows to look at that are scored one by one, without any ranking."""
MOST = 16_384
"""Rows of a segment that signs alone rank at most."""

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
        threads: that search at the same time, all searches together; None for all processors. Encoding is
            done by the thread that writes, and those that OpenMP gives it.
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
        self._fresh = fresh
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
            segments = _compact(_struck(state.segments, ids))
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
            segments += [] if segment is None else [segment]
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
    """A segment, and which of its rows to look at."""

    segment: Segment
    scope: Bool[np.ndarray, "n"] | None


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
        self.index, self.state, self.k, self.floor, self.among = index, state, k, floor, among
        self.codec = index.codec
        self.probes = Probes(self.codec.rotated(queries))
        self.found = [state.fresh.search(queries, k, floor, among)]

    def run(self) -> list[Hits]:
        """What is proposed for each probe."""
        count = len(self.probes)
        complete = np.ones(count, np.bool_)
        jobs = [job for segment in self.state.segments if (job := self._job(segment)) is not None]
        many = count >= (BATCH_OF_SIGNS if self.codec.has_signs else BATCH)
        if jobs and self.codec.has_bytes and many:
            bars = Found.join(self.found).least(count, self.k, self.floor)
            self.found.append(self._swept(self.probes, jobs, bars))
        elif jobs:
            before = Found.join(self.found)
            alone = [self._alone(q, jobs, before) for q in range(count)]
            self.found = [found for found, _ in alone]
            complete[:] = [whole for _, whole in alone]
        return Found.join(self.found).hits(count, self.k, self.floor, complete)

    def _job(self, segment: Segment) -> _Job | None:
        """What to search of a segment; None where nothing is left, because few rows were scored at once."""
        if self.among is None:
            return _Job(segment, None if segment.count == segment.size else segment.alive)
        rows = segment.rows_of(self.among)
        if len(rows) == 0:
            return None
        if len(rows) <= FEW and self.codec.has_bytes:
            bars = Found.join(self.found).least(len(self.probes), self.k, self.floor)
            self.found.append(segment.pairs(self.probes, rows, bars))
            return None
        scope = np.zeros(segment.size, np.bool_)
        scope[rows] = True
        return _Job(segment, scope)

    def _swept(self, probes: Probes, jobs: list[_Job], known: Float64[np.ndarray, "m"]) -> Found:
        """All rows of these segments multiplied with probes; those that may be wanted scored by bytes."""
        work = Sweep(self.codec, probes, self.k, known)
        stretches = [(j.segment, j.scope, a, b) for j in jobs for a, b in work.stretches(j.segment.size)]
        coarse = self.index.tasks(work.stretch, stretches)
        swept = Found.join([found for found, _, _ in coarse])
        bars = np.maximum(known, swept.least(len(probes), self.k, self.floor))

        def scored(part: tuple[Found, Segment, Int64[np.ndarray, "r"]]) -> Found:
            found, segment, rows = part
            keep = found.scores.astype(np.float64) + found.error >= bars[found.probe]
            return segment.by_bytes(found.probe[keep], probes, rows[keep], bars)

        return Found.join(self.index.tasks(scored, coarse))

    def _alone(self, q: int, jobs: list[_Job], before: Found) -> tuple[Found, bool]:
        """One probe: what is proposed, and whether that is assured.

        Where signs say that few rows can reach the floor, those, at once. Otherwise the first rows in a
        code's order set a bar, and segments where others may reach it give all that may.
        """
        one = Probes(self.probes.rotated[q : q + 1])
        mine = before.only(before.probe == q)
        told = {-1: Found(np.zeros(len(mine.ids), np.int64), mine.ids, mine.scores, mine.error)}
        left = dict(enumerate(jobs))
        first, complete = max(2 * self.k, FIRST), True
        if self.codec.has_signs:
            if self._share(left, self._bar(told), signs=True) > DIRECT:
                left = self._ranked(one, told, left, first, signs=True)
            if left and self._share(left, self._bar(told), signs=True) <= ALL:
                left = self._over(one, told, left)
        if left and self.codec.has_bytes:
            self._by_bytes(one, told, left, first)
        elif left:
            complete = not self._ranked(one, told, left, max(first, MOST), signs=True)
        found = Found.join(list(told.values()))
        return Found(found.probe + q, found.ids, found.scores, found.error), complete

    def _by_bytes(self, one: Probes, told: dict[int, Found], left: dict[int, _Job], first: int) -> None:
        """Tell what may be wanted of these segments, by bytes."""
        share = self._share(left, self._bar(told), signs=False)
        if share <= RANKED:
            first = max(first, int(2 * share * max(job.segment.size for job in left.values())))
        left = self._ranked(one, told, left, first, signs=False)
        if left:
            # The bar stays true without the rows that set it: they are found again.
            bar = self._bar(told)
            for n in left:
                told.pop(n)
            told[-2] = self._swept(one, list(left.values()), bar)

    def _bar(self, told: dict[int, Found]) -> Float64[np.ndarray, "1"]:
        return Found.join(list(told.values())).least(1, self.k, self.floor)

    def _share(self, left: dict[int, _Job], bar: Float64[np.ndarray, "1"], signs: bool) -> float:
        """About what share of the rows of these segments may reach the bar."""
        segments = [job.segment for job in left.values()]
        rows = sum(s.size * s.share(bar, signs) for s in segments)
        return rows / sum(s.size for s in segments)

    def _ranked(
        self, one: Probes, told: dict[int, Found], left: dict[int, _Job], k: int, signs: bool
    ) -> dict[int, _Job]:
        """Tell the first k rows of each segment; which segments may have more."""
        bar = self._bar(told)

        def best(job: _Job) -> tuple[Found, Float64[np.ndarray, "1"]]:
            return job.segment.best(one, k, bar, job.scope, signs)

        answers = dict(zip(left, self.index.tasks(best, list(left.values())), strict=True))
        told.update({n: found for n, (found, _) in answers.items()})
        bar = self._bar(told)
        return {n: job for n, job in left.items() if answers[n][1][0] >= bar[0]}

    def _over(self, one: Probes, told: dict[int, Found], left: dict[int, _Job]) -> dict[int, _Job]:
        """Tell all rows of these segments that may reach the bar, as far as signs know; nothing is left."""
        bar = self._bar(told)

        def over(job: _Job) -> Found:
            return job.segment.over(one, bar, job.scope)

        told.update(zip(left, self.index.tasks(over, list(left.values())), strict=True))
        return {}


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

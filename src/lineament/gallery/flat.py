"""Templates as they are, float32 in memory, every one of them compared: the index of small galleries.

Readers take no lock. What they read is a `FlatRows`, which never changes: rows are appended to a shared
buffer beyond the end that older readers know of, and what is deleted is struck from a mask that is copied for
it. A writer publishes its new `FlatRows` by one assignment.

The products are made in float32. A sum of d such products of unit vectors is off by at most d·2⁻²⁴ (Higham
2002, Accuracy and Stability of Numerical Algorithms, eq. 3.5), so whatever lies that close below the k-th
best or the floor is proposed as well.
"""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64

from lineament.core.errors import IndexUnavailable, InvalidArgument, TemplateInvalid
from lineament.gallery.port import Hits

BLOCK = 16_384
"""Rows multiplied at a time."""
TOGETHER = 64
"""Probes searched at a time; more are cut into parts, which bounds memory."""
_FIRST = 1024
_UNIT = 1e-4


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """Rows proposed for some probes, in no order: number of the probe, id, score, how far that may be off."""

    probe: Int64[np.ndarray, "n"]
    ids: Int64[np.ndarray, "n"]
    scores: Float32[np.ndarray, "n"]
    error: Float32[np.ndarray, "n"]

    @classmethod
    def join(cls, parts: "list[Found]") -> "Found":
        """All rows of several parts of an index."""
        if not parts:
            none = np.zeros(0, np.int64)
            return cls(none, none, np.zeros(0, np.float32), np.zeros(0, np.float32))
        return cls(
            np.concatenate([p.probe for p in parts]),
            np.concatenate([p.ids for p in parts]),
            np.concatenate([p.scores for p in parts]),
            np.concatenate([p.error for p in parts]),
        )

    def only(self, keep: np.ndarray) -> "Found":
        """Some of the rows, by mask or by number."""
        return Found(self.probe[keep], self.ids[keep], self.scores[keep], self.error[keep])

    def least(self, probes: int, k: int, floor: float) -> Float64[np.ndarray, "m"]:
        """What an exact cosine must reach to be wanted, as far as these rows tell.

        It is `floor`, or the k-th largest of `score − error`, which the exact k-th best cannot be under.
        """
        bars = np.full(probes, floor, np.float64)
        low = self.scores.astype(np.float64) - self.error
        order = np.lexsort((-low, self.probe))
        start = np.searchsorted(self.probe[order], np.arange(probes + 1))
        full = np.flatnonzero(np.diff(start) >= k)
        bars[full] = np.maximum(floor, low[order][start[full] + k - 1])
        return bars

    def hits(self, probes: int, k: int, floor: float, complete: Bool[np.ndarray, "m"]) -> list[Hits]:
        """The rows that may be among the k best at or over the floor, best first, the lower id before."""
        bars = self.least(probes, k, floor)
        kept = self.only(self.scores.astype(np.float64) + self.error >= bars[self.probe])
        kept = kept.only(np.lexsort((kept.ids, -kept.scores, kept.probe)))
        start = np.searchsorted(kept.probe, np.arange(probes + 1))
        return [
            Hits(kept.ids[a:b], kept.scores[a:b], bool(whole))
            for a, b, whole in zip(start[:-1], start[1:], complete, strict=True)
        ]


def rounding(dimension: int) -> float:
    """How far a float32 product of two unit rows may be from their cosine."""
    return dimension * 2.0**-24 + 2e-6


def unit_rows(vectors: Float32[np.ndarray, "n d"], dimension: int, what: str) -> Float32[np.ndarray, "n d"]:
    """Rows of length 1 within float32, contiguous.

    Raises:
        TemplateInvalid: a row of another dimension, not finite, or further than 1e-4 from unit length.
    """
    if vectors.ndim != 2 or vectors.shape[1] != dimension:
        raise TemplateInvalid(
            f"{what} of shape {vectors.shape} do not fit an index of {dimension} numbers: the model that "
            "made them is another than the collection's"
        )
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    bad = np.flatnonzero(~(np.abs(lengths - 1.0) < _UNIT))  # `not (… < …)` is true for NaN as well
    if bad.size:
        raise TemplateInvalid(
            f"row {bad[0]} of the {what} is no unit vector (length {lengths[bad[0]]:.6g}): "
            "make templates with Templates.from_raw, which scales and checks them"
        )
    rows = np.ascontiguousarray(vectors, dtype=np.float32)
    off = np.flatnonzero(np.abs(lengths - 1.0) > 1e-6)
    if off.size:
        rows = rows.copy()
        rows[off] = (rows[off] / lengths[off, None]).astype(np.float32)
    return rows


def last_of_each(
    ids: Int64[np.ndarray, "n"], vectors: Float32[np.ndarray, "n d"]
) -> tuple[Int64[np.ndarray, "u"], Float32[np.ndarray, "u d"]]:
    """Rows by rising id; of several with one id the last counts.

    Raises:
        InvalidArgument: not one id for each row.
    """
    if len(ids) != len(vectors):
        raise InvalidArgument(f"{len(ids)} ids for {len(vectors)} rows: give one id for each")
    if len(ids) < 2 or bool((np.diff(ids) > 0).all()):
        return ids, vectors
    unique, backwards = np.unique(ids[::-1], return_index=True)
    return unique, vectors[len(ids) - 1 - backwards]


def check_search(k: int, floor: float, among: Int64[np.ndarray, "a"] | None) -> None:
    """Refuse arguments of a search that mean nothing.

    Raises:
        InvalidArgument: k under 1, a floor outside −1..1, or ids to look at that do not rise.
    """
    if k < 1:
        raise InvalidArgument(f"k is {k}: ask for 1 reference or more")
    if not -1.0 <= floor <= 1.0:
        raise InvalidArgument(f"the floor is {floor}: a cosine is from -1 to 1")
    if among is not None and bool((np.diff(among) <= 0).any()):
        raise InvalidArgument("the ids to look at must rise, without any twice: give numpy.unique(ids)")


class _Buffer:
    """Room for rows; `used` rows of it belong to the newest FlatRows."""

    def __init__(self, capacity: int, dimension: int) -> None:
        self.vectors = np.empty((capacity, dimension), np.float32)
        self.ids = np.empty(capacity, np.int64)
        self.used = 0

    @property
    def nbytes(self) -> int:
        """Memory, unused room included."""
        return self.vectors.nbytes + self.ids.nbytes


@dataclass(frozen=True, slots=True, eq=False)
class FlatRows:
    """Rows and their ids at one moment; made anew by every change, sharing what did not change.

    One thread at a time may make a new one (`put`, `without`), always out of the newest.
    """

    buffer: _Buffer
    size: int
    alive: Bool[np.ndarray, "n"] | None
    rising: bool

    @classmethod
    def none(cls, dimension: int) -> "FlatRows":
        """No rows yet."""
        return cls(_Buffer(_FIRST, dimension), 0, None, True)

    @property
    def ids(self) -> Int64[np.ndarray, "n"]:
        """Ids of all rows, struck ones included."""
        return self.buffer.ids[: self.size]

    @property
    def vectors(self) -> Float32[np.ndarray, "n d"]:
        """All rows, struck ones included."""
        return self.buffer.vectors[: self.size]

    @property
    def count(self) -> int:
        """Rows that can be found."""
        return self.size if self.alive is None else int(np.count_nonzero(self.alive))

    def living(self) -> tuple[Int64[np.ndarray, "n"], Float32[np.ndarray, "n d"]]:
        """Ids and rows that can be found, by rising id."""
        rows = np.arange(self.size) if self.alive is None else np.flatnonzero(self.alive)
        rows = rows[np.argsort(self.ids[rows])]
        return self.ids[rows], self.vectors[rows]

    def rows_of(self, ids: Int64[np.ndarray, "a"]) -> Int64[np.ndarray, "r"]:
        """Row numbers of those of the rising `ids` that can be found, rising."""
        if self.rising:
            at = np.searchsorted(self.ids, ids)
            at = at[at < self.size]
            rows = at[self.ids[at] == ids[: len(at)]]
        else:
            at = np.searchsorted(ids, self.ids)
            at[at == len(ids)] = 0
            rows = np.flatnonzero(ids[at] == self.ids) if len(ids) else np.zeros(0, np.int64)
        return rows if self.alive is None else rows[self.alive[rows]]

    def put(self, ids: Int64[np.ndarray, "n"], vectors: Float32[np.ndarray, "n d"]) -> "FlatRows":
        """With these rows; `ids` rise. A row that is there unchanged stays where it is."""
        there = self.rows_of(ids)
        if len(there):
            at = np.searchsorted(ids, self.ids[there])
            same = (self.vectors[there] == vectors[at]).all(axis=1)
            new = np.ones(len(ids), np.bool_)
            new[at[same]] = False
            return self.struck(there[~same]).appended(ids[new], vectors[new])
        return self.appended(ids, vectors)

    def without(self, ids: Int64[np.ndarray, "n"]) -> "FlatRows":
        """Without these rows."""
        return self.struck(self.rows_of(np.unique(ids)))

    def struck(self, rows: Int64[np.ndarray, "r"]) -> "FlatRows":
        """Without the rows of these numbers; the buffer is written anew once a quarter of it is struck."""
        if not len(rows):
            return self
        alive = np.ones(self.size, np.bool_) if self.alive is None else self.alive.copy()
        alive[rows] = False
        left = replace(self, alive=alive)
        if self.size - left.count > max(_FIRST, self.size // 4):
            return FlatRows.none(self.buffer.vectors.shape[1]).appended(*left.living())
        return left

    def appended(self, ids: Int64[np.ndarray, "n"], vectors: Float32[np.ndarray, "n d"]) -> "FlatRows":
        """With rows at the end, of rising ids, none of which is there."""
        if not len(ids):
            return self
        end = self.size + len(ids)
        buffer = self.buffer
        # After a failure, an older FlatRows than the newest is built upon: the room behind it is taken then.
        if end > len(buffer.ids) or buffer.used != self.size:
            buffer = _Buffer(max(2 * self.size, end, _FIRST), vectors.shape[1])
            buffer.ids[: self.size], buffer.vectors[: self.size] = self.ids, self.vectors
        buffer.ids[self.size : end], buffer.vectors[self.size : end] = ids, vectors
        buffer.used = end
        alive = None if self.alive is None else np.concatenate([self.alive, np.ones(len(ids), np.bool_)])
        rising = self.rising and (self.size == 0 or bool(self.ids[-1] < ids[0]))
        return FlatRows(buffer, end, alive, rising)

    def search(
        self,
        queries: Float32[np.ndarray, "m d"],
        k: int,
        floor: float,
        among: Int64[np.ndarray, "a"] | None,
    ) -> Found:
        """Rows that are among the k best at or over the floor, and what float32 cannot tell from them."""
        error = rounding(queries.shape[1])
        bars = np.full(len(queries), floor - error)
        parts: list[Found] = []
        for ids, vectors, alive in self._blocks(among):
            scores = queries @ vectors.T
            if alive is not None:
                scores[:, ~alive] = -np.inf
            hit = scores >= bars[:, None]
            if len(ids) > k and np.count_nonzero(hit) > 2 * k * len(queries):
                best = np.partition(scores, len(ids) - k, axis=1)[:, len(ids) - k]
                bars = np.maximum(bars, best.astype(np.float64) - 2 * error)
                hit = scores >= bars[:, None]
            probe, row = np.nonzero(hit)
            values = scores[probe, row]
            parts.append(Found(probe, ids[row], values, np.full(len(row), error, np.float32)))
        return Found.join(parts)

    def _blocks(
        self, among: Int64[np.ndarray, "a"] | None
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray | None]]:
        """(ids, rows, mask of those to look at) of stretches of rows."""
        alive = self.alive
        if among is not None:
            rows = self.rows_of(among)
            if len(rows) < self.size // 2:
                for start in range(0, len(rows), BLOCK):
                    chosen = rows[start : start + BLOCK]
                    yield self.ids[chosen], self.vectors[chosen], None
                return
            alive = np.zeros(self.size, np.bool_)
            alive[rows] = True
        for start in range(0, self.size, BLOCK):
            stretch = slice(start, start + BLOCK)
            yield self.ids[stretch], self.vectors[stretch], None if alive is None else alive[stretch]


@dataclass(frozen=True, slots=True)
class _State:
    rows: FlatRows
    seq: int


class FlatIndex:
    """Exact search among all rows: see `VectorIndex` for what it promises.

    It always keeps the promise: `Hits.complete` is True. A row takes 4·d + 8 bytes, up to three times that
    while the buffer grows. The numbers of a deleted row stay in memory, out of reach of any search, until the
    buffer is written anew.

    Args:
        dimension: length of a template.
    """

    def __init__(self, dimension: int) -> None:
        if dimension < 1:
            raise InvalidArgument(f"templates of {dimension} numbers: the dimension is 1 or more")
        self._dimension = dimension
        self._writing = threading.Lock()
        self._state: _State | None = _State(FlatRows.none(dimension), 0)

    @property
    def dimension(self) -> int:
        """Length of a template."""
        return self._dimension

    def upsert(self, ids: Int64[np.ndarray, "n"], vectors: Float32[np.ndarray, "n d"], seq: int) -> None:
        """Add or replace rows, see `VectorIndex.upsert`."""
        ids, vectors = last_of_each(ids, unit_rows(vectors, self._dimension, "references"))
        with self._writing:
            self._state = _State(self._now().rows.put(ids, vectors), seq)

    def delete(self, ids: Int64[np.ndarray, "n"], seq: int) -> None:
        """Take rows out, see `VectorIndex.delete`."""
        with self._writing:
            self._state = _State(self._now().rows.without(ids), seq)

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
        queries = unit_rows(queries, self._dimension, "probes")
        rows = self._now().rows
        hits: list[Hits] = []
        for start in range(0, len(queries), TOGETHER):
            part = queries[start : start + TOGETHER]
            whole = np.ones(len(part), np.bool_)
            hits += rows.search(part, k, floor, among).hits(len(part), k, floor, whole)
        return hits

    def rows(self) -> tuple[FlatRows, int]:
        """What is stored now, and the sequence number that belongs to it."""
        state = self._now()
        return state.rows, state.seq

    def applied_seq(self) -> int:
        """The last sequence number told."""
        return self._now().seq

    def count(self) -> int:
        """Rows that a search can find."""
        return self._now().rows.count

    def clear(self) -> None:
        """Forget everything."""
        with self._writing:
            self._now()
            self._state = _State(FlatRows.none(self._dimension), 0)

    def close(self) -> None:
        """Let go of the memory; searches under way end undisturbed."""
        with self._writing:
            self._state = None

    def _now(self) -> _State:
        state = self._state
        if state is None:
            raise IndexUnavailable("this index is closed: open it again")
        return state

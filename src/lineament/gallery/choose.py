"""Which index in memory suits a gallery: as many rows as it has, as long as its templates are.

Up to `LIMIT` rows every template is compared as it is. Beyond, codes are searched. Which ones follows a test
of recall on real templates (bench/gallery_search.py, figures in LOG.md): RaBitQ's one bit a coordinate leaves
out too much of short templates unless thousands of rows are ranked, while for long ones it is several times
faster than bytes. Bytes are kept in both cases, and bound what can be missed.
"""

import threading

import numpy as np
from jaxtyping import Float32, Int64

from lineament.core.errors import InvalidArgument
from lineament.gallery.codec import Kind
from lineament.gallery.codes import CodesIndex
from lineament.gallery.flat import FlatIndex, unit_rows
from lineament.gallery.port import Hits, VectorIndex

LIMIT = 200_000
"""Rows up to which templates are compared as they are."""
LONG = 256
"""Numbers of a template from which on sign codes rank well."""
_STEP = 65_536


def open_index(dimension: int, expected_rows: int = 0, *, threads: int | None = None) -> VectorIndex:
    """An empty index in memory for templates of a collection.

    Args:
        dimension: length of a template.
        expected_rows: how many there will be soon, for example those already stored. A wrong guess costs time
            once: an index that begins flat turns to codes when it has grown.
        threads: that search at the same time among codes; None for all processors.

    Raises:
        IndexUnavailable: many rows are expected, and FAISS is not installed.
    """
    if expected_rows < 0:
        raise InvalidArgument(f"{expected_rows} rows cannot be expected: give 0 or more")
    if expected_rows > LIMIT:
        return CodesIndex(dimension, kind_for(dimension), threads=threads)
    return GrowingIndex(dimension, threads=threads)


def kind_for(dimension: int) -> Kind:
    """The codes for templates of that many numbers."""
    return "rabitq+bytes" if dimension >= LONG else "bytes"


class GrowingIndex:
    """Flat while it is small, codes once it is large: see `VectorIndex` for what it promises.

    The update that makes it too large encodes all rows, about 10 µs each. Searches go on among the flat rows
    until that is done. It stays with codes when it shrinks.

    Args:
        dimension: length of a template.
        limit: rows up to which it is flat.
        threads: that search at the same time among codes; None for all processors.
    """

    def __init__(self, dimension: int, *, limit: int = LIMIT, threads: int | None = None) -> None:
        self._limit, self._threads = limit, threads
        self._writing = threading.Lock()
        self._index: FlatIndex | CodesIndex = FlatIndex(dimension)

    @property
    def dimension(self) -> int:
        """Length of a template."""
        return self._index.dimension

    @property
    def flat(self) -> bool:
        """Whether rows are kept as they are."""
        return isinstance(self._index, FlatIndex)

    def upsert(self, ids: Int64[np.ndarray, "n"], vectors: Float32[np.ndarray, "n d"], seq: int) -> None:
        """Add or replace rows, see `VectorIndex.upsert`.

        Raises:
            IndexUnavailable: they are too many to be kept as they are, and FAISS is not installed.
        """
        vectors = unit_rows(vectors, self.dimension, "references")  # before all rows are encoded for nothing
        with self._writing:
            index = self._index
            if isinstance(index, FlatIndex) and index.count() + len(ids) > self._limit:
                index = self._encoded(index)
                index.upsert(ids, vectors, seq)
                self._index = index
            else:
                index.upsert(ids, vectors, seq)

    def delete(self, ids: Int64[np.ndarray, "n"], seq: int) -> None:
        """Take rows out, see `VectorIndex.delete`."""
        with self._writing:
            self._index.delete(ids, seq)

    def search(
        self,
        queries: Float32[np.ndarray, "m d"],
        *,
        k: int,
        floor: float = -1.0,
        among: Int64[np.ndarray, "a"] | None = None,
    ) -> list[Hits]:
        """Rows alike to each probe, see `VectorIndex.search`."""
        return self._index.search(queries, k=k, floor=floor, among=among)

    def applied_seq(self) -> int:
        """The last sequence number told."""
        return self._index.applied_seq()

    def count(self) -> int:
        """Rows that a search can find."""
        return self._index.count()

    def clear(self) -> None:
        """Forget everything, and begin flat again."""
        with self._writing:
            self._index.clear()
            if isinstance(self._index, CodesIndex):
                self._index = FlatIndex(self.dimension)

    def close(self) -> None:
        """Let go of the memory; searches under way end undisturbed, or say it is closed."""
        with self._writing:
            self._index.close()

    def _encoded(self, flat: FlatIndex) -> CodesIndex:
        """All rows as codes; the flat index stays as it is for those who search it now."""
        rows, seq = flat.rows()
        ids, vectors = rows.living()
        codes = CodesIndex(flat.dimension, kind_for(flat.dimension), threads=self._threads)
        for start in range(0, len(ids), _STEP):
            codes.upsert(ids[start : start + _STEP], vectors[start : start + _STEP], seq)
        return codes

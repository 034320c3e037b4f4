"""An index in Milvus, for galleries that are larger than one machine, or that many processes search.

Milvus keeps, per model and dimension, one collection of its own with rows (id, vector, collection, seq), and
one row more for each lineament collection that says how far it has followed the truth. What was learnt by
measuring (pymilvus 3.0.2, server 2.3.5, milvus-lite 3.2.2):

- Only a Strong read sees every insert and delete that came before it; Session missed 8 of 8 deletes.
- A partition key and `upsert` do not go together: 94 % of the rows were not found again. With a delete and an
  insert in its place, two writers of the same rows leave them twice, and a search then counts both among its
  best k. So the partitions are our own, named, and `upsert` is told which: that is atomic and repeatable.
- Search by radius is approximate, so the best k are asked for and compared with the floor here.
"""

import math
import re
import secrets
from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float32, Int64

from lineament.core.errors import InvalidArgument, TemplateInvalid
from lineament.core.template import ModelId
from lineament.gallery.gate import Gate
from lineament.gallery.milvus_address import parse_address
from lineament.gallery.milvus_layout import SLOW, Layout
from lineament.gallery.milvus_link import Client, MilvusLink
from lineament.gallery.port import Hits

MOST = 16_384
"""Rows in one answer, and probes in one question: Milvus's own limit."""
SEQS = 1 << 42
"""Sequence numbers that fit beside the number of clearings."""
SPARE = 8
SLACK = 1e-5
"""Cosines of Milvus and ours differ by rounding; 4e-7 was the most that was seen."""
ANSWERS = 1 << 18
MESSAGE = 8 << 20
"""Hits and bytes in one message: far below the 64 MiB at which Milvus refuses."""


class MilvusIndex:
    """References of one collection by one model, in Milvus.

    Searches of this process wait while it writes, so they see whole updates. A search by another process may
    see a part of one: `applied_seq` grows only when a write is complete, so whoever asks it first knows what
    may be missing.

    Args:
        url: see `lineament.gallery.milvus_link.parse_address`.
        collection_id: of the truth, 1 to 4,194,303.
        model: who made the templates.
        dimension: length of a template.
        store: name of the database that holds the truth (at most 32 letters, digits, underscores), where
            several share one Milvus: their ids would meet otherwise.

    Raises:
        InvalidArgument: an address, a store or an id that cannot be.
        IndexUnavailable: Milvus cannot be reached, or lacks the index type.
        GalleryBroken: a collection of this name is there and is not one of ours.
    """

    def __init__(
        self, url: str, collection_id: int, model: ModelId, dimension: int, *, store: str = ""
    ) -> None:
        if not re.fullmatch(r"\w{0,32}", store, re.ASCII):
            raise InvalidArgument(f"store {store!r}: use at most 32 letters, digits and underscores")
        if not 1 <= collection_id < 1 << 22:
            raise InvalidArgument(f"collection_id {collection_id} is not from 1 to {(1 << 22) - 1}")
        self._address = parse_address(url)
        self._collection, self._dimension = collection_id, dimension
        self.name = "_".join(part for part in ("lineament", store, model.digest[:12], str(dimension)) if part)
        self._marks: dict[int, int] = {}
        self._gate = Gate()
        self._layout = Layout(self.name, self._address, model, dimension)
        self._link = MilvusLink(self._address, self._layout.prepare)
        self.applied_seq()

    @property
    def dimension(self) -> int:
        """Length of a template."""
        return self._dimension

    def upsert(self, ids: Int64[np.ndarray, "n"], vectors: Float32[np.ndarray, "n d"], seq: int) -> None:
        """Add rows, or put them in place of those of the same id; see `VectorIndex.upsert`.

        A failure half-way leaves some rows written and `applied_seq` as it was: do it again.
        """
        _require_seq(seq)
        self._require_unit(vectors)
        if len(ids) != len(vectors):
            raise InvalidArgument(f"{len(ids)} ids for {len(vectors)} templates")
        # Of an id that is given twice, the last holds.
        at = len(ids) - 1 - np.unique(ids[::-1], return_index=True)[1]
        at_once = min(MOST, max(1, MESSAGE // (4 * self._dimension + 64)))
        with self._gate.writing():
            for start in range(0, len(at), at_once):
                some = at[start : start + at_once]
                rows = [
                    {"id": i, "vector": vectors[j], "collection": self._collection, "seq": seq}
                    for i, j in zip(ids[some].tolist(), some, strict=True)
                ]
                self._do("write rows", "upsert", data=rows)
            self._say(seq)

    def delete(self, ids: Int64[np.ndarray, "n"], seq: int) -> None:
        """Take rows out; see `VectorIndex.delete`. No later search, by any process, finds them."""
        _require_seq(seq)
        with self._gate.writing():
            for some in _pieces(ids):
                self._do("delete rows", "delete", ids=some)
            self._say(seq)

    def search(
        self,
        queries: Float32[np.ndarray, "m d"],
        *,
        k: int,
        floor: float = -1.0,
        among: Int64[np.ndarray, "a"] | None = None,
    ) -> list[Hits]:
        """Rows alike to each probe; see `VectorIndex.search`.

        `complete` is False where the index type is approximate, where reads are not Strong, and where more
        rows were asked for, and lie over the floor, than Milvus gives in one answer (16,384).
        """
        self._require_unit(queries)
        if k < 1 or not -1.0 <= floor <= 1.0:
            raise InvalidArgument(f"k={k}, floor={floor}: k is 1 or more, floor is from −1 to 1")
        with self._gate.reading():
            if among is not None and not len(among):
                return [_NOTHING] * len(queries)
            if among is None:
                return self._widening(queries, k, floor, self._mine)
            if len(among) <= MOST:
                return self._listed(queries, k, floor, among)
            found = self._widening(queries, k, floor, self._mine, among)
            for i, hits in enumerate(found):
                if not hits.complete and self._exact:
                    found[i] = self._in_pieces(queries[i : i + 1], k, floor, among)
            return found

    def applied_seq(self) -> int:
        """The last sequence number that was told, by any process; 0 before any."""
        with self._gate.reading():
            return self._read_marks() & (SEQS - 1)

    def count(self) -> int:
        """Rows that a search can find."""
        with self._gate.reading():
            rows = self._do("count", "query", filter=self._mine, output_fields=["count(*)"])
        return int(rows[0]["count(*)"])

    def clear(self) -> None:
        """Forget all rows of this collection, and the sequence number before them.

        What another process says about rows that it wrote before holds no more. Two that clear and fill the
        same collection at once are beyond this: only one process may rebuild an index at a time.
        """
        with self._gate.writing():
            self._mark((self._read_marks() | (SEQS - 1)) + 1)
            self._do("clear", "delete", slow=True, filter=self._mine)

    def close(self) -> None:
        """Let go of the connection."""
        self._link.close()

    @property
    def _mine(self) -> str:
        return f"collection == {self._collection}"

    @property
    def _exact(self) -> bool:
        return self._address.index == "FLAT" and self._address.consistency == "Strong"

    def _widening(
        self,
        queries: Float32[np.ndarray, "m d"],
        k: int,
        floor: float,
        rows: str,
        among: Int64[np.ndarray, "a"] | None = None,
    ) -> list[Hits]:
        """Ask for the best few, and for four times as many where that cannot have been all that is wanted.

        Four and not two: a Strong read waits for the server's clock whatever its size.
        """
        found = [_NOTHING] * len(queries)
        waiting = list(range(len(queries)))
        limit = min(k + SPARE, MOST)
        while waiting:
            again: list[int] = []
            for i, (ids, scores) in zip(waiting, self._best(queries[waiting], limit, rows), strict=True):
                all_seen = len(ids) < limit or scores[-1] < floor - SLACK
                kept = slice(None) if among is None else np.isin(ids, among)
                last, ids, scores = scores[-1:], ids[kept], scores[kept]
                all_seen = all_seen or (len(ids) >= k and bool(last < scores[k - 1] - SLACK))
                if all_seen or limit == MOST:
                    found[i] = _trimmed(ids, scores, k, floor, complete=all_seen and self._exact)
                else:
                    again.append(i)
            waiting, limit = again, min(4 * limit, MOST)
        return found

    def _listed(
        self, queries: Float32[np.ndarray, "m d"], k: int, floor: float, among: Int64[np.ndarray, "a"]
    ) -> list[Hits]:
        listed = ", ".join(map(str, among.tolist()))
        return self._widening(queries, k, floor, f"{self._mine} and id in [{listed}]")

    def _in_pieces(
        self, query: Float32[np.ndarray, "1 d"], k: int, floor: float, among: Int64[np.ndarray, "a"]
    ) -> Hits:
        """Search all of a long list, a piece at a time: slow, and exact."""
        parts = [self._listed(query, k, floor, np.asarray(some, np.int64))[0] for some in _pieces(among)]
        ids, scores = (np.concatenate([getattr(p, name) for p in parts]) for name in ("ids", "scores"))
        order = np.argsort(-scores)
        return _trimmed(ids[order], scores[order], k, floor, complete=all(p.complete for p in parts))

    def _best(
        self, queries: Float32[np.ndarray, "m d"], limit: int, rows: str
    ) -> Iterator[tuple[Int64[np.ndarray, "n"], Float32[np.ndarray, "n"]]]:
        parameters = dict(self._address.search)
        for name in ("ef", "search_list"):  # they may not be smaller than the limit
            if name in parameters:
                parameters[name] = max(int(parameters[name]), limit)
        how = {"metric_type": "COSINE", "params": parameters}
        at_once = min(max(1, ANSWERS // limit), max(1, MESSAGE // (4 * self._dimension)), MOST)
        for start in range(0, len(queries), at_once):
            some = queries[start : start + at_once]
            answers = self._do(
                "search",
                "search",
                data=some,
                filter=rows,
                limit=limit,
                search_params=how,
                output_fields=["id"],
            )
            for answer in answers:
                ids = np.array([hit["id"] for hit in answer], np.int64)
                yield ids, np.array([hit["distance"] for hit in answer], np.float32)

    def _do(self, what: str, call: str, *, slow: bool = False, **arguments: Any) -> Any:
        """One call of the client on our partition; every read has the address's consistency."""
        arguments["timeout"] = self._address.timeout_s * (SLOW if slow else 1)

        def act(client: Client) -> Any:
            where = self._layout.partition(self._collection)
            if call in ("search", "query"):
                more = {"consistency_level": self._address.consistency, "partition_names": [where]}
            else:
                more = {"partition_name": where}
            return getattr(client, call)(self.name, **arguments, **more)

        return self._link.call(what, act)

    def _say(self, seq: int) -> None:
        """Write down how far this index is, after the rows: it never claims more than there is."""
        if (value := (max(self._marks.values(), default=0) & -SEQS) | seq) not in self._marks.values():
            self._mark(value)

    def _mark(self, value: int) -> None:
        """Put a mark in place of those that are known.

        A mark lies beside the rows, so whoever drops them drops it as well; its collection is our number made
        negative, so no search finds it. It counts how often the index was cleared (upper bits) and the
        sequence number (lower), and the largest holds: what is said of rows from before a clearing is
        out-numbered.
        The new one is written before the old ones go, so a crash between loses nothing.
        """
        vector = np.zeros(self._dimension, np.float32)
        vector[0] = 1.0
        number = -((self._collection << 40) | secrets.randbits(40))
        row = {"id": number, "vector": vector, "collection": -self._collection, "seq": value}
        self._do("write its state", "upsert", data=[row])
        if self._marks:
            self._do("write its state", "delete", ids=list(self._marks))
        self._marks = {number: value}

    def _read_marks(self) -> int:
        rule = f"collection == {-self._collection}"
        rows = self._do("read its state", "query", filter=rule, output_fields=["id", "seq"], limit=MOST)
        self._marks = {int(row["id"]): int(row["seq"]) for row in rows}
        return max(self._marks.values(), default=0)

    def _require_unit(self, vectors: Float32[np.ndarray, "n d"]) -> None:
        if vectors.ndim != 2 or vectors.shape[1] != self._dimension:
            raise TemplateInvalid(f"templates of shape {vectors.shape} instead of (n, {self._dimension})")
        lengths = np.sqrt(np.einsum("nd,nd->n", vectors, vectors, dtype=np.float64))
        # `not (… < …)` is true for NaN as well.
        if (bad := np.flatnonzero(~(np.abs(lengths - 1.0) < 1e-4))).size:
            length = lengths[bad[0]]
            raise TemplateInvalid(
                f"template {bad[0]} is {'not finite' if not math.isfinite(length) else 'not of length 1'}: "
                "make templates with Templates.from_raw, which scales and checks them"
            )


def _require_seq(seq: int) -> None:
    if not 0 <= seq < SEQS:
        raise InvalidArgument(f"seq {seq} is not from 0 to 2⁴² − 1")


def _pieces(ids: Int64[np.ndarray, "n"]) -> Iterator[list[int]]:
    for start in range(0, len(ids), MOST):
        yield ids[start : start + MOST].tolist()


def _trimmed(
    ids: Int64[np.ndarray, "n"], scores: Float32[np.ndarray, "n"], k: int, floor: float, *, complete: bool
) -> Hits:
    """Only what can be among the best k over the floor, in spite of rounding."""
    least = max(floor, float(scores[k - 1]) if len(scores) >= k else -1.0) - SLACK
    kept = scores >= least
    ids, scores = ids[kept], np.clip(scores[kept], -1.0, 1.0)
    order = np.lexsort((ids, -scores))  # equal scores in the same order each time
    return Hits(ids[order], scores[order], complete)


_NOTHING = Hits(np.empty(0, np.int64), np.empty(0, np.float32))

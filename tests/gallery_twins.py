"""Stand-ins for the tests of the gallery's store: a recognizer of bytes, and the plainest index there is.

What is tested with them is the store: which rows are written, found, moved, lost. No picture is looked at.
`Twin` makes templates of bytes by arithmetic: `b"anna/3"` is the third sample of anna, near her other samples
and far from everybody else's.
"""

import hashlib
import threading
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from lineament.core.errors import ImageEmpty
from lineament.core.faces import Faces
from lineament.core.ports import Captured
from lineament.core.template import ModelId, Template, Templates
from lineament.core.threshold import Threshold
from lineament.core.verdict import Reason
from lineament.gallery.port import Hits

NOISE = 0.3
"""Length of what a sample adds to its person's direction: two samples have a cosine of about 0.92."""


def direction(seed: str, dimension: int) -> np.ndarray:
    """A unit vector that depends on `seed` alone, float64 (d,)."""
    number = int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8], "big")
    vector = np.random.default_rng(number).standard_normal(dimension)
    return vector / np.linalg.norm(vector)


def sample(name: str, dimension: int) -> np.ndarray:
    """The template of `anna/3` or of `anna`, float32 (d,)."""
    person, slash, _ = name.partition("/")
    vector = direction(person, dimension)
    if slash:
        vector = vector + NOISE * direction(name, dimension)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def card(model: ModelId, value: float, fmr: float | None, **other: Any) -> Threshold:
    """A threshold as if it were measured."""
    values: dict[str, Any] = {
        "value": value, "fmr": fmr, "interval": (value, value), "fmr_interval": (0.0, 2 * (fmr or 0.0)),
        "fnmr": 0.01, "comparisons": 10**7, "false_matches": 1, "subjects": 5000, "dataset": "twins",
        "model": model, "date": "2026-11-25", "method": "by arithmetic",
    }  # fmt: skip
    return Threshold(**{**values, **other})


class Twin:
    """A recognizer whose pictures are bytes; implements `lineament.core.ports.Capturer`.

    `b""` is a file that cannot be read, `b"nobody"` shows no face, `b"anna/1+bob/2"` shows two.
    """

    alignment = "arcface-112"

    def __init__(self, dimension: int = 32, name: str = "twin") -> None:
        self.dimension = dimension
        self.model = ModelId(name, hashlib.sha256(f"{name} {dimension}".encode()).hexdigest())
        # At 32 numbers two people have a cosine over 0.75 about once in 100,000 pairs.
        self.thresholds: tuple[Threshold, ...] = (
            card(self.model, 0.75, 1e-5),
            card(self.model, 0.6, 1e-4),
        )

    def template(self, name: str) -> Template:
        """Of one sample."""
        return Template(sample(name, self.dimension), 10.0, self.model)

    def capture_many(
        self, sources: Iterable[Any], *, policy: str = "exactly_one", gate: bool = True
    ) -> Iterator[Captured]:
        """See `Capturer`; of the policies only `exactly_one` and `largest` (the first)."""
        for source in sources:
            yield self._capture(bytes(source), policy)

    def embed_aligned(self, crops: np.ndarray) -> Templates:
        """Templates of the crops that `capture_many` gives: their first row is the template's seed."""
        names = [bytes(crop[0, :, 0]).hex() for crop in crops]
        rows = np.stack([direction(name, self.dimension) for name in names]).astype(np.float32)
        return Templates(rows, np.full(len(rows), 10.0, np.float32), self.model)

    def _capture(self, data: bytes, policy: str) -> Captured:
        source, digest = data.decode()[:60], hashlib.sha256(data).hexdigest()
        if not data:
            return Captured("empty", error=ImageEmpty("the picture has no bytes"))
        if data.startswith(b"nobody"):
            none = Reason("no_face", "no face was found", blocking=True)
            return Captured(source, digest, reasons=(none,))
        names = data.decode().split("+")
        vectors = np.stack([sample(name, self.dimension) for name in names])
        n = len(names)
        templates = Templates(vectors, np.full(n, 10.0, np.float32), self.model)
        boxes = np.tile(np.array([0, 0, 100, 100], np.float32), (n, 1))
        faces = Faces(boxes, np.zeros((n, 5, 2), np.float32), np.ones(n, np.float32), templates=templates)
        if n > 1 and policy == "exactly_one":
            several = Reason("multiple_faces", f"{n} faces", blocking=True)
            return Captured(source, digest, faces=faces, reasons=(several,))
        crop = np.frombuffer(hashlib.sha256(data).digest() * 6, np.uint8).reshape(8, 8, 3)
        return Captured(source, digest, faces[0], crop, faces)


class Brute:
    """Every row against every probe; what a search sees is one state, replaced as a whole."""

    def __init__(self, dimension: int = 32) -> None:
        self.dimension = dimension
        self._lock = threading.Lock()
        self.clear()

    def upsert(self, ids: np.ndarray, vectors: np.ndarray, seq: int) -> None:
        """See `VectorIndex`."""
        with self._lock:
            rows = dict(zip(self._ids.tolist(), self._vectors, strict=True))
            rows.update(zip(np.asarray(ids).tolist(), np.array(vectors, np.float32), strict=True))
            self._set(rows, seq)

    def delete(self, ids: np.ndarray, seq: int) -> None:
        """See `VectorIndex`."""
        with self._lock:
            keep = ~np.isin(self._ids, ids)
            self._state = (self._ids[keep], self._vectors[keep], seq)

    def search(
        self, queries: np.ndarray, *, k: int, floor: float = -1.0, among: np.ndarray | None = None
    ) -> list[Hits]:
        """See `VectorIndex`."""
        ids, vectors, _ = self._state
        if among is not None:
            chosen = np.isin(ids, among)
            ids, vectors = ids[chosen], vectors[chosen]
        hits: list[Hits] = []
        for scores in queries @ vectors.T:
            order = np.argsort(-scores, kind="stable")[:k]
            order = order[scores[order] >= floor - 1e-5]
            hits.append(Hits(ids[order], scores[order].astype(np.float32)))
        return hits

    def applied_seq(self) -> int:
        """See `VectorIndex`."""
        return self._state[2]

    def count(self) -> int:
        """See `VectorIndex`."""
        return len(self._ids)

    def clear(self) -> None:
        """See `VectorIndex`."""
        self._state = (np.zeros(0, np.int64), np.zeros((0, self.dimension), np.float32), 0)

    def close(self) -> None:
        """See `VectorIndex`."""

    @property
    def _ids(self) -> np.ndarray:
        return self._state[0]

    @property
    def _vectors(self) -> np.ndarray:
        return self._state[1]

    def _set(self, rows: dict[int, np.ndarray], seq: int) -> None:
        ids = np.array(sorted(rows), np.int64)
        vectors = (
            np.stack([rows[i] for i in ids.tolist()]) if rows else np.zeros((0, self.dimension), np.float32)
        )
        self._state = (ids, vectors, seq)

"""A stretch of a large gallery, encoded once and never changed.

Every row is rotated by one random matrix. Two codes are kept of the rotated row, both or either:

- *Bytes*: each coordinate in 256 steps. Coordinates of rotated unit rows are about N(0, 1/d), so the range is
  known before any row is. A score from bytes is off by no more than the length of what rounding took away
  (Cauchy and Schwarz); that length is measured for every row as it is encoded, and `Segment.radius` is the
  largest. This bound is hard. A row with a coordinate out of range is not encoded but given back.
- *Signs* (RaBitQ, one bit a coordinate): Gao and Long 2024, RaBitQ: Quantizing High-Dimensional Vectors
  with a Theoretical Error Bound for Approximate Nearest Neighbor Search (SIGMOD), theorem 3.2: over the random
  rotation the estimate has no bias, and the error goes beyond ε·sqrt((1 − o²)/o²)/sqrt(d − 1), o ≈ 0.8, with
  a probability of 2·exp(−c·ε²) only. FAISS's `IndexRaBitQ` does not rotate; this file does. `Drift` is the
  error measured on the segment's own rows. More bits are not offered: FAISS then passes over rows by a bound
  of its own that is not as safe (about one in a thousand of the best, at 4 bits), so that nothing can be
  assured about what it leaves out; and bytes are faster than 4 bits.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any, Literal, cast

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64, UInt8

from lineament.core.errors import IndexUnavailable
from lineament.gallery.flat import Found, rounding

Kind = Literal["bytes", "rabitq", "rabitq+bytes"]

SAFETY = 5.0
"""Standard deviations of a sign code's error that are allowed for: one row in 3.5 million goes beyond."""
SPREAD = 5.5
"""Half the range of bytes, in standard deviations of a coordinate."""
ODD = 0.03
"""A row whose bytes are off by more than this (typically 0.0125) is not encoded."""
QUERY_BITS = 8
"""Of a probe's coordinate where it meets sign codes: with 4 the probe's rounding adds to the error."""
_SEED = 20_240_614
_SAMPLE = 2048
_PROBES = 256


def engine() -> Any:
    """FAISS, imported when it is first needed.

    Raises:
        IndexUnavailable: it is not installed.
    """
    try:
        import faiss
    except ImportError as error:
        raise IndexUnavailable(
            "a gallery of this size is searched with FAISS, which is not installed: "
            'pip install "lineament[gallery]"'
        ) from error
    return faiss


class Codec:
    """How rows of an index become codes: settled by the dimension and the kind alone.

    Args:
        dimension: length of a template.
        kind: which codes are kept.
    """

    def __init__(self, dimension: int, kind: Kind) -> None:
        self.dimension, self.kind = dimension, kind
        self.has_signs, self.has_bytes = kind.startswith("rabitq"), kind.endswith("bytes")
        # Rank order over all rows, by a layout that is twice as fast and takes no filter: bytes do the rest.
        self.packed = kind == "rabitq+bytes"
        half = min(1.0, SPREAD / np.sqrt(dimension))
        self.low, self.step = -half, 2.0 * half / 255.0
        gaussian = np.random.default_rng(_SEED).standard_normal((dimension, dimension))
        self._rotation = np.ascontiguousarray(np.linalg.qr(gaussian)[0], dtype=np.float32)

    def rotated(self, vectors: Float32[np.ndarray, "n d"]) -> Float32[np.ndarray, "n d"]:
        """Rows as the codes see them; products of two rows are as before."""
        return vectors @ self._rotation

    def byte_store(self) -> Any:
        """FAISS's flat index of bytes, empty."""
        faiss = engine()
        store = faiss.IndexScalarQuantizer(
            self.dimension, faiss.ScalarQuantizer.QT_8bit_uniform, faiss.METRIC_INNER_PRODUCT
        )
        faiss.copy_array_to_vector(np.array([self.low, 255.0 * self.step], np.float32), store.sq.trained)
        store.is_trained = True
        return store

    def sign_store(self) -> Any:
        """FAISS's flat index of sign codes about the origin, empty."""
        faiss = engine()
        store = faiss.IndexRaBitQ(self.dimension, faiss.METRIC_INNER_PRODUCT, 1)
        opposite = np.zeros((2, self.dimension), np.float32)
        opposite[:, 0] = 1.0, -1.0
        store.train(opposite)  # their centre is the origin
        store.qb = QUERY_BITS
        return store

    def sign_index(self, rotated: Float32[np.ndarray, "n d"]) -> Any:
        """Sign codes of rows, laid out for searching."""
        store = self.sign_store()
        store.add(rotated)
        if not self.packed:
            return store
        packed = engine().IndexRaBitQFastScan(store, 32)
        packed.qb = QUERY_BITS
        return packed


@dataclass(frozen=True, slots=True)
class Drift:
    """Sign code's score less the exact one, over pairs of the collection's own rows.

    Attributes:
        bias: mean.
        sigma: standard deviation about it.
        worst: largest distance from the mean.
        pairs: how many were measured.
    """

    bias: float
    sigma: float
    worst: float
    pairs: int

    @property
    def margin(self) -> float:
        """How far a score may be from its exact one, `SAFETY` deviations or the worst that was seen."""
        return max(SAFETY * self.sigma, self.worst)

    @classmethod
    def measured(cls, codec: Codec, rotated: Float32[np.ndarray, "n d"]) -> "Drift":
        """Of a sample of rows against some of them as probes."""
        generator = np.random.default_rng(_SEED)
        rows = rotated[np.sort(generator.permutation(len(rotated))[:_SAMPLE])]
        probes = rows[generator.permutation(len(rows))[:_PROBES]]
        scores, order = codec.sign_index(rows).search(probes, len(rows))
        errors = scores.astype(np.float64) - np.take_along_axis(probes @ rows.T, order, axis=1)
        bias = float(errors.mean())
        # A few rows say little: never less than the theorem has it, sqrt((1 − o²)/o²) at o = 0.8.
        sigma = max(float(errors.std()), 0.75 / np.sqrt(max(1, codec.dimension - 1)))
        return cls(bias, float(sigma), float(np.abs(errors - bias).max()), errors.size)

    @classmethod
    def worse(cls, drifts: "list[Drift]") -> "Drift":
        """One that covers all of several."""
        bias = float(np.mean([d.bias for d in drifts]))
        away = [abs(d.bias - bias) for d in drifts]
        sigma = max(d.sigma + a for d, a in zip(drifts, away, strict=True))
        worst = max(d.worst + a for d, a in zip(drifts, away, strict=True))
        return cls(bias, sigma, worst, sum(d.pairs for d in drifts))


@dataclass(frozen=True, eq=False)
class Segment:
    """Encoded rows, by rising id, and which of them can still be found.

    Attributes:
        radius: how far a score from bytes may be from the exact one; 0 without bytes.
        drift: the same of sign codes, None without them.
    """

    codec: Codec
    ids: Int64[np.ndarray, "n"]
    alive: Bool[np.ndarray, "n"]
    radius: float
    drift: Drift | None
    byte_index: Any
    sign_index: Any

    @classmethod
    def encode(
        cls, codec: Codec, ids: Int64[np.ndarray, "n"], vectors: Float32[np.ndarray, "n d"]
    ) -> "tuple[Segment, Bool[np.ndarray, 'n']]":
        """Of rows by rising id; the mask says which of them bytes cannot hold, and are left out."""
        rotated = codec.rotated(vectors)
        if not codec.has_bytes:
            return cls._of(codec, ids, rotated, None, 0.0), np.zeros(len(ids), np.bool_)
        store = codec.byte_store()
        codes = store.sa_encode(rotated)
        lost = np.linalg.norm(store.sa_decode(codes) - rotated, axis=1)
        odd = lost > ODD
        if odd.any():
            ids, rotated, codes, lost = ids[~odd], rotated[~odd], codes[~odd], lost[~odd]
        radius = float(lost.max(initial=0.0)) + rounding(codec.dimension)
        return cls._of(codec, ids, rotated, codes, radius), odd

    @classmethod
    def merged(cls, segments: "list[Segment]") -> "Segment":
        """The findable rows of several, out of their codes."""
        codec = segments[0].codec
        ids = np.concatenate([s.ids[s.alive] for s in segments])
        order = np.argsort(ids)
        if codec.has_bytes:
            codes = np.concatenate([s.codes[s.alive] for s in segments])[order]
            decoded = codec.byte_store().sa_decode(codes) if codec.has_signs else np.zeros((0, 0), np.float32)
            whole = cls._of(codec, ids[order], decoded, codes, max(s.radius for s in segments))
            if whole.drift is None:
                return whole
            # Measured against decoded rows, which are off by up to the radius themselves.
            radius = whole.radius
            wider = replace(whole.drift, worst=whole.drift.worst + radius)
            return replace(whole, drift=wider)
        codes = np.concatenate([s.sign_codes[s.alive] for s in segments])[order]
        store = codec.sign_store()
        store.add_sa_codes(np.ascontiguousarray(codes))
        drift = Drift.worse([s.drift for s in segments if s.drift is not None])
        return cls(codec, ids[order], np.ones(len(ids), np.bool_), 0.0, drift, None, store)

    @classmethod
    def _of(
        cls, codec: Codec, ids: np.ndarray, rotated: np.ndarray, codes: np.ndarray | None, radius: float
    ) -> "Segment":
        store = None
        if codes is not None:
            store = codec.byte_store()
            store.add_sa_codes(np.ascontiguousarray(codes))
        drift = signs = None
        if codec.has_signs and len(ids):
            drift, signs = Drift.measured(codec, rotated), codec.sign_index(rotated)
        return cls(codec, ids, np.ones(len(ids), np.bool_), radius, drift, store, signs)

    @property
    def size(self) -> int:
        """Rows, struck ones included."""
        return len(self.ids)

    @cached_property
    def count(self) -> int:
        """Rows that can be found."""
        return int(np.count_nonzero(self.alive))

    @property
    def nbytes(self) -> int:
        """Memory of codes, ids and mask."""
        signs = 0 if self.sign_index is None else self.size * int(self.sign_index.sa_code_size())
        return signs + self.size * (9 + (self.codec.dimension if self.codec.has_bytes else 0))

    @cached_property
    def codes(self) -> UInt8[np.ndarray, "n d"]:
        """The bytes, in place."""
        return _view(self.byte_index, self.size, self.codec.dimension)

    @cached_property
    def sign_codes(self) -> UInt8[np.ndarray, "n c"]:
        """Sign codes, in place; not of packed ones."""
        return _view(self.sign_index, self.size, int(self.sign_index.sa_code_size()))

    def rows_of(self, ids: Int64[np.ndarray, "a"]) -> Int64[np.ndarray, "r"]:
        """Row numbers of those of the rising `ids` that can be found, rising."""
        at = np.searchsorted(self.ids, ids)
        at = at[at < self.size]
        rows = at[self.ids[at] == ids[: len(at)]]
        return rows[self.alive[rows]]

    def without(self, rows: Int64[np.ndarray, "r"]) -> "Segment":
        """With rows struck."""
        alive = self.alive.copy()
        alive[rows] = False
        return replace(self, alive=alive)

    def by_bytes(
        self, probe: Int64[np.ndarray, "n"], rotated: Float32[np.ndarray, "m d"], rows: Int64[np.ndarray, "n"]
    ) -> Found:
        """Scores of (probe, row) pairs from bytes, within `radius` of exact; `probe` rises."""
        scores = np.empty(len(rows), np.float32)
        base = rotated.sum(axis=1) * np.float32(self.codec.low + self.codec.step / 2)
        start = np.searchsorted(probe, np.arange(len(rotated) + 1))
        for q, (a, b) in enumerate(pairwise(start)):
            for c in range(a, b, 8192):
                part = rows[c : min(c + 8192, b)]
                products = self.codes[part].astype(np.float32) @ rotated[q]
                scores[c : c + len(part)] = products * np.float32(self.codec.step) + base[q]
        return Found(probe, self.ids[rows], scores, np.full(len(rows), self.radius, np.float32))

    def pairs(
        self,
        rotated: Float32[np.ndarray, "m d"],
        rows: Int64[np.ndarray, "r"],
        bars: Float64[np.ndarray, "m"],
    ) -> Found:
        """Every probe with every one of some rows, by bytes, those that may reach the probe's bar."""
        decoded = self.codes[rows].astype(np.float32)
        decoded *= np.float32(self.codec.step)
        decoded += np.float32(self.codec.low + self.codec.step / 2)
        scores = rotated @ decoded.T
        probe, at = np.nonzero(scores >= bars[:, None] - self.radius)
        error = np.full(len(at), self.radius, np.float32)
        return Found(probe, self.ids[rows[at]], scores[probe, at], error)

    def best(
        self,
        rotated: Float32[np.ndarray, "m d"],
        k: int,
        bars: Float64[np.ndarray, "m"],
        scope: Bool[np.ndarray, "n"] | None,
        signs: bool,
    ) -> tuple[Found, Float64[np.ndarray, "m"]]:
        """The k rows that a code ranks first, scored as well as this segment can.

        Args:
            rotated: probes.
            k: how many rows to rank; with packed sign codes rows out of scope count too.
            bars: for each probe, rows that are surely under it may be left out.
            scope: which rows to look at, None for all.
            signs: rank by sign codes, not by bytes.

        Returns:
            Rows, and for each probe the largest exact cosine that a row in scope but not among them can have.
        """
        packed = signs and self.codec.packed
        wanted = self.size if scope is None or packed else int(np.count_nonzero(scope))
        k = min(k, wanted)
        if k == 0:
            return Found.join([]), np.full(len(rotated), -np.inf)
        scores, rows = self._ranked(rotated, k, None if packed else scope, signs)
        bias, margin = 0.0, self.radius
        if signs and self.drift is not None:
            bias, margin = self.drift.bias, self.drift.margin
        reach = np.full(len(rotated), -np.inf)
        if k < wanted:
            reach = scores[:, -1].astype(np.float64) - bias + margin
        keep = (rows >= 0) & (scores >= bars[:, None] + (bias - margin))
        if packed and scope is not None:
            keep &= scope[rows]
        probe, at = np.nonzero(keep)
        chosen = rows[probe, at]
        if self.codec.has_bytes:
            return self.by_bytes(probe, rotated, chosen), reach
        unbiased = scores[probe, at] - np.float32(bias)
        return Found(probe, self.ids[chosen], unbiased, np.full(len(at), margin, np.float32)), reach

    def _ranked(
        self, rotated: np.ndarray, k: int, scope: np.ndarray | None, signs: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        index = self.sign_index if signs else self.byte_index
        if scope is None:
            return cast(tuple[np.ndarray, np.ndarray], index.search(rotated, k))
        faiss = engine()
        parameters = faiss.RaBitQSearchParameters() if signs else faiss.SearchParameters()
        if signs:
            parameters.qb = QUERY_BITS
        bits = np.packbits(scope, bitorder="little")
        parameters.sel = faiss.IDSelectorBitmap(bits)
        return cast(tuple[np.ndarray, np.ndarray], index.search(rotated, k, params=parameters))


def _view(index: Any, rows: int, width: int) -> np.ndarray:
    if not rows:
        return np.zeros((0, width), np.uint8)
    flat = cast(np.ndarray, engine().rev_swig_ptr(index.codes.data(), rows * width))
    return flat.reshape(rows, width)

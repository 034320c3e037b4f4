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
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64, UInt8

from lineament.core.errors import IndexUnavailable
from lineament.gallery.flat import Found, rounding
from lineament.runtime.byte_products import Rounded, multiply

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
_SHARES = np.geomspace(1e-4, 1.0, 41)
_MANY = 256


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


class Probes:
    """Probes of one search, as the codes see them.

    Args:
        rotated: unit rows, rotated.
    """

    def __init__(self, rotated: Float32[np.ndarray, "m d"]) -> None:
        self.rotated = rotated

    def __len__(self) -> int:
        return len(self.rotated)

    @cached_property
    def rounded(self) -> Rounded:
        """The same as bytes."""
        return Rounded(self.rotated)


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
    def of(cls, errors: Float64[np.ndarray, "p r"], dimension: int) -> "Drift":
        """Of errors that were measured."""
        bias = float(errors.mean())
        # A few rows say little: never less than the theorem has it, sqrt((1 − o²)/o²) at o = 0.8.
        sigma = max(float(errors.std()), float(0.75 / np.sqrt(max(1, dimension - 1))))
        return cls(bias, sigma, float(np.abs(errors - bias).max()), errors.size)

    @classmethod
    def worse(cls, drifts: "list[Drift]") -> "Drift":
        """One that covers all of several."""
        bias = float(np.mean([d.bias for d in drifts]))
        away = [abs(d.bias - bias) for d in drifts]
        sigma = max(d.sigma + a for d, a in zip(drifts, away, strict=True))
        worst = max(d.worst + a for d, a in zip(drifts, away, strict=True))
        return cls(bias, sigma, worst, sum(d.pairs for d in drifts))


@dataclass(frozen=True, eq=False)
class Sample:
    """What a sample of a segment's rows says about all of them.

    Attributes:
        drift: of sign codes, None without them.
        heights: scores that the shares of `_SHARES` of all pairs are over: by signs, else exact.
    """

    drift: Drift | None
    heights: Float64[np.ndarray, "s"]

    def share(self, score: float) -> float:
        """About what share of rows a code gives this score or more; to choose a way, not to rely on."""
        return float(np.interp(-score, -self.heights, _SHARES, left=0.0))

    @classmethod
    def of(cls, codec: Codec, rotated: Float32[np.ndarray, "n d"]) -> "Sample":
        """Of some rows, some of them as probes."""
        generator = np.random.default_rng(_SEED)
        rows = rotated[np.sort(generator.permutation(len(rotated))[:_SAMPLE])]
        probes = rows[generator.permutation(len(rows))[:_PROBES]]
        scores, drift = (probes @ rows.T).astype(np.float64), None
        if codec.has_signs:
            store = codec.sign_store()
            store.add(rows)
            coded, order = store.search(probes, len(rows))
            drift = Drift.of(coded - np.take_along_axis(scores, order, axis=1), codec.dimension)
            scores = coded
        return cls(drift, np.quantile(scores, 1.0 - _SHARES).astype(np.float64))

    @classmethod
    def joint(cls, samples: "list[Sample]") -> "Sample":
        """One for the rows of several."""
        drifts = [s.drift for s in samples if s.drift is not None]
        heights = np.max([s.heights for s in samples], axis=0)
        return cls(Drift.worse(drifts) if drifts else None, heights)


@dataclass(frozen=True, eq=False)
class Segment:
    """Encoded rows, by rising id, and which of them can still be found.

    Attributes:
        radius: how far a score from bytes may be from the exact one; 0 without bytes.
        byte_index: FAISS's flat index of bytes, None without.
        sign_index: FAISS's flat index of signs, None without.
    """

    codec: Codec
    ids: Int64[np.ndarray, "n"]
    alive: Bool[np.ndarray, "n"]
    radius: float
    sample: Sample
    byte_index: Any
    sign_index: Any

    @classmethod
    def encode(
        cls, codec: Codec, ids: Int64[np.ndarray, "n"], vectors: Float32[np.ndarray, "n d"]
    ) -> "tuple[Segment | None, Bool[np.ndarray, 'n']]":
        """Of rows by rising id, one or more; the mask says which of them bytes cannot hold, and are left out."""
        rotated, odd = codec.rotated(vectors), np.zeros(len(ids), np.bool_)
        store, radius = None, 0.0
        if codec.has_bytes:
            store = codec.byte_store()
            codes = store.sa_encode(rotated)
            lost = np.linalg.norm(store.sa_decode(codes) - rotated, axis=1)
            odd = lost > ODD
            if odd.all():
                return None, odd
            if odd.any():
                ids, rotated, codes, lost = ids[~odd], rotated[~odd], codes[~odd], lost[~odd]
            store.add_sa_codes(codes)
            radius = float(lost.max()) + rounding(codec.dimension)
        signs = None
        if codec.has_signs:
            signs = codec.sign_store()
            signs.add(rotated)
        sample = Sample.of(codec, rotated)
        return cls(codec, ids, np.ones(len(ids), np.bool_), radius, sample, store, signs), odd

    @classmethod
    def merged(cls, segments: "list[Segment]") -> "Segment":
        """The findable rows of several, codes and all."""
        codec = segments[0].codec
        ids = np.concatenate([s.ids[s.alive] for s in segments])
        order = np.argsort(ids)
        store = signs = None
        if codec.has_bytes:
            store = codec.byte_store()
            store.add_sa_codes(np.concatenate([s.codes[s.alive] for s in segments])[order])
        if codec.has_signs:
            signs = codec.sign_store()
            signs.add_sa_codes(np.concatenate([s.sign_codes[s.alive] for s in segments])[order])
        sample, radius = Sample.joint([s.sample for s in segments]), max(s.radius for s in segments)
        return cls(codec, ids[order], np.ones(len(ids), np.bool_), radius, sample, store, signs)

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
        """The sign codes, in place."""
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

    def bias(self, signs: bool) -> float:
        """Mean of a code's score less the exact one."""
        return self.sample.drift.bias if signs and self.sample.drift is not None else 0.0

    def margin(self, signs: bool) -> float:
        """How far a code's score, less its bias, may be from the exact one."""
        return self.sample.drift.margin if signs and self.sample.drift is not None else self.radius

    def share(self, bar: float, signs: bool) -> float:
        """About what share of rows may reach a bar, as far as a code can tell."""
        return self.sample.share(bar + self.bias(signs) - self.margin(signs))

    def by_bytes(
        self,
        probe: Int64[np.ndarray, "n"],
        probes: Probes,
        rows: Int64[np.ndarray, "n"],
        bars: Float64[np.ndarray, "m"],
    ) -> Found:
        """Those (probe, row) pairs that may reach the probe's bar, scored within `radius`; `probe` rises."""
        kept: list[np.ndarray] = []
        scores: list[np.ndarray] = []
        codec, starts = self.codec, np.searchsorted(probe, np.arange(len(probes) + 1))
        base = probes.rotated.sum(axis=1) * np.float32(codec.low + codec.step / 2)
        for q, (start, stop) in enumerate(pairwise(starts)):
            for a in range(start, stop, 8192):
                at = np.arange(a, min(a + 8192, stop))
                codes = self.codes[rows[at]]
                if len(at) > _MANY:
                    likely = self._likely(codes, probes.rounded, q, bars[q])
                    at, codes = at[likely], codes[likely]
                product = codes.astype(np.float32) @ probes.rotated[q]
                score = product * np.float32(codec.step) + base[q]
                over = score >= bars[q] - self.radius
                kept.append(at[over]), scores.append(score[over])
        at = np.concatenate([*kept, np.zeros(0, np.int64)])
        score = np.concatenate([*scores, np.zeros(0, np.float32)])
        return Found(probe[at], self.ids[rows[at]], score, np.full(len(at), self.radius, np.float32))

    def _likely(
        self, codes: UInt8[np.ndarray, "b d"], rounded: Rounded, q: int, bar: float
    ) -> Bool[np.ndarray, "b"]:
        """Whether rows may reach a bar, by products of bytes, which are quick."""
        products = np.empty((len(codes), 1), np.int32)
        multiply(codes, np.ascontiguousarray(rounded.columns[:, q : q + 1]), products)
        unit, base = rounded.line(self.codec.low, self.codec.step)
        return products[:, 0] * unit[q] + base[q] >= bar - rounded.error(self.radius)[q]

    def pairs(
        self, probes: Probes, rows: Int64[np.ndarray, "r"], bars: Float64[np.ndarray, "m"]
    ) -> Found:
        """Every probe with every one of some rows, by bytes, those that may reach the probe's bar."""
        decoded = self.codes[rows].astype(np.float32)
        decoded *= np.float32(self.codec.step)
        decoded += np.float32(self.codec.low + self.codec.step / 2)
        scores = probes.rotated @ decoded.T
        probe, at = np.nonzero(scores >= bars[:, None] - self.radius)
        error = np.full(len(at), self.radius, np.float32)
        return Found(probe, self.ids[rows[at]], scores[probe, at], error)

    def best(
        self,
        probes: Probes,
        k: int,
        bars: Float64[np.ndarray, "m"],
        scope: Bool[np.ndarray, "n"] | None,
        signs: bool,
    ) -> tuple[Found, Float64[np.ndarray, "m"]]:
        """The k rows that a code ranks first, scored as well as this segment can.

        Args:
            probes: m of them.
            k: how many rows to rank.
            bars: for each probe, rows that are surely under it may be left out.
            scope: which rows to look at, None for all.
            signs: rank by sign codes, not by bytes.

        Returns:
            Rows, and for each probe the largest exact cosine that a row in scope but not ranked can have.
        """
        wanted = self.size if scope is None else int(np.count_nonzero(scope))
        k = min(k, wanted)
        if k == 0:
            return Found.join([]), np.full(len(probes), -np.inf)
        index, parameters = self._index(scope, signs)
        scores, rows = index.search(probes.rotated, k, params=parameters)
        bias, margin = self.bias(signs), self.margin(signs)
        reach = np.full(len(probes), -np.inf)
        if k < wanted:
            reach = scores[:, -1].astype(np.float64) - bias + margin
        probe, at = np.nonzero((rows >= 0) & (scores >= bars[:, None] + (bias - margin)))
        return self._scored(probe, probes, rows[probe, at], scores[probe, at], bars, signs), reach

    def over(
        self,
        probes: Probes,
        bars: Float64[np.ndarray, "m"],
        scope: Bool[np.ndarray, "n"] | None,
        signs: bool,
    ) -> Found:
        """All rows that may reach the probes' bars; arguments as for `best`."""
        index, parameters = self._index(scope, signs)
        shift = self.bias(signs) - self.margin(signs)
        probe: list[np.ndarray] = []
        rows: list[np.ndarray] = []
        scores: list[np.ndarray] = []
        for q in range(len(probes)):
            # FAISS gives what is over a radius, not what is at it.
            radius = float(np.nextafter(np.float32(bars[q] + shift), np.float32(-2.0)))
            _, score, row = index.range_search(probes.rotated[q : q + 1], radius, params=parameters)
            order = np.argsort(row)
            probe.append(np.full(len(row), q)), rows.append(row[order]), scores.append(score[order])
        return self._scored(
            np.concatenate(probe), probes, np.concatenate(rows), np.concatenate(scores), bars, signs
        )

    def _scored(
        self,
        probe: Int64[np.ndarray, "p"],
        probes: Probes,
        rows: Int64[np.ndarray, "p"],
        scores: Float32[np.ndarray, "p"],
        bars: Float64[np.ndarray, "m"],
        signs: bool,
    ) -> Found:
        if self.codec.has_bytes:
            return self.by_bytes(probe, probes, rows, bars)
        error = np.full(len(rows), self.margin(signs), np.float32)
        return Found(probe, self.ids[rows], scores - np.float32(self.bias(signs)), error)

    def _index(self, scope: Bool[np.ndarray, "n"] | None, signs: bool) -> tuple[Any, Any]:
        """What to search, and with which parameters."""
        faiss = engine()
        parameters = faiss.RaBitQSearchParameters() if signs else faiss.SearchParameters()
        if signs:
            parameters.qb = QUERY_BITS
        if scope is not None:
            parameters.sel = faiss.IDSelectorBitmap(np.packbits(scope, bitorder="little"))
        return (self.sign_index if signs else self.byte_index), parameters


def _view(index: Any, rows: int, width: int) -> np.ndarray:
    """Codes of a FAISS index, not copied; good as long as the index is there."""
    return engine().rev_swig_ptr(index.codes.data(), rows * width).reshape(rows, width)

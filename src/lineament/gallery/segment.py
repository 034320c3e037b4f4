"""A stretch of a large gallery, encoded once and never changed; what codes are is told in codec.py."""

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64, UInt8

from lineament.gallery.codec import QUERY_BITS, Codec, Probes, Sample, engine
from lineament.gallery.flat import Found, rounding
from lineament.runtime.byte_products import Rounded, multiply

ODD = 0.03
"""A row whose bytes are off by more than this (typically 0.0125) is not encoded."""
_MANY = 256
_CHUNK = 8192


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
        """Of rows by rising id, one or more; the mask says which bytes cannot hold: they are left out."""
        rotated, odd = codec.rotated(vectors), np.zeros(len(ids), np.bool_)
        store, radius = None, 0.0
        if codec.has_bytes:
            store = codec.byte_store()
            codes = store.sa_encode(rotated)
            away = store.sa_decode(codes) - rotated
            lost = np.sqrt(np.einsum("ij,ij->i", away, away))
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

    def least(self, bars: Float64[np.ndarray, "m"], signs: bool) -> Float64[np.ndarray, "m"]:
        """The lowest score that a code may give a row whose cosine reaches a bar."""
        if signs and self.sample.drift is not None:
            return bars + self.bias(signs) - self.sample.drift.margin_over(bars)
        return bars - self.radius

    def share(self, bars: Float64[np.ndarray, "m"], signs: bool) -> float:
        """About what share of rows may reach a bar, the lowest of several, as far as a code can tell."""
        return self.sample.share(float(self.least(bars, signs).min()))

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
            for a in range(start, stop, _CHUNK):
                at = np.arange(a, min(a + _CHUNK, stop))
                codes = self.codes[rows[at]]
                if len(at) > _MANY:
                    likely = self._likely(codes, probes.rounded, q, bars[q])
                    at, codes = at[likely], codes[likely]
                product = codes.astype(np.float32) @ probes.rotated[q]
                score = product * np.float32(codec.step) + base[q]
                over = score >= bars[q] - self.radius
                kept.append(at[over])
                scores.append(score[over])
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

    def pairs(self, probes: Probes, rows: Int64[np.ndarray, "r"], bars: Float64[np.ndarray, "m"]) -> Found:
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
        reach = np.full(len(probes), -np.inf)
        if k < wanted:
            reach = scores[:, -1].astype(np.float64) - self.bias(signs) + self.margin(signs)
        probe, at = np.nonzero((rows >= 0) & (scores >= self.least(bars, signs)[:, None]))
        return self._scored(probe, probes, rows[probe, at], scores[probe, at], bars, signs), reach

    def over(
        self,
        probes: Probes,
        bars: Float64[np.ndarray, "m"],
        scope: Bool[np.ndarray, "n"] | None,
    ) -> Found:
        """All rows that may reach the probes' bars as far as signs know; arguments as for `best`.

        FAISS does this for signs as fast as ranking, but ten times more slowly for bytes.
        """
        index, parameters = self._index(scope, signs=True)
        least = self.least(bars, signs=True).astype(np.float32)
        probe: list[np.ndarray] = []
        rows: list[np.ndarray] = []
        scores: list[np.ndarray] = []
        for q in range(len(probes)):
            # FAISS gives what is over a radius, not what is at it.
            radius = float(np.nextafter(least[q], np.float32(-2.0)))
            _, score, row = index.range_search(probes.rotated[q : q + 1], radius, params=parameters)
            order = np.argsort(row)
            probe.append(np.full(len(row), q))
            rows.append(row[order])
            scores.append(score[order])
        return self._scored(
            np.concatenate(probe), probes, np.concatenate(rows), np.concatenate(scores), bars, signs=True
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

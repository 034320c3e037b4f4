"""How rows of a large gallery become codes, and how far the codes may be from the truth.

Every row is rotated by one random matrix. Two codes are kept of the rotated row, both or either:

- *Bytes*: each coordinate in 256 steps. Coordinates of rotated unit rows are about N(0, 1/d), so the range is
  known before any row is. A score from bytes is off by no more than the length of what rounding took away
  (Cauchy and Schwarz); that length is measured for every row as it is encoded, and `Segment.radius` is the
  largest. This bound is hard. A row with a coordinate far out of range is not encoded.
- *Signs* (RaBitQ, one bit a coordinate): Gao and Long 2024, RaBitQ: Quantizing High-Dimensional Vectors
  with a Theoretical Error Bound for Approximate Nearest Neighbor Search (SIGMOD), theorem 3.2: over the
  random rotation the estimate has no bias, and its error goes beyond ε·sqrt((1 − o²)/o²)/sqrt(d − 1), where
  o ≈ 0.8, with a probability of 2·exp(−c·ε²) only. FAISS's `IndexRaBitQ` does not rotate; this file does.
  `Drift` is the error measured on the segment's own rows. More bits are not offered: FAISS then passes over
  rows by a bound of its own that is not as safe (about one in a thousand of the best, at 4 bits), so that
  nothing can be assured about what it leaves out; and bytes are faster than 4 bits.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from jaxtyping import Float32, Float64

from lineament.core.errors import IndexUnavailable
from lineament.runtime.byte_products import Rounded

Kind = Literal["bytes", "rabitq", "rabitq+bytes"]

SAFETY = 5.0
"""Standard deviations of a sign code's error that are allowed for: one row in 3.5 million goes beyond."""
SPREAD = 5.5
"""Half the range of bytes, in standard deviations of a coordinate."""
QUERY_BITS = 8
"""Of a probe's coordinate where it meets sign codes; 4 would add a fifth of the code's own deviation."""
_PROBE_ROUNDING = 0.02
"""What that adds to a sign code's error whatever the pair, as a part of it: 0.012 of a deviation was seen."""
_SEED = 20_240_614
_SAMPLE = 2048
_PROBES = 256
_SHARES = np.geomspace(1e-4, 1.0, 41)


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

    The error of a pair of cosine s comes from the part of the probe across the row, whose length is
    sqrt(1 − s²) (Gao and Long 2024, section 3.2), and is measured in units of that length.

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
        return max(SAFETY * self.sigma, self.worst) * (1.0 + _PROBE_ROUNDING)

    def margin_over(self, bars: Float64[np.ndarray, "m"]) -> Float64[np.ndarray, "m"]:
        """The same for rows whose cosine reaches a bar."""
        across = np.sqrt(1.0 - bars.clip(0.0, 1.0) ** 2)
        return max(SAFETY * self.sigma, self.worst) * (across + _PROBE_ROUNDING)

    @classmethod
    def of(
        cls, coded: Float64[np.ndarray, "p r"], exact: Float64[np.ndarray, "p r"], dimension: int
    ) -> "Drift":
        """Of scores that were measured."""
        errors = (coded - exact) / np.sqrt((1.0 - exact**2).clip(0.01))
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
            exact = np.take_along_axis(scores, order, axis=1)
            scores = coded.astype(np.float64)
            drift = Drift.of(scores, exact, codec.dimension)
        return cls(drift, np.quantile(scores, 1.0 - _SHARES).astype(np.float64))

    @classmethod
    def joint(cls, samples: "list[Sample]") -> "Sample":
        """One for the rows of several."""
        drifts = [s.drift for s in samples if s.drift is not None]
        heights = np.max([s.heights for s in samples], axis=0)
        return cls(Drift.worse(drifts) if drifts else None, heights)

"""Many probes against all bytes of a segment, by exact products of bytes.

A probe is rounded to bytes as well. How far a product may then be from the exact cosine is still bounded
hard: the segment's radius, and the length of what rounding took from the probe times the longest decoded row
(Cauchy and Schwarz). The k-th best so far, less that bound, is what rows must reach; it is shared by all
stretches of rows and only rises.
"""

import threading
from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int32, Int64

from lineament.gallery.flat import Found, rounding
from lineament.gallery.segment import Codec, Segment
from lineament.runtime import byte_products

BLOCK = 8192
"""Rows multiplied at a time: with 64 probes, 2 MB of products."""
STRETCH = 65_536
"""Rows of one task."""

Stretch = tuple[Segment, Bool[np.ndarray, "n"] | None, int, int]
"""A segment, which of its rows to look at, first row, row after the last."""


class Sweep:
    """Probes ready to be multiplied with stretches of rows.

    Args:
        codec: of the segments.
        rotated: (m, d) probes as the codec sees them.
        k: how many of the best are wanted.
        bars: (m,) exact cosine under which nothing is wanted.
    """

    def __init__(
        self, codec: Codec, rotated: Float32[np.ndarray, "m d"], k: int, bars: Float64[np.ndarray, "m"]
    ) -> None:
        levels = byte_products.levels()
        self._k, self._bars, self._lock = k, bars.copy(), threading.Lock()
        scale = np.abs(rotated).max(axis=1).astype(np.float64) / levels
        rounded = np.rint(rotated / scale[:, None].astype(np.float32)).clip(-levels, levels)
        self._columns = np.ascontiguousarray(rounded.T.astype(np.int8))
        taken = np.linalg.norm(rotated.astype(np.float64) - rounded * scale[:, None], axis=1)
        # score = unit · product + base; a decoded row is no longer than 1 + radius.
        self._unit = scale * codec.step
        self._base = scale * rounded.sum(axis=1, dtype=np.float64) * (codec.low + codec.step / 2)
        self._taken, self._rounding = taken, rounding(codec.dimension)

    @staticmethod
    def stretches(size: int) -> Iterator[tuple[int, int]]:
        """(first row, row after the last) of the tasks of a segment."""
        return ((a, min(a + STRETCH, size)) for a in range(0, size, STRETCH))

    def stretch(self, task: Stretch) -> tuple[Found, Segment, Int64[np.ndarray, "r"]]:
        """Rows that may be wanted, with the segment and their row numbers; the probe numbers rise."""
        segment, scope, start, stop = task
        error = segment.radius + self._taken * (1.0 + segment.radius) + self._rounding
        found: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        room = np.empty((BLOCK, len(error)), np.int32)
        for a in range(start, stop, BLOCK):
            b = min(a + BLOCK, stop)
            products = room[: b - a]
            byte_products.multiply(segment.codes[a:b], self._columns, products)
            if scope is not None:
                products[~scope[a:b]] = np.iinfo(np.int32).min
            row, probe = self._over(products, error)
            found.append((probe, row + a, products[row, probe]))
        probe, row, product = (np.concatenate(column) for column in zip(*found, strict=True))
        order = np.argsort(probe, kind="stable")
        probe, row, product = probe[order], row[order], product[order]
        scores = (product * self._unit[probe] + self._base[probe]).astype(np.float32)
        return Found(probe, segment.ids[row], scores, error[probe].astype(np.float32)), segment, row

    def _over(
        self, products: Int32[np.ndarray, "b m"], error: Float64[np.ndarray, "m"]
    ) -> tuple[np.ndarray, np.ndarray]:
        """(row, probe) of products that may reach the probe's bar, which the k-th best may raise before."""
        hit = products >= self._least(error)
        rows, probes = products.shape
        if rows > self._k and np.count_nonzero(hit) > 2 * self._k * probes:
            best = np.partition(products, rows - self._k, axis=0)[rows - self._k]
            with self._lock:
                self._bars = np.maximum(self._bars, best * self._unit + self._base - error)
            hit = products >= self._least(error)
        row, probe = np.nonzero(hit)
        return row, probe

    def _least(self, error: Float64[np.ndarray, "m"]) -> Int32[np.ndarray, "m"]:
        """The product that a row must have."""
        least = np.floor((self._bars - error - self._base) / self._unit)
        bound = np.iinfo(np.int32)
        return least.clip(bound.min + 1, bound.max).astype(np.int32)

"""Many probes against all bytes of a segment, by exact products of bytes.

A probe is rounded to bytes as well; how far a product may then be from the exact cosine is still bounded hard
(`Rounded.error`). The k-th best so far, less that bound, is what rows must reach; it is shared by all
stretches of rows and only rises.
"""

import threading
from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float64, Int32, Int64

from lineament.gallery.codec import Codec, Probes
from lineament.gallery.flat import Found
from lineament.gallery.segment import Segment
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
        probes: m of them.
        k: how many of the best are wanted.
        bars: (m,) exact cosine under which nothing is wanted.
    """

    def __init__(self, codec: Codec, probes: Probes, k: int, bars: Float64[np.ndarray, "m"]) -> None:
        self._k, self._bars, self._lock = k, bars.copy(), threading.Lock()
        self._rounded = probes.rounded
        self._unit, self._base = self._rounded.line(codec.low, codec.step)

    @staticmethod
    def stretches(size: int) -> Iterator[tuple[int, int]]:
        """(first row, row after the last) of the tasks of a segment."""
        return ((a, min(a + STRETCH, size)) for a in range(0, size, STRETCH))

    def stretch(self, task: Stretch) -> tuple[Found, Segment, Int64[np.ndarray, "r"]]:
        """Rows that may be wanted, with the segment and their row numbers; the probe numbers rise."""
        segment, scope, start, stop = task
        error = self._rounded.error(segment.radius)
        found: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        room = np.empty((BLOCK, len(error)), np.int32)
        for a in range(start, stop, BLOCK):
            b = min(a + BLOCK, stop)
            products = room[: b - a]
            byte_products.multiply(segment.codes[a:b], self._rounded.columns, products)
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

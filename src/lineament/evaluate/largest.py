"""The largest similarities of a stream, each with the pair it belongs to, in bounded memory."""

import numpy as np

from lineament.core.errors import ScoresInvalid

ROOM = 1 << 16
"""Least number of similarities that are gathered before the smaller ones are dropped."""


class Largest:
    """Keeps the `count` largest of all similarities that are offered.

    Among equal similarities the pairs with the lower keys are kept. What is kept at the end therefore does
    not depend on the order of offers, and it is the same after an interruption.

    Attributes:
        count: how many are kept.
        floor: float32; what is smaller is not among the largest. Rises as similarities come in.
    """

    def __init__(self, count: int, total: int) -> None:
        """For the `count` largest of a known `total`."""
        self.count = count
        self.floor = np.float32(-np.inf)
        # Two of a kind: gathering as many again before each selection makes its cost one step per similarity.
        capacity = min(total, max(2 * count, count + ROOM))
        self._values = np.empty(capacity, np.float32)
        self._keys = np.empty(capacity, np.int64)
        self._filled = 0

    def offer(self, values: np.ndarray, keys: np.ndarray) -> None:
        """Consider similarities, float32 (k,), and the keys of their pairs, int64 (k,)."""
        while len(values):
            room = len(self._values) - self._filled
            if not room:
                self._drop()
                good = values >= self.floor
                values, keys = values[good], keys[good]
                room = len(self._values) - self._filled
                if not room and len(values):
                    raise ScoresInvalid(f"more than the {len(self._values)} similarities that were expected")
            taken = min(room, len(values))
            self._values[self._filled : self._filled + taken] = values[:taken]
            self._keys[self._filled : self._filled + taken] = keys[:taken]
            self._filled += taken
            values, keys = values[taken:], keys[taken:]

    def kept(self) -> tuple[np.ndarray, np.ndarray]:
        """(values, keys) of the largest so far, in the order of offers. Views: copy what must last."""
        self._drop()
        return self._values[: self._filled], self._keys[: self._filled]

    def descending(self) -> tuple[np.ndarray, np.ndarray]:
        """(values, keys) of the largest so far, descending; equal ones by ascending key."""
        values, keys = self.kept()
        order = np.lexsort((keys, -values))
        return values[order], keys[order]

    def _drop(self) -> None:
        """Keep only the largest, and raise the floor to the smallest of them."""
        if self._filled <= self.count:
            return
        values, keys = self._values[: self._filled], self._keys[: self._filled]
        last = self._filled - self.count
        self.floor = np.partition(values, last)[last]
        keep = values > self.floor
        equal = np.flatnonzero(values == self.floor)
        places = self.count - int(keep.sum())
        if places < len(equal):
            equal = equal[np.argpartition(keys[equal], places - 1)[:places]]
        keep[equal] = True
        self._values[: self.count] = values[keep]
        self._keys[: self.count] = keys[keep]
        self._filled = self.count

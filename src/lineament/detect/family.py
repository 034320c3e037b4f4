"""What detector families have in common: one canvas in, candidates out."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32, UInt8


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Detections before suppression, in canvas pixels, best first.

    Attributes:
        boxes: float32 (n, 4) x1 y1 x2 y2.
        points: float32 (n, 5, 2), or NaN where the network has no points.
        scores: float32 (n,), 0..1.
    """

    boxes: Float32[np.ndarray, "n 4"]
    points: Float32[np.ndarray, "n 5 2"]
    scores: Float32[np.ndarray, "n"]

    @classmethod
    def gather(
        cls, boxes: list[np.ndarray], points: list[np.ndarray], scores: list[np.ndarray]
    ) -> "Candidates":
        """Join pieces (at least one) and sort by score; equal scores keep their order."""
        all_scores = np.concatenate(scores).astype(np.float32)
        order = np.argsort(-all_scores, kind="stable")
        return cls(
            np.concatenate(boxes).astype(np.float32)[order],
            np.concatenate(points).astype(np.float32)[order],
            all_scores[order],
        )


@runtime_checkable
class Family(Protocol):
    """A detector network and how its outputs read."""

    @property
    def name(self) -> str:
        """For people and records."""
        ...

    @property
    def stride(self) -> int:
        """Canvas sides must be multiples of this."""
        ...

    @property
    def fixed_size(self) -> tuple[int, int] | None:
        """(width, height) when the network takes one size only."""
        ...

    @property
    def has_points(self) -> bool:
        """False for networks without facial points."""
        ...

    def candidates(self, canvas: UInt8[np.ndarray, "H W 3"], threshold: float) -> Candidates:
        """Detections with score ≥ `threshold` in one RGB canvas."""
        ...


def cells(height: int, width: int, anchors: int) -> Float32[np.ndarray, "n 2"]:
    """(column, row) of every cell, row by row, each repeated `anchors` times."""
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    return np.repeat(np.stack([columns.ravel(), rows.ravel()], axis=1), anchors, axis=0)

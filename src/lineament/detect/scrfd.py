"""SCRFD and RetinaFace detectors as InsightFace exports them (Guo et al., ICLR 2022, arXiv:2105.04714).

Outputs come as scores, boxes and (with 9 or 15 outputs) points, each for strides 8, 16, 32 (6 or 9 outputs,
two anchors per cell) or 8 to 128 (10 or 15 outputs, one anchor). A cell's anchor lies at
(column, row)·stride, without half a stride; a box is four distances from the anchor, points are offsets
from it, both in strides.
"""

from functools import lru_cache

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from lineament.core.errors import PackBroken
from lineament.detect.family import Candidates, cells
from lineament.packs.card import ModelCard
from lineament.runtime.session import Session, finite

LAYOUTS = {6: (3, 2, False), 9: (3, 2, True), 10: (5, 1, False), 15: (5, 1, True)}
"""Number of outputs → (feature maps, anchors per cell, has points)."""

# A handful of canvas sizes recur, five feature maps each; anchors of others are cheap to make again.
ANCHOR_SETS_KEPT = 64


class Scrfd:
    """An SCRFD network.

    Args:
        card: its layout and normalisation.
        session: runs it.
    """

    def __init__(self, card: ModelCard, session: Session) -> None:
        if card.outputs not in LAYOUTS:
            raise PackBroken(f"an SCRFD detector has 6, 9, 10 or 15 outputs, {card.file} has {card.outputs}")
        self.card = card
        self.session = session
        self._maps, self._anchors, self.has_points = LAYOUTS[card.outputs]
        self._strides = tuple(8 << i for i in range(self._maps))

    @property
    def name(self) -> str:
        """For people and records."""
        return self.card.file.removesuffix(".onnx")

    @property
    def stride(self) -> int:
        """Canvas sides must be multiples of this."""
        return max(self.card.stride, self._strides[-1])

    @property
    def fixed_size(self) -> tuple[int, int] | None:
        """(width, height) when the network takes one size only."""
        return None if self.card.size == (0, 0) else self.card.size

    def candidates(self, canvas: UInt8[np.ndarray, "H W 3"], threshold: float) -> Candidates:
        """Detections with score ≥ `threshold` in one RGB canvas."""
        height, width = canvas.shape[:2]
        blob = cv2.dnn.blobFromImage(
            canvas,
            1.0 / self.card.std,
            (width, height),
            (self.card.mean,) * 3,
            swapRB=self.card.colour == "bgr",
        )
        outputs = [o[0] if o.ndim == 3 else o for o in finite(self.session.run(blob), self.name)]
        boxes: list[np.ndarray] = []
        points: list[np.ndarray] = []
        scores: list[np.ndarray] = []
        for level, (stride, centres) in enumerate(
            zip(self._strides, self._centres(height, width), strict=True)
        ):
            score = outputs[level].ravel()
            chosen = np.flatnonzero(score >= threshold)
            centre = centres[chosen]
            scores.append(score[chosen])
            boxes.append(_boxes(centre, outputs[level + self._maps][chosen] * stride))
            if self.has_points:
                offsets = outputs[level + 2 * self._maps][chosen] * stride
                points.append(centre[:, None, :] + offsets.reshape(-1, 5, 2))
            else:
                points.append(np.full((len(chosen), 5, 2), np.nan, np.float32))
        return Candidates.gather(boxes, points, scores)

    def _centres(self, height: int, width: int) -> list[np.ndarray]:
        return [_centres(height // s, width // s, s, self._anchors) for s in self._strides]


@lru_cache(maxsize=ANCHOR_SETS_KEPT)
def _centres(rows: int, columns: int, stride: int, anchors: int) -> Float32[np.ndarray, "n 2"]:
    centres = cells(rows, columns, anchors) * np.float32(stride)
    centres.flags.writeable = False
    return centres


def _boxes(
    centre: Float32[np.ndarray, "n 2"], distance: Float32[np.ndarray, "n 4"]
) -> Float32[np.ndarray, "n 4"]:
    """Corners from distances to the left, top, right and bottom edge."""
    return np.concatenate([centre - distance[:, :2], centre + distance[:, 2:]], axis=1)

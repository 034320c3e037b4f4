"""YuNet (Wu et al., Machine Intelligence Research 2023), the 2023mar export of the OpenCV Zoo.

For strides 8, 16 and 32 the network gives, cell by cell in row-major order, a class score, an object score,
a box and five points. The confidence is the geometric mean of the two scores; the centre is
(column + dx, row + dy)·stride, the sides are exp(dw)·stride and exp(dh)·stride, a point is
(column + px, row + py)·stride. The points come as right eye of the person (left in the picture), left eye,
nose, right and left mouth corner: in picture order, exactly ours.
"""

import cv2
import numpy as np
from jaxtyping import UInt8

from lineament.core.errors import PackBroken
from lineament.detect.family import Candidates, cells
from lineament.packs.card import ModelCard
from lineament.runtime.session import Session, finite

STRIDES = (8, 16, 32)
OUTPUTS = ("cls", "obj", "bbox", "kps")


class YuNet:
    """A YuNet network.

    Args:
        card: its layout and normalisation.
        session: runs it.
    """

    has_points = True

    def __init__(self, card: ModelCard, session: Session) -> None:
        self.card = card
        self.session = session

    @property
    def name(self) -> str:
        """For people and records."""
        return self.card.file.removesuffix(".onnx")

    @property
    def stride(self) -> int:
        """Canvas sides must be multiples of this."""
        return max(self.card.stride, STRIDES[-1])

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
        outputs = finite(self.session.run(blob), self.name)
        named = dict(zip(self.session.output_names, outputs, strict=True))
        boxes: list[np.ndarray] = []
        points: list[np.ndarray] = []
        scores: list[np.ndarray] = []
        for stride in STRIDES:
            try:
                cls, obj, box, kps = (named[f"{kind}_{stride}"] for kind in OUTPUTS)
            except KeyError as error:
                raise PackBroken(
                    f"{self.card.file} is not a YuNet detector: it has no output {error}"
                ) from error
            score = np.sqrt(np.clip(cls, 0, 1) * np.clip(obj, 0, 1)).ravel()
            chosen = np.flatnonzero(score >= threshold)
            cell = cells(height // stride, width // stride, 1)[chosen]
            box, kps = box.reshape(-1, 4)[chosen], kps.reshape(-1, 5, 2)[chosen]
            centre = (cell + box[:, :2]) * stride
            half = np.exp(np.minimum(box[:, 2:], 20.0)) * (stride / 2)
            boxes.append(np.concatenate([centre - half, centre + half], axis=1))
            points.append((cell[:, None, :] + kps) * stride)
            scores.append(score[chosen])
        return Candidates.gather(boxes, points, scores)

"""Boxes and points drawn the way `insightface.app.FaceAnalysis.draw_on` draws them."""

from collections.abc import Iterable
from typing import Final

import cv2
import numpy as np
from jaxtyping import UInt8

from lineament.app.common import Face

RED: Final = (0, 0, 255)
GREEN: Final = (0, 255, 0)
ON_THE_LEFT: Final = (0, 3)
"""Left eye and left mouth corner are green, the other points red."""


def draw_faces(canvas: UInt8[np.ndarray, "h w 3"], faces: Iterable[Face]) -> UInt8[np.ndarray, "h w 3"]:
    """Draw into a blue-green-red picture: box, points, and `M,32` where sex and age are known."""
    for face in faces:
        x1, y1, x2, y2 = (int(v) for v in face.bbox)
        cv2.rectangle(canvas, (x1, y1), (x2, y2), RED, 2)
        if face.kps is not None:
            for index, (x, y) in enumerate(face.kps.astype(int)):
                colour = GREEN if index in ON_THE_LEFT else RED
                cv2.circle(canvas, (int(x), int(y)), 1, colour, 2)
        if face.gender is not None and face.age is not None:
            text = f"{face.sex},{int(face.age)}"
            cv2.putText(canvas, text, (x1 - 1, y1 - 4), cv2.FONT_HERSHEY_COMPLEX, 0.7, GREEN, 1)
    return canvas

"""Dense landmarks: 106 points in the plane, or 68 in space with the head's pose.

The networks answer with coordinates in −1..1 of the window; 3-D ones list many vertices, of which the last
68 are the landmarks, with depth in the same unit.
"""

import numpy as np
from jaxtyping import UInt8

from lineament.attributes.pose import angles
from lineament.attributes.window import look, window_motions
from lineament.core.errors import ModelOutputInvalid
from lineament.core.faces import Attributes, Faces
from lineament.packs.card import ModelCard
from lineament.runtime.session import Session
from lineament.vision.align import invert, scale_of


class Landmarks:
    """A landmark network of a pack.

    Args:
        card: task `landmarks_106` or `landmarks_68`.
        session: runs it.
    """

    def __init__(self, card: ModelCard, session: Session) -> None:
        self.card = card
        self.session = session

    @property
    def task(self) -> str:
        """`landmarks_106` or `landmarks_68`."""
        return self.card.task

    def describe(self, pixels: UInt8[np.ndarray, "h w 3"], faces: Faces) -> Attributes:
        """Landmarks of the faces of one RGB picture; with 68 points also pitch, yaw and roll in degrees.

        Raises:
            ModelOutputInvalid: fewer values than points.
        """
        three = self.card.task == "landmarks_68"
        if not len(faces):
            empty = np.zeros((0, 68, 3) if three else (0, 106, 2), np.float32)
            pose = np.zeros((0, 3), np.float32) if three else None
            return Attributes(landmarks_68=empty, pose=pose) if three else Attributes(landmarks_106=empty)
        motions = window_motions(faces.boxes, self.card.size[0])
        answer = look(pixels, motions, self.card, self.session)
        count, axes = (68, 3) if three else (106, 2)
        if answer.shape[1] < count * axes:
            raise ModelOutputInvalid(
                f"{self.card.file} gives {answer.shape[1]} values, {count} points need {count * axes}: "
                "its card is wrong, import the pack again"
            )
        points = answer.reshape(len(faces), -1, axes)[:, -count:]
        placed = self._in_picture(points, motions)
        if not three:
            return Attributes(landmarks_106=placed)
        return Attributes(landmarks_68=placed, pose=angles(placed))

    def _in_picture(self, points: np.ndarray, motions: np.ndarray) -> np.ndarray:
        half = self.card.size[0] // 2
        back = invert(motions)
        flat = (points[:, :, :2] + 1) * half
        placed = np.empty_like(points)
        placed[:, :, :2] = flat @ back[:, :, :2].transpose(0, 2, 1) + back[:, None, :, 2]
        if points.shape[2] == 3:
            placed[:, :, 2] = points[:, :, 2] * half * scale_of(back)[:, None]
        return placed

"""Dense landmarks."""

from typing import Any

import numpy as np

from lineament.app.common import Face
from lineament.app.model_zoo.attribute import one_box
from lineament.app.model_zoo.base import Model
from lineament.app.pictures import rgb_pixels
from lineament.attributes.landmarks import Landmarks
from lineament.runtime.session import Session


class Landmark(Model[Landmarks]):
    """A landmark network: 106 points in the plane, or 68 in space with the head's pose."""

    TASKS = ("landmarks_106", "landmarks_68")

    def _build(self, session: Session) -> Landmarks:
        return Landmarks(self.card, session)

    @property
    def input_size(self) -> tuple[int, int]:
        """(width, height) of the window it looks at, pixels."""
        return self.card.size

    def get(self, img: Any, face: Face, *, color: str = "bgr") -> np.ndarray:
        """Landmarks of one face, from its `bbox`; stored under `taskname`, and `pose` with 68 points."""
        said = self.part().describe(rgb_pixels(img, color), one_box(face))
        column = said.landmarks_68 if self.card.task == "landmarks_68" else said.landmarks_106
        points = np.array([] if column is None else column[0])
        face[self.taskname] = points
        if said.pose is not None:
            face["pose"] = np.array(said.pose[0])
        return points

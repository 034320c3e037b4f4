"""Gender and age, guessed from appearance."""

from typing import Any

import numpy as np

from lineament.app.common import Face
from lineament.app.model_zoo.base import Model
from lineament.app.pictures import rgb_pixels
from lineament.attributes.gender_age import GenderAge
from lineament.core.errors import InvalidArgument
from lineament.core.faces import Faces
from lineament.runtime.session import Session


class Attribute(Model[GenderAge]):
    """A gender and age network. Guesses, not facts: poor for children."""

    TASKS = ("gender_age",)

    def _build(self, session: Session) -> GenderAge:
        return GenderAge(self.card, session)

    @property
    def input_size(self) -> tuple[int, int]:
        """(width, height) of the window it looks at, pixels."""
        return self.card.size

    def get(self, img: Any, face: Face, *, color: str = "bgr") -> tuple[np.int64, int]:
        """Gender (1 male, 0 female) and age in years of one face, from its `bbox`; stored in the face."""
        said = self.part().describe(rgb_pixels(img, color), one_box(face))
        if said.gender is None or said.age is None:
            raise InvalidArgument(f"{self.card.file} says nothing of gender and age")
        face["gender"], face["age"] = said.gender[0], int(said.age[0])
        return said.gender[0], int(said.age[0])


def one_box(face: Face) -> Faces:
    """A face's box as a column of one.

    Raises:
        InvalidArgument: it has none.
    """
    if face.bbox is None:
        raise InvalidArgument("the face has no bbox: detect faces first")
    box = np.asarray(face.bbox, np.float32).reshape(1, 4)
    return Faces(box, np.full((1, 5, 2), np.nan, np.float32), np.ones(1, np.float32))

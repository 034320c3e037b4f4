"""Gender and age as InsightFace's 96×96 network guesses them from appearance.

Guesses, not facts: poor for children, and gender here is two boxes of a training set, not a person's own.
Off unless a pack holds the network and the caller asks.
"""

import numpy as np
from jaxtyping import UInt8

from lineament.attributes.window import look, window_motions
from lineament.core.errors import ModelOutputInvalid
from lineament.core.faces import Attributes, Faces
from lineament.packs.card import ModelCard
from lineament.runtime.session import Session


class GenderAge:
    """A gender and age network of a pack.

    Args:
        card: task `gender_age`.
        session: runs it.
    """

    task = "gender_age"

    def __init__(self, card: ModelCard, session: Session) -> None:
        self.card = card
        self.session = session

    def describe(self, pixels: UInt8[np.ndarray, "h w 3"], faces: Faces) -> Attributes:
        """Gender (1 male, 0 female) and age in years of the faces of one RGB picture."""
        if not len(faces):
            return Attributes(gender=np.zeros(0, np.int64), age=np.zeros(0, np.int64))
        motions = window_motions(faces.boxes, self.card.size[0])
        answer = look(pixels, motions, self.card, self.session)
        if answer.shape[1] != 3:
            raise ModelOutputInvalid(
                f"{self.card.file} gives {answer.shape[1]} values instead of 3: import the pack again"
            )
        return Attributes(
            gender=answer[:, :2].argmax(axis=1),
            age=np.round(answer[:, 2] * 100).astype(np.int64),
        )

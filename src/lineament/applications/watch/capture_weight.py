"""How much a frame's face says: the weight of its vote.

    weight = detector's score · min(1, sharpness) · cos(yaw) · min(1, area / 112²)

112 pixels are the side of the crop that the recogniser sees: a larger face tells it nothing more. A face
without a template, or that the quality gate refuses, weighs nothing and casts no vote.
"""

import numpy as np
from jaxtyping import Float64

from lineament.core.faces import Faces
from lineament.vision.quality import QualityLimits, problems

FULL_AREA = 112.0**2

# A usable face always says something.
_LEAST = 1e-3


def usable_weights(faces: Faces, limits: QualityLimits | None) -> Float64[np.ndarray, "n"]:
    """The weight of each face's vote, over 0 to 1; 0 for a face that casts none.

    Args:
        faces: with templates; with quality, where it was measured.
        limits: the quality gate, or None for no gate.
    """
    return np.array([_weight(faces, i, limits) for i in range(len(faces))], np.float64)


def _weight(faces: Faces, index: int, limits: QualityLimits | None) -> float:
    face = faces[index]
    if face.template is None:
        return 0.0
    area = min(1.0, max(0.0, face.width) * max(0.0, face.height) / FULL_AREA)
    weight = face.score * area
    if face.quality is not None:
        if limits is not None and any(p.blocking for p in problems(face.quality, face.template.norm, limits)):
            return 0.0
        weight *= min(1.0, face.quality["sharpness"]) * max(0.0, np.cos(np.radians(face.quality["yaw"])))
    return float(weight) if weight > _LEAST else _LEAST

"""The square window around a face that landmark and attribute networks look at."""

from typing import Final

import cv2
import numpy as np
from jaxtyping import Float32, Float64, UInt8

from lineament.packs.card import ModelCard
from lineament.runtime.session import Session, finite

CONTEXT: Final = 1.5
"""Side of the window in lengths of the box's longer side (InsightFace's networks were trained so)."""


def window_motions(boxes: Float32[np.ndarray, "n 4"], size: int) -> Float64[np.ndarray, "n 2 3"]:
    """Picture → window transforms: centred on each box, `CONTEXT` times its longer side, without a turn."""
    wide = boxes.astype(np.float64)
    longer = np.maximum((wide[:, 2:] - wide[:, :2]).max(axis=1), 1e-6)
    scale = size / (longer * CONTEXT)
    centre = (wide[:, :2] + wide[:, 2:]) / 2
    motions = np.zeros((len(boxes), 2, 3))
    motions[:, 0, 0] = motions[:, 1, 1] = scale
    motions[:, :, 2] = size / 2 - centre * scale[:, None]
    return motions


def look(
    pixels: UInt8[np.ndarray, "h w 3"],
    motions: Float64[np.ndarray, "n 2 3"],
    card: ModelCard,
    session: Session,
) -> Float32[np.ndarray, "n k"]:
    """The network's raw answer for each window of one RGB picture."""
    size = card.size[0]
    windows = [cv2.warpAffine(pixels, m, (size, size), borderValue=(0, 0, 0)) for m in motions]
    step = card.batch or max(len(windows), 1)
    answers: list[np.ndarray] = []
    for start in range(0, len(windows), step):
        blob = cv2.dnn.blobFromImages(
            windows[start : start + step],
            1.0 / card.std,
            (size, size),
            (card.mean,) * 3,
            swapRB=card.colour == "bgr",
        )
        answers.append(finite(session.run(blob)[:1], card.file)[0])
    return np.concatenate(answers).astype(np.float32) if answers else np.zeros((0, 0), np.float32)

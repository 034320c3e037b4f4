"""Pictures for people: boxes and points drawn in, or faces made unrecognisable."""

from typing import Literal

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from lineament.core.errors import InvalidArgument

BOX = (46, 204, 113)
LEFT, RIGHT, MIDDLE = (255, 99, 71), (65, 105, 225), (255, 215, 0)
POINT_COLOURS = (LEFT, RIGHT, MIDDLE, LEFT, RIGHT)
"""Points on the picture's left are red, on its right blue, the nose is yellow."""

CELLS = 2  # a side of a blurred or pixelated face
LARGEST_MARGIN = 10

Style = Literal["blur", "fill", "pixelate"]


def draw_faces(
    pixels: UInt8[np.ndarray, "h w 3"],
    boxes: Float[np.ndarray, "n 4"],
    points: Float[np.ndarray, "n 5 2"],
    labels: list[str],
) -> UInt8[np.ndarray, "h w 3"]:
    """A copy of an RGB picture with boxes, points and a label over each box; sizes follow the picture."""
    canvas = pixels.copy()
    unit = max(1, round(max(canvas.shape[:2]) / 500))
    for box, five, label in zip(boxes, points, labels, strict=True):
        x1, y1, x2, y2 = (int(v) for v in np.round(box))
        cv2.rectangle(canvas, (x1, y1), (x2, y2), BOX, unit, cv2.LINE_AA)
        for point, colour in zip(five, POINT_COLOURS, strict=True):
            if np.isfinite(point).all():
                x, y = (int(v) for v in np.round(point))
                cv2.circle(canvas, (x, y), 2 * unit, colour, -1, cv2.LINE_AA)
        _label(canvas, label, (x1, y1), unit)
    return canvas


def _label(canvas: np.ndarray, label: str, corner: tuple[int, int], unit: int) -> None:
    scale = 0.45 * unit
    (width, height), below = cv2.getTextSize(label, cv2.FONT_HERSHEY_SIMPLEX, scale, unit)
    x = int(np.clip(corner[0], 0, max(0, canvas.shape[1] - width)))
    y = int(np.clip(corner[1] - 2 * unit, height + below, canvas.shape[0]))
    cv2.rectangle(canvas, (x, y - height - below), (x + width, y + below), BOX, -1)
    cv2.putText(canvas, label, (x, y), cv2.FONT_HERSHEY_SIMPLEX, scale, (0, 0, 0), unit, cv2.LINE_AA)


def redact(
    pixels: UInt8[np.ndarray, "h w 3"],
    boxes: Float[np.ndarray, "n 4"],
    style: Style = "fill",
    margin: float = 0.25,
) -> UInt8[np.ndarray, "h w 3"]:
    """A copy of an RGB picture with every box made unrecognisable.

    `fill` paints the region grey: nothing of it is left. `blur` and `pixelate` reduce it to 2 cells a side
    and keep its colours; with 3 and more, eyes and mouth stay apart, and a face detector finds the face
    again. Each region is the box and an ellipse around it.

    Args:
        pixels: the picture.
        boxes: faces, pixels.
        style: `fill`, `blur` or `pixelate`.
        margin: how far the region reaches beyond the box on each side, in box sides, 0 to 10;
            hair and ears identify people too.

    Raises:
        InvalidArgument: no such style, or a margin outside 0 to 10.
    """
    if style not in ("blur", "fill", "pixelate"):
        raise InvalidArgument(f"a redaction is blur, pixelate or fill, not {style!r}")
    if not 0 <= margin <= LARGEST_MARGIN:  # also not a number
        raise InvalidArgument(
            f"a redaction's margin lies between 0 and {LARGEST_MARGIN} box sides, not {margin}: "
            "less shows the face"
        )
    canvas = pixels.copy()
    height, width = canvas.shape[:2]
    for box in boxes:
        grow = (box[2:] - box[:2]) * margin
        x1, y1 = (int(v) for v in np.clip(np.floor(box[:2] - grow), 0, [width, height]))
        x2, y2 = (int(v) for v in np.clip(np.ceil(box[2:] + grow), 0, [width, height]))
        if x2 <= x1 or y2 <= y1:
            continue
        region = canvas[y1:y2, x1:x2]
        inside = _ellipse(region.shape[:2])
        bx1, by1 = (max(0, int(v)) for v in np.floor(box[:2]) - [x1, y1])
        bx2, by2 = (max(0, int(v)) for v in np.ceil(box[2:]) - [x1, y1])
        inside[by1:by2, bx1:bx2] = True
        region[:] = np.where(inside[..., None], _hidden(region, style), region)
    return canvas


def _hidden(region: np.ndarray, style: Style) -> np.ndarray:
    height, width = region.shape[:2]
    if style == "fill":
        return np.full_like(region, 128)
    cells = (min(CELLS, width), min(CELLS, height))
    coarse = cv2.resize(region, cells, interpolation=cv2.INTER_AREA)
    how = cv2.INTER_LINEAR if style == "blur" else cv2.INTER_NEAREST
    return cv2.resize(coarse, (width, height), interpolation=how)


def _ellipse(shape: tuple[int, int]) -> np.ndarray:
    height, width = shape
    y = (np.arange(height) + 0.5) / height * 2 - 1
    x = (np.arange(width) + 0.5) / width * 2 - 1
    return (x[None, :] ** 2 + y[:, None] ** 2) <= 1.0

"""Alignment as `insightface.utils.face_align` offers it.

Same names, same numbers; points that determine no alignment are refused instead of giving a black crop, and
an unknown `mode` or size is an error. Pictures may have any number of channels, in any order.
"""

from typing import Any, Final

import cv2
import numpy as np

from lineament.core.errors import InvalidArgument
from lineament.vision.align import ARCFACE_112, arcface, carry, motions_to

arcface_dst: Final = ARCFACE_112.copy()
"""Where left eye, right eye, nose, left and right mouth corner lie in a 112×112 crop, pixels."""


def estimate_norm(lmk: Any, image_size: int = 112, mode: str = "arcface") -> np.ndarray:
    """The similarity that carries five points of a picture onto the template.

    Args:
        lmk: (5, 2) pixels of the picture.
        image_size: side of the crop, a multiple of 112 or of 128.
        mode: `arcface`; there is no other template.

    Returns:
        float64 (2, 3) M, with crop = M · (x, y, 1).

    Raises:
        PointsDegenerate: the points coincide or are not numbers.
        InvalidArgument: another shape, size or mode.
    """
    points = np.asarray(lmk, dtype=np.float64)
    if points.shape != (5, 2):
        raise InvalidArgument(f"five points have shape (5, 2), not {points.shape}")
    if mode != "arcface":
        raise InvalidArgument(f"the only alignment mode is 'arcface', not {mode!r}")
    return motions_to(points[None], arcface(image_size))[0]


def norm_crop(img: np.ndarray, landmark: Any, image_size: int = 112, mode: str = "arcface") -> np.ndarray:
    """The aligned crop of one face, bilinear, black outside the picture; arguments as in `estimate_norm`."""
    return norm_crop2(img, landmark, image_size, mode)[0]


def norm_crop2(
    img: np.ndarray, landmark: Any, image_size: int = 112, mode: str = "arcface"
) -> tuple[np.ndarray, np.ndarray]:
    """The aligned crop and the matrix that made it."""
    motion = estimate_norm(landmark, image_size, mode)
    return cv2.warpAffine(img, motion, (image_size, image_size), borderValue=0.0), motion


def square_crop(im: np.ndarray, S: int) -> tuple[np.ndarray, float]:
    """A picture fitted into the top left of a black square of side `S`, and the scale used."""
    height, width = im.shape[:2]
    longer = max(height, width)
    new_width = S if width >= height else int(width / height * S)
    new_height = S if height > width else int(height / width * S)
    canvas = np.zeros((S, S, 3), np.uint8)
    canvas[:new_height, :new_width] = cv2.resize(im, (new_width, new_height))
    return canvas, S / longer


def transform(
    data: np.ndarray, center: Any, output_size: int, scale: float | int, rotation: float | int
) -> tuple[np.ndarray, np.ndarray]:
    """A square window about `center`, scaled and turned.

    Args:
        data: the picture.
        center: (x, y), pixels of the picture; comes to lie in the middle of the window.
        output_size: side of the window, pixels.
        scale: window pixels per picture pixel.
        rotation: degrees, clockwise as seen.

    Returns:
        The window and the (2, 3) matrix picture → window.
    """
    turn = np.radians(float(rotation))
    linear = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    shift = output_size / 2 - linear @ np.array([center[0], center[1]], np.float64)
    motion = np.concatenate([linear, shift[:, None]], axis=1)
    return cv2.warpAffine(data, motion, (output_size, output_size), borderValue=0.0), motion


def trans_points2d(pts: Any, M: Any) -> np.ndarray:
    """Points (n, 2) through a (2, 3) matrix; float32."""
    points = np.asarray(pts, np.float64)
    return carry(points[None], np.asarray(M, np.float64)[None])[0].astype(np.float32)


def trans_points3d(pts: Any, M: Any) -> np.ndarray:
    """Points (n, 3) through a (2, 3) matrix; the third axis is multiplied by the matrix's scale."""
    points, motion = np.asarray(pts, np.float64), np.asarray(M, np.float64)
    scale = np.hypot(motion[0, 0], motion[0, 1])
    return np.concatenate(
        [trans_points2d(points[:, :2], motion), (points[:, 2:] * scale).astype(np.float32)], axis=1
    )


def trans_points(pts: Any, M: Any) -> np.ndarray:
    """`trans_points2d` or `trans_points3d`, by the number of columns."""
    return trans_points2d(pts, M) if np.shape(pts)[1] == 2 else trans_points3d(pts, M)

"""Landmark refinement: look again at each face, closer, upright, and in the mirror.

A single-shot detector places its five points best when the face fills a good part of its input and stands
upright, and the cells around the best one carry almost independent guesses of the same points. So, for each
face found: cut an upright square window about it, scale it so that the face has one size whatever its size
in the picture, run the same network on the window and on its mirror image, average the points of all cells
that see the same face, and map them back. Sizes were chosen on the CC0 portraits and on CFP, never on LFW
(LOG.md).
"""

from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from lineament.core.errors import InvalidArgument
from lineament.core.faces import Faces
from lineament.detect.family import Candidates, Family
from lineament.detect.search import DetectionSettings, FaceSearch
from lineament.vision.align import ARCFACE_112, alignable, carry, invert, motions_to
from lineament.vision.boxes import intersection_over_union

IN_MIRROR: Final = [1, 0, 2, 4, 3]
"""Left and right change places in a mirror."""

MIN_SCORE: Final = 0.3  # of a cell: lower than for finding, for a face is already known to be there
SAME_FACE: Final = 0.3  # overlap of a cell's box with where the face should be in the window
SAME_VOTE: Final = 0.5  # overlap of a cell's box with the best cell's box, for its points to count


@dataclass(frozen=True, slots=True)
class Pass:
    """One more look.

    Attributes:
        face: side of the face in the window, pixels (square root of the box's area).
        window: side of the window, pixels; a multiple of the network's stride.
        mirrored: look at the mirror image.
    """

    face: int
    window: int
    mirrored: bool = False


PASSES: Final = (Pass(96, 160), Pass(192, 288), Pass(192, 288, mirrored=True))
"""A small window first finds the angle for the two large ones, and is the second scale of the average."""


class Refined:
    """A detector whose points are measured again.

    Args:
        search: finds the faces.
        passes: the looks, in order; each turns its window by the newest points.

    Raises:
        InvalidArgument: the network takes one input size only, or has no points.
    """

    def __init__(self, search: FaceSearch, passes: tuple[Pass, ...] = PASSES) -> None:
        if search.family.fixed_size is not None or not search.family.has_points:
            raise InvalidArgument(
                f"{search.name} takes one input size only or has no points: its points cannot be refined"
            )
        self.search = search
        self.passes = passes

    @property
    def name(self) -> str:
        """For people and for records."""
        return f"{self.search.name}+refined"

    def detect(self, pixels: UInt8[np.ndarray, "h w 3"], settings: DetectionSettings | None = None) -> Faces:
        """Faces of an upright RGB picture of any size, best first, in its own pixels."""
        faces = self.search.detect(pixels, settings)
        if not len(faces):
            return faces
        usable = np.flatnonzero(alignable(faces.points))
        points = faces.points.copy()
        for row in usable:
            points[row] = refine(pixels, faces.boxes[row], faces.points[row], self.search.family, self.passes)
        return replace(faces, points=points)


def refine(
    pixels: UInt8[np.ndarray, "h w 3"],
    box: Float[np.ndarray, "4"],
    points: Float[np.ndarray, "5 2"],
    family: Family,
    passes: tuple[Pass, ...] = PASSES,
) -> Float[np.ndarray, "5 2"]:
    """The mean of the points that the passes found; the first points when none finds the face again."""
    centre = (box[:2] + box[2:]).astype(np.float64) / 2
    side = float(np.sqrt(max(float((box[2] - box[0]) * (box[3] - box[1])), 1.0)))
    newest, found = points.astype(np.float64), list[np.ndarray]()
    for look in passes:
        motion = _window(newest, centre, side, look)
        cells = family.candidates(_warp(pixels, motion, look.window), MIN_SCORE)
        mean = _vote(cells, look)
        if mean is None:
            continue
        newest = carry(mean[None], invert(motion[None]))[0]
        if look.mirrored:
            newest = newest[IN_MIRROR]
        found.append(newest)
    return np.mean(found, axis=0) if found else points


def _window(points: np.ndarray, centre: np.ndarray, side: float, look: Pass) -> np.ndarray:
    """Picture → window: turned so that `points` stand upright, scaled by the box, centred on it."""
    upright = motions_to(points[None], ARCFACE_112)[0, :, :2]
    linear = upright / np.hypot(upright[0, 0], upright[1, 0]) * (look.face / side)
    if look.mirrored:
        linear = np.diag([-1.0, 1.0]) @ linear
    middle = (look.window - 1) / 2
    return np.concatenate([linear, (middle - linear @ centre)[:, None]], axis=1)


def _vote(cells: Candidates, look: Pass) -> np.ndarray | None:
    """Mean points (5, 2) of the cells that see the expected face, weighted by score; None when none does."""
    middle = (look.window - 1) / 2
    expected = np.array([[middle - look.face / 2] * 2 + [middle + look.face / 2] * 2], np.float32)
    same = intersection_over_union(cells.boxes, expected)[:, 0] > SAME_FACE
    if not same.any():
        return None
    best = int(np.argmax(same))  # cells are sorted by score, so the first one that fits is the best one
    agree = intersection_over_union(cells.boxes, cells.boxes[best : best + 1])[:, 0] > SAME_VOTE
    votes = (cells.scores * agree).astype(np.float64)
    return (cells.points * votes[:, None, None]).sum(axis=0) / votes.sum()


def _warp(pixels: np.ndarray, motion: np.ndarray, size: int) -> np.ndarray:
    """A square window; a face that shrinks by two or more is averaged first, which does not alias.

    Only the part of the picture that the window sees is averaged, so a huge picture costs no more.
    """
    factor = int(1 / np.hypot(motion[0, 0], motion[1, 0]))
    if factor < 2:
        return cv2.warpAffine(pixels, motion, (size, size), borderValue=(0, 0, 0))
    corners = np.array([[[0, 0], [size, 0], [0, size], [size, size]]], np.float64)
    seen = carry(corners, invert(motion[None]))[0]
    height, width = pixels.shape[:2]
    left, top = np.clip(np.floor(seen.min(axis=0)) - factor, 0, [width - 1, height - 1]).astype(int)
    right, bottom = np.clip(np.ceil(seen.max(axis=0)) + factor, [left + 1, top + 1], [width, height]).astype(
        int
    )
    columns, rows = max(1, (right - left) // factor), max(1, (bottom - top) // factor)
    part = pixels[top : min(top + rows * factor, height), left : min(left + columns * factor, width)]
    small = cv2.resize(part, (int(columns), int(rows)), interpolation=cv2.INTER_AREA)
    # Pixel centres correspond, not corners: full = factor·small + (factor − 1)/2 + corner.
    offset = np.array([left, top]) + (factor - 1) / 2
    linear = motion[:, :2]
    moved = np.concatenate([linear * factor, (motion[:, 2] + linear @ offset)[:, None]], axis=1)
    return cv2.warpAffine(small, moved, (size, size), borderValue=(0, 0, 0))

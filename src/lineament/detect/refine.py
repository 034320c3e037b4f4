"""Landmark refinement: look again at each face, closer, upright, and in the mirror.

A single-shot detector places its five points best when the face fills a good part of its input and stands
upright, and the cells around the best one carry almost independent guesses of the same points. So, for each
face found: cut an upright square window about it, scale it so that the face has one size whatever its size
in the picture, run the same network on the window and on its mirror image, average the points of all cells
that see the same face, and map them back. The looks also confirm the face: their mean score becomes its
score, and what falls below the threshold at this second look was a hand or a pattern. Sizes were chosen on
the CC0 portraits and on CFP, never on LFW (LOG.md).
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
from lineament.vision.boxes import clip, intersection_over_union

IN_MIRROR: Final = [1, 0, 2, 4, 3]
"""Left and right change places in a mirror."""

MIN_SCORE: Final = 0.3  # of a cell: lower than for finding, for a face is already known to be there
SAME_FACE: Final = 0.3  # overlap of a cell's box with where the face should be in the window
SAME_VOTE: Final = 0.5  # overlap of a cell's box with the best cell's box, for its points to count


@dataclass(frozen=True, slots=True)
class Look:
    """One look at a face.

    Attributes:
        face: side of the face in the window, pixels (square root of its box's area).
        window: side of the window, pixels; a multiple of the network's stride.
        mirrored: look at the mirror image.
    """

    face: int
    window: int
    mirrored: bool = False


STAGES: Final = ((Look(96, 160),), (Look(192, 256), Look(192, 256, mirrored=True)))
"""A cheap small window first finds place and angle for two large ones, and is a second scale of the mean."""


@dataclass(frozen=True, slots=True, eq=False)
class Refinement:
    """What the looks say together.

    Attributes:
        points: float64 (5, 2), the mean of all looks that see the face; the first points when none does.
        score: mean over all looks of the best cell's score, 0 for a look that does not see the face.
    """

    points: np.ndarray
    score: float


@dataclass(frozen=True, slots=True, eq=False)
class _Place:
    """Where a face is thought to be: middle (2,), side in pixels, points (5, 2); best cell's score."""

    centre: np.ndarray
    side: float
    points: np.ndarray
    score: float = 0.0


class Refined:
    """A detector whose points are measured again.

    Args:
        search: finds the faces.
        stages: the looks; those of one stage share their window's place and angle.

    Raises:
        InvalidArgument: the network takes one input size only, or has no points.
    """

    def __init__(self, search: FaceSearch, stages: tuple[tuple[Look, ...], ...] = STAGES) -> None:
        if search.family.fixed_size is not None or not search.family.has_points:
            raise InvalidArgument(
                f"{search.name} takes one input size only or has no points: its points cannot be refined"
            )
        self.search = search
        self.stages = stages

    @property
    def name(self) -> str:
        """For people and for records."""
        return f"{self.search.name}+refined"

    def detect(self, pixels: UInt8[np.ndarray, "h w 3"], settings: DetectionSettings | None = None) -> Faces:
        """Faces of an upright RGB picture of any size, best first, in its own pixels."""
        settings = settings or self.search.settings
        # Points are measured around the whole box: where it is cut must not move them.
        faces = self.search.detect(pixels, replace(settings, clip=False))
        if not len(faces):
            return faces
        points, scores = faces.points.copy(), faces.scores.copy()
        for row in np.flatnonzero(alignable(faces.points)):
            refined = refine(pixels, faces.boxes[row], points[row], self.search.family, self.stages)
            points[row], scores[row] = refined.points, refined.score
        order = np.argsort(-scores, kind="stable")
        confirmed = order[scores[order] >= settings.threshold]
        faces = replace(faces, points=points, scores=scores).take(confirmed)
        return replace(faces, boxes=clip(faces.boxes, pixels.shape[:2])) if settings.clip else faces


def refine(
    pixels: UInt8[np.ndarray, "h w 3"],
    box: Float[np.ndarray, "4"],
    points: Float[np.ndarray, "5 2"],
    family: Family,
    stages: tuple[tuple[Look, ...], ...] = STAGES,
) -> Refinement:
    """Look again at one face.

    After each stage the newest place and points serve the next one: the first ones are the least certain.
    """
    side = float(np.sqrt(max(float((box[2] - box[0]) * (box[3] - box[1])), 1.0)))
    place = _Place((box[:2] + box[2:]).astype(np.float64) / 2, side, points.astype(np.float64))
    answers: list[_Place] = []
    for stage in stages:
        found = [seen for look in stage if (seen := _look(pixels, place, family, look)) is not None]
        if found:
            answers += found
            place = _Place(
                np.mean([seen.centre for seen in found], axis=0),
                float(np.mean([seen.side for seen in found])),
                np.mean([seen.points for seen in found], axis=0),
            )
    if not answers:
        return Refinement(points.astype(np.float64), 0.0)
    score = sum(seen.score for seen in answers) / sum(len(stage) for stage in stages)
    return Refinement(np.mean([seen.points for seen in answers], axis=0), score)


def _look(pixels: np.ndarray, place: _Place, family: Family, look: Look) -> _Place | None:
    """Where the same face is when seen upright at the look's size, or None when it is not seen."""
    motion = _window(place, look)
    cells = family.candidates(_warp(pixels, motion, look.window), MIN_SCORE)
    same = _same(cells, look)
    if not same.any():
        return None
    best = int(np.argmax(same))  # cells are sorted by score, so the first one that fits is the best one
    agree = intersection_over_union(cells.boxes, cells.boxes[best : best + 1])[:, 0] > SAME_VOTE
    votes = (cells.scores * agree).astype(np.float64)
    votes /= votes.sum()
    box = votes @ cells.boxes
    middle_and_points = np.concatenate(
        [(box[:2] + box[2:])[None] / 2, np.einsum("c,cpx->px", votes, cells.points)]
    )
    back = carry(middle_and_points[None], invert(motion[None]))[0]
    # The window is turned, so its box is not one in the picture: a square of the same area stands for it.
    side = float(np.sqrt((box[2] - box[0]) * (box[3] - box[1]))) * place.side / look.face
    found = back[1:][IN_MIRROR] if look.mirrored else back[1:]
    return _Place(back[0], side, found, float(cells.scores[best]))


def _window(place: _Place, look: Look) -> np.ndarray:
    """Picture → window: turned so that the points stand upright, scaled and centred by the place."""
    upright = motions_to(place.points[None], ARCFACE_112)[0, :, :2]
    linear = upright / np.hypot(upright[0, 0], upright[1, 0]) * (look.face / place.side)
    if look.mirrored:
        linear = np.diag([-1.0, 1.0]) @ linear
    middle = (look.window - 1) / 2
    return np.concatenate([linear, (middle - linear @ place.centre)[:, None]], axis=1)


def _same(cells: Candidates, look: Look) -> np.ndarray:
    """Which cells see a face where the look expects it, (n,) bool."""
    middle = (look.window - 1) / 2
    expected = np.array([[middle - look.face / 2] * 2 + [middle + look.face / 2] * 2], np.float32)
    return intersection_over_union(cells.boxes, expected)[:, 0] > SAME_FACE


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

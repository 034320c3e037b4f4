"""The search for faces: passes at several sizes and turns, one suppression, one named rule.

A network sees faces well in a range of sizes. Two passes, one with the picture at its working size and one
with it much smaller, find small faces as well as faces that fill the frame; all candidates then go through
one suppression, so a face seen by both is reported once.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from jaxtyping import UInt8

from lineament.core.checks import require_bool
from lineament.core.errors import InvalidArgument
from lineament.core.faces import Faces
from lineament.detect.family import Candidates, Family
from lineament.vision.boxes import Rule, clip, intersection_over_union, non_maximum_suppression, rank
from lineament.vision.fit import fit

AUTO: tuple[tuple[int, int], ...] = ((128, 128), (640, 640))
"""Sizes of the automatic two-scale search, (width, height) pixels; the same as InsightFace's."""

TURNS = {0: None, 90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}


@dataclass(frozen=True, slots=True)
class DetectionSettings:
    """How faces are searched for.

    Attributes:
        threshold: smallest confidence, 0..1.
        overlap: suppression, intersection over union, 0..1.
        sizes: (width, height) of each pass in pixels; the picture is fitted inside, keeping its aspect, and
            sides are rounded up to the network's stride.
        angles: turns of the picture tried, degrees clockwise, of 0, 90, 180, 270. With several, the turn
            under which the faces score best is chosen for each face, and reported.
        max_faces: keep at most this many; 0 keeps all.
        keep: which faces stay when `max_faces` cuts: `score`, `largest` or `central`.
        min_size: smallest shorter side of a box, in pixels of the picture.
        clip: cut boxes at the picture's edges.
        tight: pad only to the stride instead of to the whole size: less to compute.
        finest: where several passes see one face, take box and points from the finest of them, whichever is
            more certain of it. A coarse pass is often more certain, and places points worse. InsightFace
            follows certainty.
    """

    threshold: float = 0.5
    overlap: float = 0.4
    sizes: tuple[tuple[int, int], ...] = AUTO
    angles: tuple[int, ...] = (0,)
    max_faces: int = 0
    keep: Rule = "central"
    min_size: float = 0.0
    clip: bool = False
    tight: bool = True
    finest: bool = True

    def __post_init__(self) -> None:
        require_bool(clip=self.clip, tight=self.tight, finest=self.finest)
        if not 0.0 < self.threshold <= 1.0:
            raise InvalidArgument(f"a detection threshold lies in (0, 1], not {self.threshold}")
        if not 0.0 < self.overlap <= 1.0:
            raise InvalidArgument(f"an overlap lies in (0, 1], not {self.overlap}")
        if not self.sizes or any(not 1 <= side <= 8192 for size in self.sizes for side in size):
            raise InvalidArgument(
                f"detection sizes are (width, height) of 1 to 8192 pixels, not {self.sizes}"
            )
        if not self.angles or any(a not in TURNS for a in self.angles):
            raise InvalidArgument(f"angles are some of 0, 90, 180, 270 degrees, not {self.angles}")
        if self.max_faces < 0 or self.min_size < 0:
            raise InvalidArgument("max_faces and min_size cannot be negative")
        if self.keep not in ("score", "largest", "central"):
            raise InvalidArgument(f"keep is score, largest or central, not {self.keep!r}")


class FaceSearch:
    """A detector: a network and how to search with it.

    Args:
        family: the network.
        settings: how to search.
    """

    def __init__(self, family: Family, settings: DetectionSettings | None = None) -> None:
        self.family = family
        self.settings = settings or DetectionSettings()

    @property
    def name(self) -> str:
        """For people and for records."""
        return self.family.name

    def detect(self, pixels: UInt8[np.ndarray, "h w 3"], settings: DetectionSettings | None = None) -> Faces:
        """Faces of an upright RGB picture of any size, best first, in its own pixels."""
        settings = settings or self.settings
        found = [self._turned(pixels, angle, settings) for angle in settings.angles]
        boxes = np.concatenate([f.boxes for f in found])
        scores = np.concatenate([f.scores for f in found])
        kept = non_maximum_suppression(boxes, scores, settings.overlap)
        faces = Faces(
            boxes[kept],
            np.concatenate([f.points for f in found])[kept],
            scores[kept],
            np.concatenate(
                [np.full(len(f.scores), a, np.float32) for f, a in zip(found, settings.angles, strict=True)]
            )[kept],
        )
        return _chosen(faces, pixels.shape[:2], settings)

    def _turned(self, pixels: np.ndarray, angle: int, settings: DetectionSettings) -> Candidates:
        turn = TURNS[angle]
        if turn is None:
            return self._passes(pixels, settings)
        found = self._passes(np.ascontiguousarray(cv2.rotate(pixels, turn)), settings)
        return _turned_back(found, angle, pixels.shape[:2])

    def _passes(self, pixels: np.ndarray, settings: DetectionSettings) -> Candidates:
        fixed = self.family.fixed_size
        sizes = settings.sizes if fixed is None else (fixed,)
        tight = settings.tight and fixed is None
        passes: list[Candidates] = []
        for size in sorted(sizes, key=lambda size: -size[0] * size[1]) if settings.finest else sizes:
            fitted = fit(pixels, size, self.family.stride, tight)
            found = self.family.candidates(fitted.canvas, settings.threshold)
            found = replace(found, boxes=found.boxes / fitted.scale, points=found.points / fitted.scale)
            passes.append(_placed(found, passes, settings.overlap) if settings.finest else found)
        if len(passes) == 1:
            return passes[0]
        return Candidates.gather(
            [p.boxes for p in passes], [p.points for p in passes], [p.scores for p in passes]
        )


def _placed(coarse: Candidates, finer: list[Candidates], overlap: float) -> Candidates:
    """Coarse candidates, each moved to where the finest pass that sees the same face has it."""
    boxes, points = coarse.boxes.copy(), coarse.points.copy()
    waiting = np.arange(len(boxes))
    for other in finer:
        if not len(other.boxes) or not len(waiting):
            continue
        same = intersection_over_union(boxes[waiting], other.boxes) > overlap
        seen = same.any(axis=1)
        best = same[seen].argmax(axis=1)  # candidates are sorted by score: the first is the best
        boxes[waiting[seen]], points[waiting[seen]] = other.boxes[best], other.points[best]
        waiting = waiting[~seen]
    return replace(coarse, boxes=boxes, points=points)


def _turned_back(found: Candidates, angle: int, size: tuple[int, int]) -> Candidates:
    """Coordinates found in a turned picture, in the picture as it was; `size` is (height, width) of that."""
    height, width = size
    x, y = found.points[..., 0], found.points[..., 1]
    x1, y1, x2, y2 = found.boxes.T
    if angle == 90:
        points, boxes = (y, height - x), (y1, height - x2, y2, height - x1)
    elif angle == 180:
        points, boxes = (width - x, height - y), (width - x2, height - y2, width - x1, height - y1)
    else:
        points, boxes = (width - y, x), (width - y2, x1, width - y1, x2)
    return Candidates(
        np.stack(boxes, axis=1).astype(np.float32), np.stack(points, axis=-1).astype(np.float32), found.scores
    )


def _chosen(faces: Faces, size: tuple[int, int], settings: DetectionSettings) -> Faces:
    if settings.min_size > 0:
        sides = (faces.boxes[:, 2:] - faces.boxes[:, :2]).min(axis=1) if len(faces) else np.zeros(0)
        faces = faces.take(np.flatnonzero(sides >= settings.min_size))
    if settings.max_faces and len(faces) > settings.max_faces:
        order = rank(faces.boxes, faces.scores, settings.keep, size)
        faces = faces.take(order[: settings.max_faces])
    return replace(faces, boxes=clip(faces.boxes, size)) if settings.clip else faces

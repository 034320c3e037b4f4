"""Faces found in a picture, as columns."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float32, Int64

from lineament.core.arrays import frozen
from lineament.core.template import Template, Templates


@dataclass(frozen=True, slots=True, eq=False)
class Attributes:
    """What else a pack can say of each of n faces; None for models it does not hold.

    Attributes:
        landmarks_106: (n, 106, 2) pixels.
        landmarks_68: (n, 68, 3) pixels; the third axis is depth in pixels.
        pose: (n, 3) pitch, yaw, roll in degrees.
        gender: (n,) 1 male, 0 female: a guess by appearance, poor for children.
        age: (n,) years: a guess by appearance, poor for children.
    """

    landmarks_106: np.ndarray | None = None
    landmarks_68: np.ndarray | None = None
    pose: np.ndarray | None = None
    gender: np.ndarray | None = None
    age: np.ndarray | None = None

    def take(self, rows: np.ndarray) -> "Attributes":
        """The chosen rows of every column that is there."""
        return Attributes(
            *(
                None if column is None else column[rows]
                for column in (self.landmarks_106, self.landmarks_68, self.pose, self.gender, self.age)
            )
        )


@dataclass(frozen=True, slots=True, eq=False)
class Quality:
    """Capture facts of each of n faces; see `lineament.vision.quality` for how they are measured.

    Attributes:
        eye_distance: (n,) pixels between the eyes in the full picture, as a frontal view would show them.
        sharpness: (n,) 0 = no detail above the noise, 1 = an ordinary capture, on the aligned crop.
        brightness: (n,) mean luma between brows and chin, 0..1.
        contrast: (n,) standard deviation of smoothed luma between brows and chin, 0..0.5.
        yaw: (n,) degrees from the five points, 0 = frontal, positive = nose to the right of the picture.
        roll: (n,) degrees of rotation in the picture from the five points, positive = clockwise as seen.
        occlusion: (n,) 0..1, how unlike uncovered skin and features the lower face looks.
        outside: (n,) 0..1, share of the aligned crop that lies outside the picture.
    """

    eye_distance: Float32[np.ndarray, "n"]
    sharpness: Float32[np.ndarray, "n"]
    brightness: Float32[np.ndarray, "n"]
    contrast: Float32[np.ndarray, "n"]
    yaw: Float32[np.ndarray, "n"]
    roll: Float32[np.ndarray, "n"]
    occlusion: Float32[np.ndarray, "n"]
    outside: Float32[np.ndarray, "n"]

    def __post_init__(self) -> None:
        for name in self.__slots__:
            object.__setattr__(
                self, name, frozen(getattr(self, name), np.float32, (len(self.eye_distance),), name)
            )

    def __len__(self) -> int:
        return len(self.eye_distance)

    def take(self, rows: np.ndarray) -> "Quality":
        """The chosen rows of every column."""
        return Quality(*(getattr(self, name)[rows] for name in self.__slots__))

    def spread(self, rows: np.ndarray) -> "Quality":
        """Facts for n faces from those of the measured ones; NaN where `rows` (n,) is −1."""
        known = rows >= 0
        columns = [np.full(len(rows), np.nan, np.float32) for _ in self.__slots__]
        for column, name in zip(columns, self.__slots__, strict=True):
            column[known] = getattr(self, name)[rows[known]]
        return Quality(*columns)

    def row(self, index: int) -> dict[str, float]:
        """One face's facts by name."""
        return {name: float(getattr(self, name)[index]) for name in self.__slots__}


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """One face: a row of `Faces`.

    Attributes:
        box: (4,) x1 y1 x2 y2, pixels of the full picture; may reach outside it.
        points: (5, 2) left eye, right eye, nose, left and right mouth corner *as seen in the picture*.
        score: detector's confidence, 0..1.
        angle: degrees (0, 90, 180, 270) the picture was turned clockwise for the face to be found.
        template: what the embedder made of it, or None.
        quality: capture facts by name, or None.
        attributes: landmarks, pose, gender, age: columns of one row, or None.
    """

    box: Float32[np.ndarray, "4"]
    points: Float32[np.ndarray, "5 2"]
    score: float
    angle: float = 0.0
    template: Template | None = None
    quality: dict[str, float] | None = None
    attributes: Attributes | None = None

    def __repr__(self) -> str:
        box = [round(float(v), 1) for v in self.box]
        return f"Face(box={box}, score={self.score:.3f}, template={self.template})"

    @property
    def width(self) -> float:
        """Pixels."""
        return float(self.box[2] - self.box[0])

    @property
    def height(self) -> float:
        """Pixels."""
        return float(self.box[3] - self.box[1])


@dataclass(frozen=True, slots=True, eq=False)
class Faces:
    """The n faces of one picture, best first; n may be 0.

    Columns as in `Face`, each with a leading axis of length n; `templates` has a row for each face that
    could be aligned, and `template_rows` (n,) says which, −1 for a face that could not.
    """

    boxes: Float32[np.ndarray, "n 4"]
    points: Float32[np.ndarray, "n 5 2"]
    scores: Float32[np.ndarray, "n"]
    angles: Float32[np.ndarray, "n"] | None = None
    templates: Templates | None = None
    quality: Quality | None = None
    attributes: Attributes | None = None
    template_rows: Int64[np.ndarray, "n"] | None = None

    def __post_init__(self) -> None:
        n = len(self.scores)
        object.__setattr__(self, "boxes", frozen(self.boxes, np.float32, (n, 4), "boxes"))
        object.__setattr__(self, "points", frozen(self.points, np.float32, (n, 5, 2), "points"))
        object.__setattr__(self, "scores", frozen(self.scores, np.float32, (n,), "scores"))
        angles = np.zeros(n) if self.angles is None else self.angles
        object.__setattr__(self, "angles", frozen(angles, np.float32, (n,), "angles"))
        if self.templates is not None:
            rows = np.arange(len(self.templates)) if self.template_rows is None else self.template_rows
            object.__setattr__(self, "template_rows", frozen(rows, np.int64, (n,), "template_rows"))

    @classmethod
    def none(cls) -> "Faces":
        """No face."""
        return cls(np.zeros((0, 4), np.float32), np.zeros((0, 5, 2), np.float32), np.zeros(0, np.float32))

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, index: int) -> Face:
        row = np.array([range(len(self))[index]])
        return Face(
            box=self.boxes[index],
            points=self.points[index],
            score=float(self.scores[index]),
            angle=0.0 if self.angles is None else float(self.angles[index]),
            template=self._template(index),
            quality=None if self.quality is None else self.quality.row(index),
            attributes=None if self.attributes is None else self.attributes.take(row),
        )

    def __iter__(self) -> Iterator[Face]:
        return (self[i] for i in range(len(self)))

    def _template(self, index: int) -> Template | None:
        if self.templates is None or self.template_rows is None or self.template_rows[index] < 0:
            return None
        return self.templates[int(self.template_rows[index])]

    def take(self, rows: np.ndarray) -> "Faces":
        """The chosen faces, by index or mask, in that order."""
        templates, template_rows = self.templates, None
        if templates is not None and self.template_rows is not None:
            chosen = self.template_rows[rows]
            templates = templates.take(chosen[chosen >= 0])
            template_rows = np.where(chosen >= 0, np.cumsum(chosen >= 0) - 1, -1)
        return Faces(
            self.boxes[rows],
            self.points[rows],
            self.scores[rows],
            None if self.angles is None else self.angles[rows],
            templates,
            None if self.quality is None else self.quality.take(rows),
            None if self.attributes is None else self.attributes.take(rows),
            template_rows,
        )

    def __repr__(self) -> str:
        return f"Faces(n={len(self)}, scores={np.round(self.scores, 3).tolist()}, templates={self.templates})"

    def scaled(self, factor: float) -> "Faces":
        """Boxes and points in a picture `factor` times as large: from a reduced picture to the full one."""
        if factor == 1.0:
            return self
        return replace(self, boxes=rescaled(self.boxes, factor), points=rescaled(self.points, factor))


def rescaled(coordinates: np.ndarray, factor: float) -> np.ndarray:
    """Pixel coordinates in a picture `factor` times as large; centres of pixels correspond, not corners."""
    if factor == 1.0:
        return coordinates
    return ((coordinates + 0.5) * factor - 0.5).astype(coordinates.dtype)

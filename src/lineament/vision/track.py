"""Faces followed from frame to frame: which face of this frame is which of the frames before.

Each face of a frame goes to at most one track and each track gets at most one face, so that the sum of

    overlap + template_weight * max(0, similarity)

over all pairs is as large as it can be (the assignment problem; Kuhn 1955, solved by SciPy's version of
Jonker and Volgenant). `overlap` is the intersection over union of the face's box and the track's last box,
and `similarity` the cosine of the face's template and the track's mean template. A pair must be *possible*:
boxes overlap enough and the templates do not contradict, or the templates alone are alike enough. So where
people cross and boxes overlap, the templates decide, and where no template is usable, the boxes do.

Nothing is hidden: `follow` takes the tracks as they were and returns them as they are.
"""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64
from scipy.optimize import linear_sum_assignment

from lineament.core.errors import InvalidArgument, TemplateInvalid
from lineament.vision.boxes import intersection_over_union


@dataclass(frozen=True, slots=True)
class TrackSettings:
    """How faces are followed.

    Attributes:
        overlap: intersection over union from which a face may be a track's, 0..1.
        unlike: cosine under which it is not the track's, however much the boxes overlap. Between ordinary
            portraits of 68 different people, 95 % of the default pack's cosines lie under 0.25.
        alike: cosine from which it may be the track's wherever it is.
        template_weight: what one unit of similarity counts in units of overlap.
        keep: share of the mean template that stays when a new one comes, 0..1.
        gap: seconds after which a track that nobody was seen on has ended.
    """

    overlap: float = 0.2
    unlike: float = 0.25
    alike: float = 0.5
    template_weight: float = 2.0
    keep: float = 0.8
    gap: float = 2.0

    def __post_init__(self) -> None:
        if not 0.0 < self.overlap <= 1.0:
            raise InvalidArgument(f"overlap lies over 0 and up to 1, not {self.overlap!r}")
        if not -1.0 <= self.unlike <= self.alike <= 1.0 or self.alike <= 0.0:
            raise InvalidArgument(
                f"need -1 <= unlike <= alike <= 1 and alike over 0, not {self.unlike!r} and {self.alike!r}"
            )
        if not 0.0 <= self.keep < 1.0:
            raise InvalidArgument(f"keep lies from 0 to under 1, not {self.keep!r}")
        for name in ("template_weight", "gap"):
            if not 0.0 <= getattr(self, name) < np.inf:
                raise InvalidArgument(f"{name} is a number from 0 up, not {getattr(self, name)!r}")


@dataclass(frozen=True, slots=True, eq=False)
class Tracks:
    """The n tracks that are alive, oldest first.

    Attributes:
        ids: numbers from 1, never used twice.
        boxes: last box of each, x1 y1 x2 y2, pixels.
        templates: unit mean template of each, or zeros where none was usable yet; d may be 0.
        began: when each was first seen, seconds.
        seen: when each was last seen, seconds.
        next_id: the number that the next track gets.
        now: the latest moment that was told, seconds.
    """

    ids: Int64[np.ndarray, "n"] = field(default_factory=lambda: np.zeros(0, np.int64))
    boxes: Float64[np.ndarray, "n 4"] = field(default_factory=lambda: np.zeros((0, 4)))
    templates: Float64[np.ndarray, "n d"] = field(default_factory=lambda: np.zeros((0, 0)))
    began: Float64[np.ndarray, "n"] = field(default_factory=lambda: np.zeros(0))
    seen: Float64[np.ndarray, "n"] = field(default_factory=lambda: np.zeros(0))
    next_id: int = 1
    now: float = -np.inf

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        # Templates do not belong in a log line or a traceback.
        return f"Tracks(ids={self.ids.tolist()}, now={self.now:.3f})"


@dataclass(frozen=True, slots=True, eq=False)
class Followed:
    """What one frame changed.

    Attributes:
        tracks: as they are now.
        ids: the track of each of the frame's m faces.
        began: when each of those tracks was first seen, seconds.
        ended: ids of tracks that ended.
    """

    tracks: Tracks
    ids: Int64[np.ndarray, "m"]
    began: Float64[np.ndarray, "m"]
    ended: Int64[np.ndarray, "e"]


def follow(
    tracks: Tracks,
    boxes: Float[np.ndarray, "m 4"],
    templates: Float[np.ndarray, "m d"],
    usable: Bool[np.ndarray, "m"],
    now: float,
    settings: TrackSettings = TrackSettings(),
) -> Followed:
    """Carry the tracks on through one frame.

    Args:
        tracks: as the frame before left them; `Tracks()` at the beginning.
        boxes: faces of the frame, x1 y1 x2 y2, pixels.
        templates: unit rows; rows that are not usable may hold anything.
        usable: whether a face's template says who it is: not of a blurred or turned face.
        now: seconds; a moment before the last one counts as the last one.
        settings: how faces are followed.

    Raises:
        InvalidArgument: boxes that are not finite, or a moment that is not.
        TemplateInvalid: a usable template that is not a unit vector, or of another length than the tracks'.
    """
    given = _checked(tracks, boxes, templates, usable, now)
    if not len(boxes):
        given = np.zeros((0, tracks.templates.shape[1]))
    now = max(now, tracks.now)
    alive = now - tracks.seen <= settings.gap
    kept = _rows(tracks, np.flatnonzero(alive))
    vectors = np.where(usable[:, None], given, 0.0)  # NaN in a row that is not usable goes too
    weights = pair_weights(kept, boxes.astype(np.float64), vectors, settings)
    rows, faces = assign(weights)
    track_of = np.full(len(boxes), -1, np.int64)
    track_of[faces] = rows
    moved = _moved(kept, rows, boxes[faces], vectors[faces], now, settings.keep, vectors.shape[1])
    new = np.flatnonzero(track_of < 0)
    track_of[new] = len(kept) + np.arange(len(new))
    after = Tracks(
        np.concatenate([moved.ids, tracks.next_id + np.arange(len(new), dtype=np.int64)]),
        np.concatenate([moved.boxes, boxes[new].astype(np.float64)]),
        np.concatenate([moved.templates, vectors[new]]),
        np.concatenate([moved.began, np.full(len(new), now)]),
        np.concatenate([moved.seen, np.full(len(new), now)]),
        tracks.next_id + len(new),
        now,
    )
    return Followed(after, after.ids[track_of], after.began[track_of], tracks.ids[~alive])


def pair_weights(
    tracks: Tracks,
    boxes: Float64[np.ndarray, "m 4"],
    templates: Float64[np.ndarray, "m d"],
    settings: TrackSettings,
) -> Float64[np.ndarray, "n m"]:
    """What each pair of a track and a face adds to the sum; 0 for a pair that is not possible.

    Args:
        tracks: alive.
        boxes: of the frame.
        templates: unit rows, or zeros where a template is not usable.
        settings: how faces are followed.
    """
    overlaps = intersection_over_union(tracks.boxes, boxes)
    known = np.any(tracks.templates != 0, axis=1)[:, None] & np.any(templates != 0, axis=1)[None, :]
    cosines = np.zeros_like(overlaps)
    if known.any():
        cosines = np.where(known, tracks.templates @ templates.T, 0.0)
    near = (overlaps >= settings.overlap) & ~(known & (cosines < settings.unlike))
    possible = near | (known & (cosines >= settings.alike))
    return np.where(possible, overlaps + settings.template_weight * np.maximum(cosines, 0.0), 0.0)


def assign(weights: Float64[np.ndarray, "n m"]) -> tuple[Int64[np.ndarray, "k"], Int64[np.ndarray, "k"]]:
    """Pairs (row, column), each row and column at most once, of the largest sum of weights, none of weight 0.

    Args:
        weights: 0 or more.
    """
    rows, columns = linear_sum_assignment(weights, maximize=True)
    taken = weights[rows, columns] > 0.0
    return rows[taken].astype(np.int64), columns[taken].astype(np.int64)


def _checked(
    tracks: Tracks, boxes: np.ndarray, templates: np.ndarray, usable: np.ndarray, now: float
) -> np.ndarray:
    """The templates as float64, after everything was looked at."""
    if not np.isfinite(now):
        raise InvalidArgument(f"a moment is a finite number of seconds, not {now}")
    if not np.isfinite(boxes).all():
        raise InvalidArgument("a box has coordinates that are not finite: leave that face out")
    vectors = templates.astype(np.float64)
    lengths = np.linalg.norm(vectors[usable], axis=1)
    if not (np.abs(lengths - 1.0) < 1e-3).all():
        raise TemplateInvalid(
            "a usable template is not a unit vector: make templates with Templates.from_raw"
        )
    if len(tracks) and len(boxes) and tracks.templates.shape[1] != vectors.shape[1]:
        raise TemplateInvalid(
            f"the tracks have templates of {tracks.templates.shape[1]} numbers and the frame of "
            f"{vectors.shape[1]}: follow one source with one model"
        )
    return vectors


def _rows(tracks: Tracks, rows: np.ndarray) -> Tracks:
    return Tracks(
        tracks.ids[rows],
        tracks.boxes[rows],
        tracks.templates[rows],
        tracks.began[rows],
        tracks.seen[rows],
        tracks.next_id,
        tracks.now,
    )


def _moved(
    tracks: Tracks,
    rows: np.ndarray,
    boxes: np.ndarray,
    vectors: np.ndarray,
    now: float,
    keep: float,
    dimension: int,
) -> Tracks:
    """The tracks with the faces that some of them were given."""
    placed, seen = tracks.boxes.copy(), tracks.seen.copy()
    templates = tracks.templates.copy() if len(tracks) else np.zeros((0, dimension))
    placed[rows], seen[rows] = boxes, now
    fresh = np.any(vectors != 0, axis=1)
    before = templates[rows[fresh]]
    share = np.where(np.any(before != 0, axis=1), keep, 0.0)[:, None]
    mean = share * before + (1.0 - share) * vectors[fresh]
    lengths = np.linalg.norm(mean, axis=1, keepdims=True)
    # Opposite templates could cancel out: then the new one alone.
    templates[rows[fresh]] = np.where(lengths > 1e-6, mean / np.maximum(lengths, 1e-6), vectors[fresh])
    return Tracks(tracks.ids, placed, templates, tracks.began, seen, tracks.next_id, now)

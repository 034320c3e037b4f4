"""How embeddings and class centres lie on the sphere, in degrees: Deng, Guo, Xue & Zafeiriou, "ArcFace:
Additive Angular Margin Loss for Deep Face Recognition", CVPR 2019, table 3.

The table's columns: W-EC, mean angle between a class centre W_j of the head and the centre of that class's
embeddings; W-Inter, mean of each W_j's smallest angle to another; Intra, mean angle between an embedding and
the centre of its class; Inter, mean of each embedding centre's smallest angle to another. With numbers 1 they
are measured on the training data, with 2 on other people.

Shapes: n pictures, C classes, D dimension.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64, Int64

from lineament.core.errors import ScoresInvalid

TILE = 2048
"""Classes per side of a block of products, and pictures at a time: 16 MB."""


@dataclass(frozen=True, slots=True)
class AngleStatistics:
    """Angles in degrees, 0–180.

    Attributes:
        w_ec: mean over classes with pictures of the angle between class centre and embedding centre; None
            without class centres.
        w_inter: mean over class centres of the smallest angle to another; None without them.
        intra: mean over the pictures of classes with two or more; None when there is no such class. A lone
            picture is its own centre, at 0° whatever the network does.
        intra_with_single: the same over all pictures, lone ones at 0°. The paper does not say which it means.
        inter: mean over embedding centres of the smallest angle to another.
        pictures: n.
        classes: with pictures.
        single: classes with one picture.
    """

    w_ec: float | None
    w_inter: float | None
    intra: float | None
    intra_with_single: float
    inter: float
    pictures: int
    classes: int
    single: int


def angle_statistics(
    vectors: Float[np.ndarray, "n d"],
    labels: Int64[np.ndarray, " m"],
    centres: Float[np.ndarray, "c e"] | None = None,
) -> AngleStatistics:
    """The columns of table 3 of Deng et al. 2019.

    An embedding centre is the mean of the unit embeddings of a class. Products of all centres with all are
    made a block at a time, so that memory does not grow with the square of the classes; 100,000 of 512
    numbers take 2.6 · 10¹² multiplications.

    Args:
        vectors: embeddings, of any length above 0; a `numpy.memmap` will do.
        labels: class of each, 0 or more; the row in `centres`, if they are given. As many as embeddings.
        centres: of the head, (C, D), of any length above 0; a class without pictures counts for `w_inter`
            only.

    Raises:
        ScoresInvalid: no angle follows: one class, a value that is not finite, a vector or centre without
            direction, or labels and shapes that do not fit.
    """
    _check(vectors, labels, centres)
    classes, dense, count = np.unique(labels, return_inverse=True, return_counts=True)
    if len(classes) < 2:
        raise ScoresInvalid(
            f"all {len(vectors)} pictures are of one class, and angles between classes need two: name data "
            "with more persons"
        )
    dense = dense.reshape(-1)
    mean_CD = _unit(_means(vectors, dense, count), "the mean embedding of class", classes)
    angle_n = _angles_to_own(vectors, dense, mean_CD)
    together = count[dense] > 1
    w_ec = w_inter = None
    if centres is not None:
        unit_CD = _unit(centres, "the class centre")
        w_ec = float(_angles(unit_CD[classes], mean_CD).mean())
        w_inter = float(smallest_angles(unit_CD).mean())
    return AngleStatistics(
        w_ec=w_ec,
        w_inter=w_inter,
        intra=float(angle_n[together].mean()) if together.any() else None,
        # Exactly 0, where rounding would give 1e-6.
        intra_with_single=float(np.where(together, angle_n, 0.0).mean()),
        inter=float(smallest_angles(mean_CD).mean()),
        pictures=len(vectors),
        classes=len(classes),
        single=int((count == 1).sum()),
    )


def smallest_angles(unit_CD: Float[np.ndarray, "c d"]) -> Float64[np.ndarray, " c"]:
    """Degrees from each unit vector to the nearest other one.

    Which is the nearest is decided in float32, and its angle computed in float64.

    Args:
        unit_CD: two or more.

    Raises:
        ScoresInvalid: fewer than two.
    """
    if len(unit_CD) < 2:
        raise ScoresInvalid("one class centre has no other beside it: name data with more persons")
    single = unit_CD.astype(np.float32)
    best = np.full(len(single), -np.inf, np.float32)
    nearest = np.zeros(len(single), np.int64)
    for top in range(0, len(single), TILE):
        # Products are symmetric: each block on or above the diagonal serves its rows and its columns.
        for left in range(top, len(single), TILE):
            product = single[top : top + TILE] @ single[left : left + TILE].T
            if left == top:
                np.fill_diagonal(product, -np.inf)
            else:
                _keep_larger(best, nearest, product.T, left, top)
            _keep_larger(best, nearest, product, top, left)
    return np.concatenate(
        [
            _angles(unit_CD[at : at + TILE], unit_CD[nearest[at : at + TILE]])
            for at in range(0, len(single), TILE)
        ]
    )


def _keep_larger(best: np.ndarray, nearest: np.ndarray, product: np.ndarray, first: int, column: int) -> None:
    """Note the largest product of each row of a block that begins at row `first` and at `column`."""
    rows = slice(first, first + len(product))
    at = product.argmax(axis=1)
    value = np.take_along_axis(product, at[:, None], axis=1)[:, 0]
    larger = value > best[rows]
    best[rows][larger] = value[larger]
    nearest[rows][larger] = at[larger] + column


def _angles(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Degrees between unit vectors, row by row.

    By both half sums, as arccos loses half the digits near 0 and 180 (Kahan 2006, "How futile are mindless
    assessments of roundoff", §12).
    """
    a, b = a.astype(np.float64, copy=False), b.astype(np.float64, copy=False)
    apart, along = np.linalg.norm(a - b, axis=1), np.linalg.norm(a + b, axis=1)
    return np.degrees(2.0 * np.arctan2(apart, along))


def _means(vectors: np.ndarray, dense: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Mean unit vector of each class, float64."""
    total = np.zeros((len(count), vectors.shape[1]))
    order = np.argsort(dense, kind="stable")
    for at in range(0, len(order), TILE):
        rows = order[at : at + TILE]
        found, first = np.unique(dense[rows], return_index=True)
        unit = _unit(vectors[rows], "the embedding of picture", rows)
        total[found] += np.add.reduceat(unit, first, axis=0)
    return total / count[:, None]


def _angles_to_own(vectors: np.ndarray, dense: np.ndarray, mean_CD: np.ndarray) -> np.ndarray:
    angle = np.empty(len(vectors))
    for at in range(0, len(vectors), TILE):
        part = slice(at, at + TILE)
        angle[part] = _angles(_unit(vectors[part], "the embedding of picture"), mean_CD[dense[part]])
    return angle


def _unit(rows: np.ndarray, what: str, numbers: np.ndarray | None = None) -> np.ndarray:
    """Rows at length 1, float64; a mean of opposite vectors is 0 up to rounding."""
    length = np.linalg.norm(rows.astype(np.float64), axis=1)
    wrong = ~(np.isfinite(length) & (length > 1e-12))
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        number = row if numbers is None else int(numbers[row])
        raise ScoresInvalid(
            f"{what} {number} has length {length[row]:g}, from which no direction follows: leave the class "
            "or picture out, or train the network further"
        )
    return rows / length[:, None]


def _check(vectors: np.ndarray, labels: np.ndarray, centres: np.ndarray | None) -> None:
    if not len(vectors) or len(vectors) != len(labels):
        raise ScoresInvalid(
            f"{len(vectors)} embeddings and {len(labels)} labels: give as many of each, at least 2"
        )
    low, high = int(labels.min()), int(labels.max())
    if low < 0:
        raise ScoresInvalid(f"label {low} is no class: number classes from 0 on")
    if centres is None:
        return
    if centres.shape[1] != vectors.shape[1]:
        raise ScoresInvalid(
            f"embeddings have {vectors.shape[1]} numbers and class centres {centres.shape[1]}: take both "
            "from one checkpoint"
        )
    if high >= len(centres):
        raise ScoresInvalid(
            f"label {high} has no class centre among {len(centres)}: take the labels of the data that the "
            "centres were trained on"
        )

"""One template from many pictures of a person: first the mean of each medium, then their sum.

A template of IJB-B/C is a set of pictures and video frames. Frames of one video are alike, so they are
averaged first and the video counts as much as one photograph. The steps are those of insightface's
`eval_ijbc.py`:

1. *image*: raw outputs, views already added; optionally scaled to unit length (`norm_weighting="unit"`;
   "keep" lets a picture with a longer output, often a sharper one, weigh more) and multiplied by the
   detector's score;
2. *media mean*: the mean over the pictures of a template that come from one medium;
3. *sum over media*;
4. *unit length*.

insightface calls step 1 `N1` in one file and `N0` in another; here it has one name.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float32, Int

from lineament.core.errors import InvalidArgument, ScoresInvalid
from lineament.evaluate.rows import labels

NormWeighting = Literal["keep", "unit"]
CHUNK = 32_768
"""Pictures pooled at once, more only where one template has more."""
SMALLEST = 1e-6
"""A sum this much shorter than its summands has no direction: they cancelled out."""


@dataclass(frozen=True, slots=True, eq=False)
class Pooled:
    """Templates of sets of pictures.

    Attributes:
        vectors: (t, d) unit rows; NaN where a template failed.
        template: (t,) their numbers, ascending.
        images: (t,) pictures that went into each.
        failed: (k,) numbers of templates without a usable picture, or whose pictures cancel out.
        images_failed: pictures without a template of their own, left out of the means.
    """

    vectors: Float32[np.ndarray, "t d"]
    template: Int[np.ndarray, "t"]
    images: Int[np.ndarray, "t"]
    failed: Int[np.ndarray, "k"]
    images_failed: int


def pool(
    raw: np.ndarray,
    template: np.ndarray,
    media: np.ndarray,
    score: np.ndarray | None = None,
    norm_weighting: NormWeighting = "keep",
) -> Pooled:
    """Pool pictures into templates; sums are made in float64.

    Args:
        raw: (n, d) outputs of the network before scaling, views added; an array or a memory map. A row with a
            NaN, or of zeros, is a picture that failed.
        template: (n,) template of each picture.
        media: (n,) photograph or video each comes from; numbers need be unique within a template only.
        score: (n,) detector scores as weights, at least 0; NaN fails the picture. None for equal weights.
        norm_weighting: whether pictures keep the length of their outputs as a weight.

    Raises:
        ScoresInvalid: lengths differ, there is no picture, or a value is infinite or a score negative.
        InvalidArgument: an unknown weighting.
    """
    if norm_weighting not in ("keep", "unit"):
        raise InvalidArgument(f"norm_weighting is keep or unit, not {norm_weighting!r}")
    if raw.ndim != 2 or raw.dtype.kind != "f" or not len(raw):
        raise ScoresInvalid(f"pictures must be floats of shape (n, d), not {raw.dtype} {raw.shape}")
    template = labels(template, len(raw), "templates of pictures")
    media = labels(media, len(raw), "media of pictures")
    weights = _weights(score, len(raw))
    names, of = np.unique(template, return_inverse=True)
    total = np.zeros((len(names), raw.shape[1]))
    images, size = np.zeros(len(names), np.int64), np.zeros(len(names))
    order = np.lexsort((media, template))
    for rows in _chunks(order, template):
        values, length = _images(np.asarray(raw[rows], np.float64), weights[rows], norm_weighting)
        good = length > 0
        _add(total, images, size, of[rows[good]], media[rows[good]], values[good])
    norms = np.linalg.norm(total, axis=1)
    failed = ~(norms > SMALLEST * size)
    with np.errstate(invalid="ignore", divide="ignore"):
        vectors = np.where(failed[:, None], np.nan, total / norms[:, None]).astype(np.float32)
    return Pooled(vectors, names, images, names[failed], int(len(raw) - images.sum()))


def _weights(score: np.ndarray | None, count: int) -> np.ndarray:
    if score is None:
        return np.ones(count)
    weights = np.asarray(score, np.float64)
    if weights.shape != (count,):
        raise ScoresInvalid(f"{weights.shape} detector scores for {count} pictures: give one each")
    if (weights < 0).any() or np.isinf(weights).any():
        raise ScoresInvalid("a detector score is negative or infinite: it cannot be a weight")
    return weights


def _chunks(order: np.ndarray, template: np.ndarray) -> Iterator[np.ndarray]:
    """Rows sorted by template and medium, cut between templates."""
    starts = np.flatnonzero(np.diff(template[order], prepend=template[order[0]] - 1))
    first = 0
    for start, end in zip(starts, [*starts[1:], len(order)], strict=True):
        if end - first > CHUNK and start > first:
            yield order[first:start]
            first = int(start)
    yield order[first:]


def _images(
    raw: np.ndarray, weights: np.ndarray, norm_weighting: NormWeighting
) -> tuple[np.ndarray, np.ndarray]:
    """Weighted outputs, and their raw lengths: 0 for a picture that failed."""
    if np.isinf(raw).any():
        raise ScoresInvalid("an output is infinite: the model cannot be used like this; check the pack")
    length = np.nan_to_num(np.linalg.norm(raw, axis=1)) * ~np.isnan(weights)
    values = raw * weights[:, None]
    if norm_weighting == "unit":
        values /= np.where(length > 0, length, 1.0)[:, None]
    return values, length


def _add(
    total: np.ndarray,
    images: np.ndarray,
    size: np.ndarray,
    of: np.ndarray,
    media: np.ndarray,
    values: np.ndarray,
) -> None:
    """Add the media means of a chunk to its templates, and count."""
    if not len(of):
        return
    new = np.append(True, (np.diff(of) != 0) | (np.diff(media) != 0))
    starts = np.flatnonzero(new)
    counts = np.diff(np.append(starts, len(of)))
    means = np.add.reduceat(values, starts, axis=0) / counts[:, None]
    lengths = np.add.reduceat(np.linalg.norm(values, axis=1), starts) / counts
    firsts = np.flatnonzero(np.append(True, np.diff(of[starts]) != 0))
    rows = of[starts][firsts]
    total[rows] = np.add.reduceat(means, firsts, axis=0)
    images[rows] = np.add.reduceat(counts, firsts)
    size[rows] = np.add.reduceat(lengths, firsts)

"""Boxes: overlap, suppression, choice."""

from typing import Literal

import numpy as np
from jaxtyping import Float, Int64

Rule = Literal["score", "largest", "central"]


def non_maximum_suppression(
    boxes: Float[np.ndarray, "n 4"], scores: Float[np.ndarray, "n"], overlap: float
) -> Int64[np.ndarray, "k"]:
    """Greedy suppression: keep the best box, drop what overlaps it by more than `overlap`, repeat.

    Areas count pixels (a box from 3 to 3 is one pixel wide), the convention of Faster R-CNN's original
    code, which the RetinaFace and SCRFD detectors were tuned with. Equal scores keep their order.

    Args:
        boxes: x1 y1 x2 y2, pixels.
        scores: any real numbers.
        overlap: intersection over union above which the weaker box goes, 0..1.

    Returns:
        Indices of the boxes that stay, best first.
    """
    order = np.argsort(-scores, kind="stable")
    x1, y1, x2, y2 = boxes[order].T
    areas = (x2 - x1 + 1) * (y2 - y1 + 1)
    alive = np.ones(len(order), dtype=bool)
    kept: list[int] = []
    for i in range(len(order)):
        if not alive[i]:
            continue
        kept.append(i)
        rest = np.flatnonzero(alive[i + 1 :]) + i + 1
        if not rest.size:
            break
        width = np.minimum(x2[i], x2[rest]) - np.maximum(x1[i], x1[rest]) + 1
        height = np.minimum(y2[i], y2[rest]) - np.maximum(y1[i], y1[rest]) + 1
        shared = np.maximum(width, 0) * np.maximum(height, 0)
        alive[rest[shared / (areas[i] + areas[rest] - shared) > overlap]] = False
    return order[np.array(kept, dtype=np.int64)]


def intersection_over_union(a: Float[np.ndarray, "n 4"], b: Float[np.ndarray, "m 4"]) -> np.ndarray:
    """Overlap of every box of `a` with every box of `b`, (n, m), 0..1, areas as reals."""
    top_left = np.maximum(a[:, None, :2], b[None, :, :2])
    bottom_right = np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = np.maximum(bottom_right - top_left, 0).prod(axis=2)
    area_a = np.maximum(a[:, 2:] - a[:, :2], 0).prod(axis=1)
    area_b = np.maximum(b[:, 2:] - b[:, :2], 0).prod(axis=1)
    union = area_a[:, None] + area_b[None, :] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def rank(
    boxes: Float[np.ndarray, "n 4"], scores: Float[np.ndarray, "n"], rule: Rule, size: tuple[int, int]
) -> Int64[np.ndarray, "n"]:
    """Indices of faces, the one to keep first.

    Args:
        boxes: x1 y1 x2 y2, pixels.
        scores: confidences.
        rule: `score`: most certain first. `largest`: largest area first. `central`: area less twice the
            squared distance of the box's middle from the picture's, largest first.
        size: (height, width) of the picture.
    """
    if rule == "score":
        return np.argsort(-scores, kind="stable")
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    if rule == "largest":
        return np.argsort(-area, kind="stable")
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    away = ((middle - np.array([size[1] // 2, size[0] // 2])) ** 2).sum(axis=1)
    return np.argsort(-(area - 2 * away), kind="stable")


def clip(boxes: Float[np.ndarray, "n 4"], size: tuple[int, int]) -> np.ndarray:
    """Boxes cut at the edges of a picture of `size` (height, width)."""
    height, width = size
    return np.clip(boxes, 0, np.array([width, height, width, height], boxes.dtype))

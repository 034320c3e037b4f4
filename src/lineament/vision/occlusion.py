"""Is the lower face covered? A rule on colours and edges of the aligned crop, without a network.

In a crop aligned to the ArcFace template everybody's mouth, cheeks and forehead lie in the same places. The
rule compares the lower face with the same person's own skin between and above the eyes, never with an idea
of what skin should look like, so that it asks nothing of a skin's colour. Three facts are added up:

- `colour`: how far the cheeks, the upper lip and the chin are from that skin in log(red/green) and
  log(blue/green). Ratios of channels ignore exposure and shadow. Of the four distances the second smallest
  counts: hair or background at one side is no mask.
- `edge`: the largest step of the same colours on the way down the left cheek, the nose and the right cheek;
  the smallest of the three counts, because a mask's border crosses them all.
- `mouth`: log ratio of the edges across the mouth to those across the eyes. A covered mouth has few.

The sum is a linear score through a logistic curve. Its four numbers were fitted to pasted masks on half of
the people of CFP and rounded; `bench/quality_gate.py` measures it on the other half. A mask in the face's own
skin colour is found by the missing mouth alone, a mask printed with a busy pattern by its colours alone.
Clipped highlights turn skin white and can look like a mask; `brightness` tells. Hands, scarves and
microphones were not measured.
"""

from typing import Final

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

SIDE: Final = 112
# Rows and columns (y0, y1, x0, x1) in the 112-pixel crop; eyes at y 52, nose tip 72, mouth 92.
_FOREHEAD: Final = (34, 44, 46, 66)
_BETWEEN_THE_EYES: Final = (46, 58, 51, 61)
_LOWER: Final = ((74, 92, 26, 38), (74, 92, 74, 86), (77, 85, 46, 66), (101, 110, 46, 66))
_WAYS_DOWN: Final = ((48, 90, 28, 40), (48, 90, 50, 62), (48, 90, 72, 84))
_STEP: Final = 4
_TOP: Final = 32  # rows above are not looked at
_MOUTH: Final = (84, 102, 42, 70)
_EYES: Final = ((44, 58, 26, 48), (44, 58, 64, 86))

COLOUR_WEIGHT: Final = 7.0
EDGE_WEIGHT: Final = 5.0
MOUTH_WEIGHT: Final = -3.8
OFFSET: Final = -6.4

# 8 of 255 added before the logarithm: below that, JPEG and sensor noise decide the ratio of two channels.
_LOGARITHM: Final = np.log((np.arange(256) + 8.0) / 263.0).astype(np.float32)
_RATIOS: Final = np.array([[1, -1, 0], [0, -1, 1]], np.float32)  # red and blue over green, in logarithms
_MEAN: Final = np.full((1, 3), 1 / 3, np.float32)
_FLOOR: Final = 0.005  # log-luma per pixel: keeps the ratio of two flat areas at one


def lower_face_occlusion(crops: UInt8[np.ndarray, "n 112 112 3"]) -> Float32[np.ndarray, "n"]:
    """How much the lower face looks covered, 0..1 for each of n crops aligned to the ArcFace template.

    Source: this module's description; the limit is in `lineament.vision.quality.QualityLimits`.
    """
    if not len(crops):
        return np.zeros(0, np.float32)
    colour, edge, mouth = facts(crops)
    score = COLOUR_WEIGHT * colour + EDGE_WEIGHT * edge + MOUTH_WEIGHT * mouth + OFFSET
    return (1.0 / (1.0 + np.exp(-score))).astype(np.float32)


def facts(
    crops: UInt8[np.ndarray, "n 112 112 3"],
) -> tuple[Float32[np.ndarray, "n"], Float32[np.ndarray, "n"], Float32[np.ndarray, "n"]]:
    """The three facts of each crop: `colour` ≥ 0, `edge` ≥ 0 (log-ratio units), `mouth` (log ratio)."""
    ratios = np.empty((len(crops), SIDE - _TOP, SIDE, 2), np.float32)
    down = np.empty((len(crops), SIDE - _TOP - 2, SIDE), np.float32)
    for i, crop in enumerate(crops):
        logs = cv2.LUT(crop[_TOP:], _LOGARITHM)
        cv2.transform(logs, _RATIOS, ratios[i])
        luma = cv2.GaussianBlur(cv2.transform(logs, _MEAN), (0, 0), 1.0)
        cv2.absdiff(luma[2:], luma[:-2], down[i])  # row r is centred on row r + 1 of the crop
    return _colour(ratios), _edge(ratios), _mouth(down)


def _colour(ratios: Float32[np.ndarray, "n h w 2"]) -> Float32[np.ndarray, "n"]:
    def pixels(patch: tuple[int, int, int, int]) -> np.ndarray:
        y0, y1, x0, x1 = patch
        cut = ratios[:, y0 - _TOP : y1 - _TOP, x0:x1]
        return cut.reshape(len(ratios), -1, 2).transpose(0, 2, 1)

    skin = _median(np.concatenate([pixels(_FOREHEAD), pixels(_BETWEEN_THE_EYES)], axis=2))
    away = [_median(pixels(patch)) - skin for patch in _LOWER]
    distances = np.stack([np.hypot(d[:, 0], d[:, 1]) for d in away], axis=1)
    return np.sort(distances, axis=1)[:, 1]


def _median(values: Float32[np.ndarray, "n 2 k"]) -> Float32[np.ndarray, "n 2"]:
    """Upper median: one partition, several times faster than numpy's."""
    middle = values.shape[2] // 2
    return np.partition(values, middle, axis=2)[:, :, middle]


def _edge(ratios: Float32[np.ndarray, "n h w 2"]) -> Float32[np.ndarray, "n"]:
    steps: list[np.ndarray] = []
    for y0, y1, x0, x1 in _WAYS_DOWN:
        rows = ratios[:, y0 - _TOP : y1 - _TOP, x0:x1].mean(axis=2)
        total = np.pad(np.cumsum(rows, axis=1), ((0, 0), (1, 0), (0, 0)))
        means = (total[:, _STEP:] - total[:, :-_STEP]) / np.float32(_STEP)
        step = means[:, _STEP:] - means[:, :-_STEP]
        steps.append(np.hypot(step[..., 0], step[..., 1]).max(axis=1))
    return np.stack(steps).min(axis=0)


def _mouth(down: Float32[np.ndarray, "n h w"]) -> Float32[np.ndarray, "n"]:
    def strength(patch: tuple[int, int, int, int]) -> np.ndarray:
        y0, y1, x0, x1 = patch
        return down[:, y0 - 1 - _TOP : y1 - 1 - _TOP, x0:x1].mean(axis=(1, 2))

    eyes = (strength(_EYES[0]) + strength(_EYES[1])) / 2
    return np.log((strength(_MOUTH) + np.float32(_FLOOR)) / (eyes + np.float32(_FLOOR)))

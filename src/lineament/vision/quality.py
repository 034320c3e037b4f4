"""Capture quality: facts about a face's picture, each with a unit, and a gate with named reasons.

Nothing here knows what a person should look like: every fact is about size, focus, light, pose, covering or
framing, and every limit says what it costs the default recogniser or how often it refuses ordinary captures
(`QualityLimits`; measured by `bench/quality_gate.py`, figures in `LOG.md`). The facts, column by column of
`lineament.core.faces.Quality`:

- `eye_distance`: distance of the two eye points in the picture, or 0.9 of the distance between the middles of
  eyes and mouth where that is larger: turning the head brings the eyes together, but does not make the face
  small. (In frontal captures the two distances are nearly equal: ratio 0.98, middle 90 % 0.86 to 1.09.)
- `sharpness`: root of the ratio of fine to coarse detail of luma in the inner face: differences of Gaussians
  with σ 1–2 and 4–8 crop pixels. Noise fills every place alike, a face has its detail around eyes, nose and
  mouth; so NOISE_MARGIN times the energy of the quietest seventh of the 8×8 blocks is taken off the fine
  energy first. Noise as such scores 0; a crop enlarged from too few pixels scores as blurred, which it is.
  Divided by the median of ordinary captures, so that 1 is ordinary.
- `brightness`, `contrast`: mean luma, and standard deviation of luma smoothed with σ 2 (which takes most
  noise out), between brows and chin, 0..1.
- `yaw`: the nose's distance from the line through the middle of the eyes and the middle of the mouth, along
  the eyes, over half the eye distance, is the tangent of the yaw: the nose tip of the mean face stands 0.99
  half eye distances in front of that line. Positive when the nose points to the right of the picture;
  mirroring the picture flips the sign. Detectors guess the hidden eye, so that true profiles read 48° ± 9°.
- `roll`: rotation of the face in the picture, positive clockwise as seen; from the alignment of all points.
- `occlusion`: see `lineament.vision.occlusion`.
- `outside`: exact share of the crop's square that the picture does not cover, by clipping polygons.
"""

import math
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from jaxtyping import Float32, Float64, UInt8

from lineament.core.errors import InvalidArgument
from lineament.core.faces import Quality
from lineament.vision.occlusion import lower_face_occlusion

SIDE: Final = 112
TYPICAL_RATIO: Final = 0.47
"""Median fine-to-coarse ratio of frontal CFP crops: a sharpness of 1."""

NOISE_MARGIN: Final = 2.5
"""How much more than the quietest blocks' energy is put down to noise: blocks of 64 pixels of pure noise
scatter by about ±40 %, so a margin of 1 would leave half of it standing."""

_QUIET: Final = 12  # of the 81 blocks: their 15th percentile
_NOSE_DEPTH: Final = 1.0  # half eye distances; 0.99 in the mean of the 68-point faces
_HEIGHT_SHARE: Final = 0.9
_CHUNK: Final = 16  # faces at a time: temporaries stay in the processor's cache


def measure(
    crops: UInt8[np.ndarray, "n s s 3"],
    motions: Float64[np.ndarray, "n 2 3"],
    points: Float32[np.ndarray, "n 5 2"],
    picture_size: tuple[int, int],
) -> Quality:
    """Facts about n faces of one picture.

    Args:
        crops: red-green-blue, aligned to an ArcFace template; others than 112 pixels are brought to it.
        motions: picture → crop, pixels.
        points: five points in the picture, pixels.
        picture_size: (height, width), pixels.

    Raises:
        InvalidArgument: the picture has no pixels, or there is no ArcFace template for crops of that side.
    """
    if min(picture_size) < 1:
        raise InvalidArgument(
            f"a picture of {picture_size} (height, width) has no pixels: pass its real size"
        )
    crops, motions = _as_112(crops, motions)
    parts = [_pixels(crops[i : i + _CHUNK]) for i in range(0, len(crops), _CHUNK)]
    sharpness, brightness, contrast, occlusion = (
        np.concatenate([np.zeros(0, np.float32), *(part[k] for part in parts)]) for k in range(4)
    )
    return Quality(
        eye_distance=eye_distance_of(points),
        sharpness=sharpness,
        brightness=brightness,
        contrast=contrast,
        yaw=yaw_of(points),
        roll=roll_of(motions),
        occlusion=occlusion,
        outside=outside_of(motions, picture_size),
    )


def _as_112(crops: np.ndarray, motions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Crops of another ArcFace template as ones of 112 pixels; see `lineament.vision.align.template`."""
    side = crops.shape[1]
    if side == SIDE:
        return crops, motions
    if side == 0 or (side % 112 and side % 128):
        raise InvalidArgument(
            f"quality is measured on crops of an ArcFace template, and there is none of {side} pixels: "
            "align to arcface-112, arcface-128, ..."
        )
    # Templates of the 128 family are those of the 112 family, 8/128 of the side further right.
    ratio, shift = (side // 112, 0) if side % 112 == 0 else (side // 128, 8 * side // 128)
    part = crops[:, : SIDE * ratio, shift : shift + SIDE * ratio]
    small = [cv2.resize(crop, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for crop in part]
    moved = motions.copy()
    moved[:, 0, 2] -= shift
    return np.array(small, np.uint8).reshape(-1, SIDE, SIDE, 3), moved / ratio


def _pixels(crops: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Sharpness, brightness, contrast and occlusion of a chunk."""
    n = len(crops)
    fine = np.empty((n, 72, 72), np.float32)
    coarse = np.empty((n, 19, 18), np.float32)
    inner = np.empty((n, 64, 52), np.float32)
    brightness = np.empty(n, np.float32)
    for i, crop in enumerate(crops):
        luma = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY).astype(np.float32)
        one = cv2.GaussianBlur(luma, (0, 0), 1.0)
        two = cv2.GaussianBlur(one, (0, 0), math.sqrt(3.0))
        # σ 4 and 8 on a quarter of the pixels each way.
        quarter = cv2.resize(luma, (28, 28), interpolation=cv2.INTER_AREA)
        four = cv2.GaussianBlur(quarter, (0, 0), 1.0)
        eight = cv2.GaussianBlur(four, (0, 0), math.sqrt(3.0))
        fine[i] = (one - two)[34:106, 20:92]
        coarse[i] = (four - eight)[8:27, 5:23]
        inner[i] = two[40:104, 30:82]
        brightness[i] = luma[40:104, 30:82].mean()
    contrast = inner.std(axis=(1, 2)) / np.float32(255)
    return _sharpness(fine, coarse), brightness / np.float32(255), contrast, lower_face_occlusion(crops)


def _sharpness(fine: np.ndarray, coarse: np.ndarray) -> Float32[np.ndarray, "n"]:
    blocks = (fine**2).reshape(-1, 9, 8, 9, 8).mean(axis=(2, 4)).reshape(-1, 81)
    quiet = np.partition(blocks, _QUIET, axis=1)[:, _QUIET]
    signal = np.maximum(blocks.mean(axis=1) - NOISE_MARGIN * quiet, 0.0)
    # 4 = two of 255 levels, squared: below that there is no coarse detail to compare with.
    return (np.sqrt(signal / ((coarse**2).mean(axis=(1, 2)) + 4.0)) / TYPICAL_RATIO).astype(np.float32)


def eye_distance_of(points: Float32[np.ndarray, "n 5 2"]) -> Float32[np.ndarray, "n"]:
    """Pixels between the eyes, a turned head taken into account; see the module's description."""
    eyes = np.linalg.norm(points[:, 1] - points[:, 0], axis=1)
    height = np.linalg.norm((points[:, 3] + points[:, 4] - points[:, 0] - points[:, 1]) / 2, axis=1)
    return np.maximum(eyes, _HEIGHT_SHARE * height).astype(np.float32)


def yaw_of(points: Float32[np.ndarray, "n 5 2"]) -> Float32[np.ndarray, "n"]:
    """Degrees the head is turned, −90..90; see the module's description for formula, sign and limits."""
    p = points.astype(np.float64)
    middle, eyes = (p[:, 0] + p[:, 1]) / 2, p[:, 1] - p[:, 0]
    distance = np.maximum(np.linalg.norm(eyes, axis=1), 1e-9)
    along = eyes / distance[:, None]
    down = np.stack([-along[:, 1], along[:, 0]], axis=1)
    nose, mouth = p[:, 2] - middle, (p[:, 3] + p[:, 4]) / 2 - middle
    depth = (mouth * down).sum(axis=1)
    share = np.clip((nose * down).sum(axis=1) / np.where(np.abs(depth) < 1e-9, 1.0, depth), 0.0, 1.0)
    offset = ((nose - share[:, None] * mouth) * along).sum(axis=1)
    return np.degrees(np.arctan2(offset, _NOSE_DEPTH * distance / 2)).astype(np.float32)


def roll_of(motions: Float64[np.ndarray, "n 2 3"]) -> Float32[np.ndarray, "n"]:
    """Degrees the face is rotated in the picture, −180..180, positive clockwise as seen."""
    return np.degrees(np.arctan2(-motions[:, 1, 0], motions[:, 0, 0])).astype(np.float32)


def outside_of(
    motions: Float64[np.ndarray, "n 2 3"], picture_size: tuple[int, int]
) -> Float32[np.ndarray, "n"]:
    """Share of each crop's square that lies outside the picture, 0..1.

    A pixel covers the unit square around its coordinates, so a picture reaches from −0.5 to width − 0.5.
    The picture's rectangle is carried into the crop and clipped there (Sutherland and Hodgman, CACM 1974).
    """
    h, w = picture_size
    corners = np.array([[-0.5, -0.5], [w - 0.5, -0.5], [w - 0.5, h - 0.5], [-0.5, h - 0.5]])
    shapes = corners @ motions[:, :, :2].transpose(0, 2, 1) + motions[:, None, :, 2]
    covered = np.array([_area(_clipped(shape)) for shape in shapes]).reshape(len(motions))
    return np.clip(1.0 - covered / SIDE**2, 0.0, 1.0).astype(np.float32)


_Point = tuple[float, float]


def _clipped(shape: np.ndarray) -> list[_Point]:
    """The part of a convex polygon that lies in the crop's square."""
    polygon: list[_Point] = [(float(x), float(y)) for x, y in shape]
    for axis in (0, 1):
        for sign, bound in ((1.0, -0.5), (-1.0, SIDE - 0.5)):
            kept: list[_Point] = []
            for a, b in zip(polygon[-1:] + polygon[:-1], polygon, strict=True):
                near, far = sign * (a[axis] - bound), sign * (b[axis] - bound)
                if (near >= 0) != (far >= 0):
                    t = near / (near - far)
                    kept.append((a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1])))
                if far >= 0:
                    kept.append(b)
            polygon = kept
    return polygon


def _area(polygon: list[_Point]) -> float:
    """By the shoelace formula."""
    ahead = polygon[1:] + polygon[:1]
    return abs(sum(a[0] * b[1] - b[0] * a[1] for a, b in zip(polygon, ahead, strict=True))) / 2


@dataclass(frozen=True, slots=True)
class QualityLimits:
    """Where the gate refuses; see the module's description for what each fact is.

    Size, focus, light and framing: the limit lies where the default recogniser (SFace) has lost a quarter of
    its mean similarity over mated frontal pairs of CFP (0.63), one side spoilt, all else perfect. Ordinary
    captures lie far from it: 7 of 5,000 frontal CFP crops are refused for focus, 2 for light.

    Attributes:
        eye_distance: smallest, pixels. A quarter is lost at 9 with perfect points; 10 allows for points that
            are found less well in small faces.
        sharpness: smallest. Median of captures blurred with σ = 2.34 crop pixels, where a quarter is lost.
        contrast: smallest, as a share of brightness: haze that leaves this much costs a quarter. A share,
            because a dark face, or dark skin, has a small contrast and loses nothing by it.
        dark: names the cause only: lost detail below this brightness is called `face_dark`. Darkness itself
            is never refused (at 1/64 of the light a tenth is lost); what refuses is the noise that hides
            detail.
        bright: largest brightness: skin is clipped there, and a quarter is lost.
        yaw: largest turn to either side, degrees. No frontal CFP capture reads above 25 (n = 1,000), profiles
            read 48 ± 9; beyond 45, mated similarity to frontal references has lost a third or more and
            different people in profile agree more often than frontal ones.
        occlusion: largest: about 1 in 150 uncovered CFP faces is above.
        outside: largest share of the crop that may lie outside the picture: a fifth is lost at 0.4 cut off
            below, a third at 0.5.
        norm: smallest length of the raw embedding, or None: it has a meaning for one recogniser only. For the
            default pack it is 7 (`ModelCard.smallest_norm`).
        advisory: codes that are reported without refusing the face.
    """

    eye_distance: float = 10.0
    sharpness: float = 0.38
    contrast: float = 0.038
    dark: float = 0.15
    bright: float = 0.87
    yaw: float = 40.0
    occlusion: float = 0.6
    outside: float = 0.4
    norm: float | None = None
    advisory: frozenset[str] = frozenset({"lower_face_occluded"})


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a capture.

    Attributes:
        code: stable snake_case name.
        message: one sentence for people: what was measured, against which limit, and what to do.
        blocking: True when the face should not be compared.
    """

    code: str
    message: str
    blocking: bool


def problems(row: dict[str, float], norm: float | None, limits: QualityLimits) -> tuple[Problem, ...]:
    """What is wrong with one face, in the order of the checks; empty when nothing is.

    Args:
        row: facts by name, from `Quality.row`.
        norm: length of the raw embedding; not checked when it or its limit is None.
        limits: the gate.
    """
    found = [*_size(row, limits), *_detail(row, limits), *_view(row, limits)]
    if norm is not None and limits.norm is not None and norm < limits.norm:
        found.append(
            (
                "low_norm",
                f"the recogniser sees little of a face in this crop (embedding norm {norm:.1f}, "
                f"at least {limits.norm:.1f}): take another picture",
            )
        )
    return tuple(Problem(code, message, code not in limits.advisory) for code, message in found)


_Found = list[tuple[str, str]]


def _size(row: dict[str, float], limits: QualityLimits) -> _Found:
    if not row["eye_distance"] < limits.eye_distance:
        return []
    return [
        (
            "face_too_small",
            f"the eyes are {row['eye_distance']:.0f} pixels apart, at least {limits.eye_distance:.0f} "
            "are needed: come closer or use a larger picture",
        )
    ]


def _detail(row: dict[str, float], limits: QualityLimits) -> _Found:
    """Light and focus. Darkness alone refuses nobody: only lost detail does, and darkness then names it."""
    figures = (
        f"(brightness {row['brightness']:.2f}, contrast {row['contrast']:.3f}, "
        f"sharpness {row['sharpness']:.2f})"
    )
    if row["brightness"] > limits.bright:
        return [("face_bright", f"the face is washed out by light {figures}: expose less or turn away")]
    flat = row["contrast"] < limits.contrast * row["brightness"]
    blurred = row["sharpness"] < limits.sharpness
    if (flat or blurred) and row["brightness"] < limits.dark:
        return [("face_dark", f"the face is lost in darkness {figures}: light it from the front")]
    found: _Found = []
    if flat:
        found.append(
            ("low_contrast", f"the face hardly stands out {figures}: clean the lens, avoid haze and glare")
        )
    if blurred:
        found.append(
            (
                "face_blurred",
                f"the face has too little detail (sharpness {row['sharpness']:.2f}, at least "
                f"{limits.sharpness:.2f}): hold still, focus, or use a larger or less noisy picture",
            )
        )
    return found


def _view(row: dict[str, float], limits: QualityLimits) -> _Found:
    found: _Found = []
    if abs(row["yaw"]) > limits.yaw:
        found.append(
            (
                "extreme_yaw",
                f"the head is turned by about {abs(row['yaw']):.0f} degrees, at most {limits.yaw:.0f} are "
                "accepted: look towards the camera",
            )
        )
    if row["occlusion"] > limits.occlusion:
        found.append(
            (
                "lower_face_occluded",
                f"the lower face looks covered (occlusion {row['occlusion']:.2f}, at most "
                f"{limits.occlusion:.2f}): take off a mask or move what is in front of the face",
            )
        )
    if row["outside"] > limits.outside:
        found.append(
            (
                "face_cut_off",
                f"{row['outside']:.0%} of the face's frame lie outside the picture, at most "
                f"{limits.outside:.0%} may: step back or use the uncropped picture",
            )
        )
    return found

"""Capture quality: facts with known answers, and the gate on spoilt portraits (rows 9, 10, 11 and 44)."""

import zipfile
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineament.core.errors import InvalidArgument
from lineament.vision.align import ARCFACE_112, align
from lineament.vision.quality import (
    QualityLimits,
    eye_distance_of,
    measure,
    outside_of,
    problems,
    roll_of,
    yaw_of,
)

# The five points of the astronaut's face, read off a detector and rounded.
POINTS = np.array([[[200, 102], [247, 103], [220, 125], [199, 143], [240, 144]]], np.float32)
LIMITS = QualityLimits()
STILL = np.eye(2, 3)[None]
GOOD = {
    "eye_distance": 60.0,
    "sharpness": 1.0,
    "brightness": 0.5,
    "contrast": 0.12,
    "yaw": 0.0,
    "roll": 0.0,
    "occlusion": 0.0,
    "outside": 0.0,
}


@pytest.fixture(scope="module")
def face(astronaut: np.ndarray) -> np.ndarray:
    return align(astronaut, POINTS).pixels[0]


def facts(crops):
    """Facts of crops that stand for themselves."""
    crops = np.asarray(crops, np.uint8)
    n = len(crops)
    return measure(crops, np.repeat(STILL, n, 0), np.repeat(ARCFACE_112[None], n, 0), (112, 112))


def codes(crop, limits=LIMITS):
    return {p.code for p in problems(facts(crop[None]).row(0), None, limits)}


def shot(crop, exposure):
    """The crop as taken with `exposure` times the light: scaled in linear light, clipped, 8 bits."""
    light = np.clip((crop / 255.0) ** 2.2 * exposure, 0, 1)
    return np.round(255 * light ** (1 / 2.2)).astype(np.uint8)


# ---- focus and noise (row 9) --------------------------------------------------------------------------


def test_row_9_sharpness_falls_with_every_step_of_blur(face):
    sigmas = [0.5, 1, 1.5, 2, 2.5, 3, 4, 5, 6, 8]
    sweep = facts([face, *(cv2.GaussianBlur(face, (0, 0), s) for s in sigmas)]).sharpness
    assert (np.diff(sweep) < 0).all()
    assert sweep[0] > 0.9
    assert sweep[sigmas.index(4) + 1] < LIMITS.sharpness


@pytest.mark.parametrize("sigma", [3, 4, 6, 8, 12])
def test_row_9_a_face_blurred_beyond_recognition_is_refused(face, sigma):
    found = problems(facts(cv2.GaussianBlur(face, (0, 0), sigma)[None]).row(0), None, LIMITS)
    assert [p.code for p in found if p.blocking] == ["face_blurred"]


@pytest.mark.parametrize("sigma", [0.5, 1, 1.5])
def test_slight_blur_is_accepted(face, sigma):
    assert codes(cv2.GaussianBlur(face, (0, 0), sigma)) == set()


@pytest.mark.parametrize("grain", [1, 2, 3])
@pytest.mark.parametrize("seed", range(5))
def test_row_9_noise_is_not_sharp(grain, seed):
    side = 112 // grain
    noise = np.random.default_rng(seed).integers(0, 256, (side, side, 3)).astype(np.uint8)
    assert "face_blurred" in codes(cv2.resize(noise, (112, 112), interpolation=cv2.INTER_LINEAR))


@pytest.mark.parametrize("amount", [5, 15, 40])
def test_noise_does_not_make_a_blurred_face_sharp(face, amount):
    rng = np.random.default_rng(0)
    blurred = cv2.GaussianBlur(face, (0, 0), 4)
    noisy = np.clip(blurred + rng.normal(0, amount, face.shape), 0, 255).astype(np.uint8)
    assert "face_blurred" in codes(noisy)


def test_moderate_noise_leaves_a_sharp_face_usable(face):
    noise = np.random.default_rng(0).normal(0, 12, face.shape)
    assert codes(np.clip(face + noise, 0, 255).astype(np.uint8)) == set()


@pytest.mark.parametrize("level", [0, 1, 60, 128, 200, 255])
def test_row_9_a_flat_crop_is_refused(level):
    found = problems(facts(np.full((1, 112, 112, 3), level, np.uint8)).row(0), None, LIMITS)
    assert any(p.blocking for p in found)


def test_enlarging_a_small_face_does_not_make_it_sharp(face):
    small = cv2.resize(face, (22, 22), interpolation=cv2.INTER_AREA)
    enlarged = cv2.resize(small, (112, 112), interpolation=cv2.INTER_CUBIC)
    assert facts([enlarged]).sharpness[0] < 0.6 * facts([face]).sharpness[0]


# ---- covering (row 10) --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "colour",
    [(238, 238, 236), (22, 22, 24), (40, 80, 170), (150, 195, 215), (128, 128, 130), (170, 40, 45)],
    ids=["white", "black", "blue", "surgical", "grey", "red"],
)
@pytest.mark.parametrize("whole_width", [True, False])
def test_row_10_a_rectangle_over_the_lower_half_is_reported(astronaut, colour, whole_width):
    picture = astronaut.copy()
    left, right = (150, 300) if whole_width else (183, 262)
    picture[117:190, left:right] = colour
    crops = align(picture, POINTS)
    found = problems(measure(crops.pixels, crops.motions, POINTS, (512, 512)).row(0), None, LIMITS)
    assert [(p.code, p.blocking) for p in found if p.code != "face_blurred"] == [
        ("lower_face_occluded", False)
    ]


def test_a_skin_coloured_cover_is_found_by_the_missing_mouth(face):
    covered = face.copy()
    covered[62:] = np.median(face[36:46, 46:66].reshape(-1, 3), axis=0).astype(np.uint8)
    assert "lower_face_occluded" in codes(covered)


def test_an_uncovered_face_is_not_called_covered(face):
    assert facts([face, face[:, ::-1]]).occlusion.max() < 0.4


@pytest.mark.parametrize("exposure", [1 / 8, 1 / 4, 1 / 2])
def test_covering_is_judged_alike_in_weak_light(face, exposure):
    covered = face.copy()
    covered[64:] = (150, 195, 215)
    assert "lower_face_occluded" not in codes(shot(face, exposure))
    assert "lower_face_occluded" in codes(shot(covered, exposure))


# ---- light (row 44) -----------------------------------------------------------------------------------


@pytest.mark.parametrize("exposure", [1 / 4, 1 / 8, 1 / 16, 1 / 32])
def test_row_44_a_dark_face_with_its_detail_is_not_refused(face, exposure):
    dark = shot(face, exposure)
    assert facts([dark]).brightness[0] < 0.5
    assert codes(dark) == set()


def test_a_face_lost_in_darkness_is_refused(face):
    light = (face / 255.0) ** 2.2 / 128
    rng = np.random.default_rng(1)
    noisy = np.clip(light + rng.normal(0, 1, face.shape) * np.sqrt(4e-6 + 6e-4 * light), 0, 1)
    dark = np.round(255 * noisy ** (1 / 2.2)).astype(np.uint8)
    assert codes(dark) == {"face_dark"}


def test_a_washed_out_face_is_refused(face):
    assert "face_bright" in codes(shot(face, 30))


def test_haze_is_refused(face):
    assert "low_contrast" in codes(np.round(128 + 0.03 * (face - 128.0)).astype(np.uint8))


# ---- pose and geometry --------------------------------------------------------------------------------


def turned(yaw, roll=0.0, size=40.0, at=(300.0, 200.0)):
    """Five points of a head whose nose stands 1 half eye distance in front, seen from far away."""
    head = np.array([[-1, 0, 0], [1, 0, 0], [0, 0.7, 1], [-0.8, 1.9, 0], [0.8, 1.9, 0]])
    a, b = np.radians(yaw), np.radians(roll)
    flat = np.stack([head[:, 0] * np.cos(a) + head[:, 2] * np.sin(a), head[:, 1]], 1) * size
    turn = np.array([[np.cos(b), -np.sin(b)], [np.sin(b), np.cos(b)]])
    return (flat @ turn.T + at).astype(np.float32)[None]


@given(st.floats(-75, 75), st.floats(-180, 180), st.floats(5, 500))
def test_yaw_is_that_of_the_turned_head_whatever_roll_and_size(yaw, roll, size):
    assert yaw_of(turned(yaw, roll, size))[0] == pytest.approx(yaw, abs=0.05)


def test_yaw_is_positive_when_the_nose_points_to_the_right_of_the_picture():
    points = ARCFACE_112[None].copy()
    points[0, 2, 0] += 8
    assert yaw_of(points)[0] > 15


@given(st.lists(st.integers(0, 400), min_size=10, max_size=10, unique=True))
def test_yaw_flips_its_sign_exactly_under_mirroring(numbers):
    points = np.array(numbers, np.float32).reshape(1, 5, 2)
    mirrored = points[:, [1, 0, 2, 4, 3]].copy()
    mirrored[..., 0] = 400 - mirrored[..., 0]
    assert yaw_of(mirrored)[0] == -yaw_of(points)[0]


@pytest.mark.parametrize("roll", [-170, -90, -30, 0, 10, 45, 179])
def test_roll_is_the_angle_of_the_face_in_the_picture(astronaut, roll):
    motions = align(astronaut, turned(0, roll)).motions
    assert roll_of(motions)[0] == pytest.approx(roll, abs=0.5)


def test_row_11_eye_distance_is_in_pixels_of_the_picture_and_a_turned_head_is_not_small():
    assert eye_distance_of(turned(0, size=20))[0] == pytest.approx(40, rel=0.01)
    assert eye_distance_of(turned(75, size=20))[0] > 0.8 * 40
    row = GOOD | {"eye_distance": float(eye_distance_of(turned(0, size=4))[0])}  # 8 pixels
    assert [p.code for p in problems(row, None, LIMITS)] == ["face_too_small"]


# ---- framing ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shift", "expected"),
    [((0, 0), 0.0), ((56, 0), 0.5), ((0, -28), 0.25), ((-56, 56), 0.75), ((112, 0), 1.0), ((900, -900), 1.0)],
)
def test_outside_is_the_uncovered_share(shift, expected):
    motion = np.array([[[1.0, 0, shift[0]], [0, 1, shift[1]]]])
    assert outside_of(motion, (112, 112))[0] == pytest.approx(expected, abs=1e-6)


def test_outside_agrees_with_warping_a_white_picture():
    rng = np.random.default_rng(3)
    angle, scale = rng.uniform(-np.pi, np.pi, 60), rng.uniform(0.3, 3, 60)
    a, b = scale * np.cos(angle), scale * np.sin(angle)
    shift = rng.uniform(-60, 112, (60, 2))
    motions = np.stack([np.stack([a, -b, shift[:, 0]], 1), np.stack([b, a, shift[:, 1]], 1)], 1)
    fine = np.array([[8.0, 0, 3.5], [0, 8, 3.5]])  # eight samples a pixel each way
    for motion, got in zip(motions, outside_of(motions, (90, 70)), strict=True):
        large = fine @ np.vstack([motion, [0, 0, 1]])
        white = np.full((90, 70), 255, np.uint8)
        seen = cv2.warpAffine(white, large, (896, 896), flags=cv2.INTER_NEAREST)
        assert got == pytest.approx(1 - (seen > 0).mean(), abs=0.005)


def test_a_face_at_the_edge_of_the_picture_is_cut_off(astronaut):
    cut = np.ascontiguousarray(astronaut[:, 218:])
    points = POINTS - np.array([218, 0], np.float32)
    crops = align(cut, points)
    quality = measure(crops.pixels, crops.motions, points, cut.shape[:2])
    assert quality.outside[0] > LIMITS.outside
    assert "face_cut_off" in {p.code for p in problems(quality.row(0), None, LIMITS)}


# ---- batches, sizes, the gate -------------------------------------------------------------------------


def test_a_batch_is_its_faces_one_by_one(face):
    crops = np.stack([cv2.GaussianBlur(face, (0, 0), 0.3 + 0.1 * i) for i in range(37)])
    together = facts(crops)
    for i in (0, 15, 16, 36):
        alone = facts(crops[i : i + 1])
        for name in Qualities:
            assert getattr(together, name)[i] == pytest.approx(getattr(alone, name)[0], abs=1e-6)


Qualities = tuple(GOOD)


def test_no_faces_are_no_facts():
    empty = measure(
        np.zeros((0, 112, 112, 3), np.uint8), np.zeros((0, 2, 3)), np.zeros((0, 5, 2), np.float32), (480, 640)
    )
    assert len(empty) == 0


@pytest.mark.parametrize("name", ["arcface-128", "arcface-224", "arcface-256"])
def test_crops_of_other_templates_give_the_same_facts(astronaut, name):
    usual = align(astronaut, POINTS)
    other = align(astronaut, POINTS, name)
    a = measure(usual.pixels, usual.motions, POINTS, (512, 512)).row(0)
    b = measure(other.pixels, other.motions, POINTS, (512, 512)).row(0)
    assert b.pop("sharpness") == pytest.approx(a.pop("sharpness"), rel=0.25)
    assert b.pop("occlusion") == pytest.approx(a.pop("occlusion"), abs=0.1)
    assert b == pytest.approx(a, abs=0.01)


def test_what_cannot_be_measured_is_an_error(face):
    one, points = face[None], ARCFACE_112[None]
    with pytest.raises(InvalidArgument, match="no pixels"):
        measure(one, STILL, points, (0, 112))
    with pytest.raises(InvalidArgument, match="none of 100 pixels"):
        measure(np.zeros((1, 100, 100, 3), np.uint8), STILL, points, (112, 112))


def test_an_ordinary_portrait_has_no_problem(astronaut):
    crops = align(astronaut, POINTS)
    quality = measure(crops.pixels, crops.motions, POINTS, (512, 512))
    assert problems(quality.row(0), 12.0, replace(LIMITS, norm=7.0)) == ()


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ({"eye_distance": 4.0}, "face_too_small"),
        ({"sharpness": 0.1}, "face_blurred"),
        ({"contrast": 0.001, "brightness": 0.05}, "face_dark"),
        ({"sharpness": 0.1, "brightness": 0.05}, "face_dark"),
        ({"brightness": 0.99}, "face_bright"),
        ({"contrast": 0.001}, "low_contrast"),
        ({"yaw": -80.0}, "extreme_yaw"),
        ({"occlusion": 0.95}, "lower_face_occluded"),
        ({"outside": 0.6}, "face_cut_off"),
    ],
)
def test_each_fault_has_its_name(fault, code):
    found = problems(GOOD | fault, None, LIMITS)
    assert [p.code for p in found] == [code]
    assert found[0].blocking is (code not in LIMITS.advisory)
    assert ":" in found[0].message


def test_the_norm_counts_only_when_its_limit_is_known():
    assert problems(GOOD, 3.0, LIMITS) == ()
    assert [p.code for p in problems(GOOD, 3.0, replace(LIMITS, norm=7.0))] == ["low_norm"]
    assert problems(GOOD, None, replace(LIMITS, norm=7.0)) == ()


def test_a_face_that_could_not_be_measured_has_no_capture_problem():
    assert problems(dict.fromkeys(GOOD, float("nan")), None, LIMITS) == ()


# ---- real photographs ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def frontal(shared):
    """400 frontal captures of 400 people."""
    with zipfile.ZipFile(shared / "data/cfp/cfp112.zip") as archive:
        blobs = [archive.read(f"{person:03d}/frontal/01.jpg") for person in range(1, 401)]
    crops = [cv2.imdecode(np.frombuffer(b, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1] for b in blobs]
    return np.ascontiguousarray(crops)


def refused(crops):
    quality = facts(crops)
    return np.array(
        [any(p.blocking for p in problems(quality.row(i), None, LIMITS)) for i in range(len(quality))]
    )


@pytest.mark.real
def test_row_44_ordinary_captures_pass(frontal):
    assert refused(frontal).mean() <= 0.01


@pytest.mark.real
def test_row_9_blurred_captures_are_refused(frontal):
    assert refused([cv2.GaussianBlur(c, (0, 0), 4) for c in frontal]).mean() >= 0.98


@pytest.mark.real
def test_row_10_covered_faces_are_told_from_uncovered_ones(frontal):
    assert (facts(frontal).occlusion > LIMITS.occlusion).mean() <= 0.03
    for colour in ((240, 240, 240), (25, 25, 25), (150, 195, 215)):
        covered = frontal.copy()
        covered[:, 62:, 18:94] = colour
        assert (facts(covered).occlusion > LIMITS.occlusion).mean() >= 0.97

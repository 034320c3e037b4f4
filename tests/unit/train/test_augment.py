"""Random changes to training pictures, and drawn masks."""

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from lineament.train.augment import augment, change_colour, crop_on_black, lower_resolution
from lineament.train.masks import draw_mask
from lineament.train.recipe import Augment
from lineament.vision.align import ARCFACE_112, align
from lineament.vision.occlusion import lower_face_occlusion

# The five points of scikit-image's astronaut, by eye.
POINTS = np.array([[[195, 105], [248, 107], [221, 138], [202, 161], [241, 162]]], np.float32)
OFF = dict.fromkeys(("flip", "crop", "low_resolution", "colour", "gray", "mask"), 0.0)


@pytest.fixture(scope="module")
def face(astronaut: np.ndarray) -> np.ndarray:
    crop = align(astronaut, POINTS).pixels[0].copy()
    crop.flags.writeable = False
    return crop


def rng(n: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=n))


def test_nothing_happens_without_a_share(face: np.ndarray) -> None:
    for n in range(50):
        assert np.array_equal(augment(face, Augment(**OFF), rng(n)), face)


@pytest.mark.parametrize("name", list(OFF))
def test_each_change_is_reproducible_and_leaves_the_original(face: np.ndarray, name: str) -> None:
    before = face.copy()
    settings = Augment(**{**OFF, name: 1.0})
    for n in range(20):
        one, two = augment(face, settings, rng(n)), augment(face, settings, rng(n))
        assert one.shape == (112, 112, 3) and one.dtype == np.uint8 and np.array_equal(one, two)
        assert not np.array_equal(one, before)
    assert np.array_equal(face, before)


@pytest.mark.parametrize("name", ["crop", "colour", "gray", "mask", "low_resolution"])
def test_one_change_does_not_decide_about_another(face: np.ndarray, name: str) -> None:
    settings = Augment(**{**OFF, "flip": 0.5})
    both = Augment(**{**OFF, "flip": 0.5, name: 0.3})
    flipped = [np.array_equal(augment(face, settings, rng(n)), face[:, ::-1]) for n in range(60)]
    equal = 0
    for n, mirrored in enumerate(flipped):
        with_other = augment(face, both, rng(n))
        equal += np.array_equal(with_other, face[:, ::-1] if mirrored else face)
    assert 20 < sum(flipped) < 40 and 30 < equal < 55  # 70 % untouched by the other


def test_flip_and_gray(face: np.ndarray) -> None:
    assert np.array_equal(augment(face, Augment(**{**OFF, "flip": 1.0}), rng(0)), face[:, ::-1])
    gray = augment(face, Augment(**{**OFF, "gray": 1.0}), rng(0))
    luma = face @ np.array([0.299, 0.587, 0.114])
    assert (gray == gray[..., :1]).all() and np.abs(gray[..., 0] - luma).max() <= 1


def test_crop_leaves_a_part_in_its_place(face: np.ndarray) -> None:
    white = np.full((112, 112, 3), 255, np.uint8)
    areas, aspects = [], []
    for n in range(300):
        kept = crop_on_black(white, rng(n))[..., 0] > 0
        rows, columns = np.flatnonzero(kept.any(axis=1)), np.flatnonzero(kept.any(axis=0))
        h, w = rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1
        assert kept.sum() == h * w
        areas.append(h * w / 112**2)
        aspects.append(w / h)
        cut = crop_on_black(face, rng(n))
        assert np.array_equal(cut[kept], face[kept]) and not cut[~kept].any()
    assert min(areas) > 0.19 and max(areas) <= 1 and 0.5 < np.mean(areas) < 0.62
    assert min(aspects) > 0.73 and max(aspects) < 1.37


def test_low_resolution_takes_detail_away(face: np.ndarray) -> None:
    def detail(pixels: np.ndarray) -> float:
        return float(np.abs(np.diff(pixels.astype(int), axis=1)).mean())

    found = [lower_resolution(face, rng(n)) for n in range(100)]
    less = [detail(pixels) < detail(face) for pixels in found]
    assert np.mean(less) > 0.75  # the nearest pixel, and overshooting filters, add edges
    assert all(abs(pixels.mean() - face.mean()) < 6 for pixels in found)


def test_colours_change_as_factors_say(face: np.ndarray) -> None:
    flat = np.full((112, 112, 3), (120, 100, 80), np.uint8)
    found = np.array([change_colour(flat, rng(n))[0, 0] for n in range(300)], float)
    luma = found @ np.array([0.299, 0.587, 0.114])
    assert 48 < luma.min() < 58 and 145 < luma.max() < 158 and abs(luma.mean() - 102.8) < 4
    spread = (found[:, 0] - found[:, 2]) / luma / (40 / 102.8)
    # Contrast spreads the channels as saturation does: 0.25 to 2.25.
    assert 0.24 < spread.min() < 0.45 and 1.6 < spread.max() < 2.3
    assert len({change_colour(face, rng(n)).tobytes() for n in range(20)}) == 20


def test_colours_are_pillow_s(face: np.ndarray) -> None:
    """An independent implementation, the one that AdaFace's code uses: rounding three times apart."""
    kinds = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)
    for n in range(20):
        draws = rng(n)
        order, factors = draws.permutation(3).tolist(), draws.uniform(0.5, 1.5, 3).tolist()
        image = Image.fromarray(face)
        for which in order:
            image = kinds[which](image).enhance(factors[which])
        assert np.abs(change_colour(face, rng(n)).astype(int) - np.asarray(image)).max() <= 4


def test_a_mask_covers_the_lower_face_and_nothing_else(face: np.ndarray) -> None:
    for n in range(40):
        masked = draw_mask(face, rng(n))
        changed = (masked != face).any(axis=2)
        mouth = ARCFACE_112[3:].astype(int)
        assert all(changed[y - 2 : y + 3, x - 2 : x + 3].mean() > 0.8 for x, y in mouth)
        eyes = ARCFACE_112[:2].astype(int)
        assert not any(changed[y - 6 : y + 4, x - 8 : x + 9].any() for x, y in eyes)
        assert not changed[:45].any() and 0.15 < changed.mean() < 0.5


def test_masked_faces_look_covered_to_the_quality_rule(face: np.ndarray) -> None:
    plain = lower_face_occlusion(face[None])
    masked = lower_face_occlusion(np.stack([draw_mask(face, rng(n)) for n in range(60)]))
    assert plain[0] < 0.5 and (masked > 0.5).mean() > 0.9


def test_masks_follow_the_size() -> None:
    large = np.full((224, 224, 3), 90, np.uint8)
    changed = (draw_mask(large, rng(3)) != large).any(axis=2)
    small = (draw_mask(large[:112, :112], rng(3)) != large[:112, :112]).any(axis=2)
    assert abs(changed.mean() - small.mean()) < 0.03

"""Complaints about decisions in the study of InsightFace: rows 7, 8, 9 and 10, one test or class each."""

import itertools

import cv2
import numpy as np
import pytest

import lineament as ln
from lineament.core.errors import ThresholdMissing


@pytest.fixture(scope="module")
def recognizer() -> ln.Recognizer:
    return ln.Recognizer()


@pytest.fixture(scope="module")
def people(shared) -> list[np.ndarray]:
    """Ten portraits, one a person, each with one clear face."""
    names = ("001", "004", "007", "009", "031", "035", "040", "050", "061", "069")
    return [ln.read_image(shared / f"fixtures/images/cc0/{name}.jpg").pixels for name in names]


class TestRow07:
    """ "Which threshold?" was answered with a number that nobody had measured, or not at all."""

    def test_the_default_pack_has_measured_answers(self, recognizer: ln.Recognizer):
        own = [t for t in recognizer.thresholds if t.model == recognizer.model and t.fmr is not None]
        assert [t.fmr for t in own] == [1e-3, 1e-4, 1e-5, 1e-6]
        for t in own:
            # Rule of three: fewer non-mated pairs than 3/FMR cannot show that rate at all.
            assert t.comparisons > 3 / t.fmr
            assert t.false_matches / t.comparisons <= t.fmr
            assert t.fmr_interval[0] <= t.false_matches / t.comparisons <= t.fmr_interval[1]
        assert [t.value for t in own] == sorted(t.value for t in own)
        assert [t.fnmr for t in own] == sorted(t.fnmr for t in own)

    def test_searches_have_measured_answers_too(self, recognizer: ln.Recognizer):
        own = [t for t in recognizer.thresholds if t.model == recognizer.model and t.fpir is not None]
        assert [(t.fpir, t.gallery_size) for t in own] == [(1e-2, 100), (1e-2, 1000), (1e-2, 3000)]
        for t in own:
            assert t.false_matches / t.comparisons <= t.fmr_interval[1] <= t.fpir
        # Each further reference is one more chance of a false positive.
        assert [t.value for t in own] == sorted(t.value for t in own)

    def test_an_unmeasured_rate_is_refused(self, recognizer: ln.Recognizer, astronaut: np.ndarray):
        with pytest.raises(ThresholdMissing, match=r"0\.001, 0\.0001, 1e-05, 1e-06"):
            recognizer.compare(astronaut, astronaut, fmr=1e-7, colour="rgb")

    def test_other_views_have_thresholds_of_their_own(self, astronaut: np.ndarray):
        mirrored = ln.Recognizer(settings=ln.PartSettings(views="mirrored_sum"))
        verdict = mirrored.compare(astronaut, astronaut, fmr=1e-4, colour="rgb")
        assert verdict.threshold.model == mirrored.model
        assert (
            verdict.threshold.value
            != ln.Recognizer().compare(astronaut, astronaut, fmr=1e-4, colour="rgb").threshold.value
        )


def test_row_08_similarity_is_a_cosine(recognizer: ln.Recognizer, astronaut: np.ndarray):
    """Users' own code gave negative and over-range values: ours is clamped, symmetric, 1 with itself."""
    a = recognizer.analyze(astronaut, colour="rgb")[0].template
    b = recognizer.analyze(np.ascontiguousarray(astronaut[:, ::-1]), colour="rgb")[0].template
    assert a.similarity(a) == 1.0
    assert a.similarity(b) == b.similarity(a)
    assert -1.0 <= a.similarity(b) <= 1.0
    verdict = recognizer.compare(astronaut, astronaut, fmr=1e-5, colour="rgb")
    assert verdict.similarity == 1.0
    assert verdict.match
    # Distance conventions of other tools follow from it: squared Euclid of unit vectors is 2 − 2·cosine.
    squared = ((a.vector.astype(np.float64) - b.vector.astype(np.float64)) ** 2).sum()
    assert 1 - squared / 2 == pytest.approx(a.similarity(b), abs=1e-6)


class TestRow09:
    """Blurred faces, and things that are no faces, match each other at 0.7 and more."""

    @pytest.mark.parametrize("sigma", [2, 4, 6, 8, 12, 16, 24])
    def test_blurred_strangers_are_refused_or_do_not_match(
        self, recognizer: ln.Recognizer, people: list[np.ndarray], sigma: float
    ):
        blurred = [cv2.GaussianBlur(p, (0, 0), sigma) for p in people]
        matches = [
            recognizer.compare(a, b, fmr=1e-4, policy="largest", colour="rgb").match
            for a, b in itertools.combinations(blurred, 2)
        ]
        assert not any(matches)

    def test_beyond_recognition_is_refused_by_name(self, recognizer: ln.Recognizer, people: list[np.ndarray]):
        for picture in people:
            verdict = recognizer.compare(
                picture, cv2.GaussianBlur(picture, (0, 0), 9), fmr=1e-4, policy="largest", colour="rgb"
            )
            assert verdict.decision is ln.Decision.NO_COMPARISON
            assert {r.code for r in verdict.reasons if r.blocking} & {"face_blurred", "no_face"}

    def test_noise_is_no_face(self, recognizer: ln.Recognizer):
        rng = np.random.default_rng(9)
        for scale in (1, 4, 16):
            noise = rng.integers(0, 256, (320 // scale, 320 // scale, 3), dtype=np.uint8)
            picture = cv2.resize(noise, (320, 320), interpolation=cv2.INTER_CUBIC)
            verdict = recognizer.compare(picture, picture, fmr=1e-4, policy="largest", colour="rgb")
            assert verdict.decision is ln.Decision.NO_COMPARISON, scale


@pytest.mark.parametrize("colour", [(240, 240, 240), (20, 20, 20), (120, 170, 210), (40, 60, 160)])
def test_row_10_a_covered_lower_face_is_said(
    recognizer: ln.Recognizer, astronaut: np.ndarray, colour: tuple[int, int, int]
):
    """Masks went undetected. A rectangle over the lower face is a reason, before and beside the decision."""
    face = recognizer.analyze(astronaut, colour="rgb")[0]
    covered = astronaut.copy()
    x1, _, x2, y2 = (int(v) for v in face.box)
    covered[int(face.points[2, 1]) : y2 + 5, x1 - 5 : x2 + 5] = colour
    verdict = recognizer.compare(astronaut, covered, fmr=1e-4, colour="rgb")
    codes = {(r.code, r.side) for r in verdict.reasons}
    assert ("lower_face_occluded", "b") in codes or ("no_face", "b") in codes
    assert ("lower_face_occluded", "a") not in codes

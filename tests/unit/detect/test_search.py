"""The search: passes, turns, suppression, choice."""

from typing import Any

import numpy as np
import pytest

from lineament.core.errors import InvalidArgument
from lineament.detect.family import Candidates
from lineament.detect.search import DetectionSettings, FaceSearch

ONE = DetectionSettings(sizes=((256, 256),))


def test_coordinates_are_the_pictures_own(squares: Any, scene: Any) -> None:
    faces = FaceSearch(squares(), ONE).detect(scene((512, 1024), (100, 60, 180, 140)))
    assert np.abs(faces.boxes[0] - [100, 60, 180, 140]).max() <= 4
    assert faces.angles is not None
    assert faces.angles.tolist() == [0]


def test_a_face_seen_by_two_passes_is_reported_once(squares: Any, scene: Any) -> None:
    family = squares()
    settings = DetectionSettings(sizes=((64, 64), (256, 256)), tight=False)
    faces = FaceSearch(family, settings).detect(scene((256, 256), (40, 40, 120, 120)))
    assert len(faces) == 1
    assert sorted(family.canvases) == [(64, 64), (256, 256)]


def test_padding(squares: Any, scene: Any) -> None:
    picture = scene((100, 250), (40, 40, 80, 80))
    for tight, want in ((True, (104, 256)), (False, (256, 256))):
        family = squares(stride=8)
        FaceSearch(family, DetectionSettings(sizes=((256, 250),), tight=tight)).detect(picture)
        assert family.canvases == [want]


def test_a_network_of_one_size_sees_that_size_only(squares: Any, scene: Any) -> None:
    family = squares(fixed_size=(320, 240))
    faces = FaceSearch(family).detect(scene((480, 640), (40, 40, 80, 80)))
    assert family.canvases == [(240, 320)]
    assert np.abs(faces.boxes[0] - [40, 40, 80, 80]).max() <= 2


@pytest.mark.parametrize("angle", [0, 90, 180, 270])
def test_turned_back(squares: Any, scene: Any, angle: int) -> None:
    """Found in a picture that was turned clockwise, and reported where it is in the picture as given."""
    box = (100, 40, 160, 120)
    settings = DetectionSettings(sizes=((512, 512),), angles=(angle,), tight=False)
    faces = FaceSearch(squares(), settings).detect(scene((256, 512), box))
    assert np.abs(faces.boxes[0] - box).max() <= 1
    assert faces.angles is not None
    assert faces.angles.tolist() == [angle]
    # The left eye is on the left of the turned picture; a clockwise quarter turn brings the bottom there.
    x, y = (faces.points[0, 0] - [100, 40]) / [60, 80]
    want = {0: (0.3, 0.4), 90: (0.4, 0.7), 180: (0.7, 0.6), 270: (0.6, 0.3)}[angle]
    assert (x, y) == pytest.approx(want, abs=0.03)


def test_what_stays_when_there_are_too_many(squares: Any, scene: Any) -> None:
    large, central, small = (0, 0, 90, 90), (220, 220, 280, 280), (440, 440, 470, 470)
    search = FaceSearch(squares(), DetectionSettings(sizes=((500, 500),)))
    picture = scene((500, 500), small, central, large)
    assert len(search.detect(picture)) == 3
    firsts = {
        rule: search.detect(
            picture,
            DetectionSettings(sizes=((500, 500),), max_faces=1, keep=rule),
        ).boxes[0]
        for rule in ("score", "largest", "central")
    }
    assert np.abs(firsts["score"] - large).max() <= 2
    assert np.abs(firsts["largest"] - large).max() <= 2
    assert np.abs(firsts["central"] - central).max() <= 2


def test_small_faces_can_be_left_out_and_boxes_clipped(squares: Any, scene: Any) -> None:
    picture = scene((200, 200), (0, 0, 60, 60), (100, 100, 120, 120))
    settings = DetectionSettings(sizes=((200, 200),), min_size=30.0)
    assert len(FaceSearch(squares(), settings).detect(picture)) == 1
    clipped = FaceSearch(squares(), DetectionSettings(sizes=((200, 200),), clip=True)).detect(picture)
    assert (clipped.boxes >= 0).all()
    assert (clipped.boxes <= 200).all()


@pytest.mark.parametrize(
    "wrong",
    [
        {"threshold": 0.0},
        {"threshold": 1.1},
        {"threshold": float("nan")},
        {"overlap": 0.0},
        {"sizes": ()},
        {"sizes": ((0, 640),)},
        {"sizes": ((640, 9000),)},
        {"angles": ()},
        {"angles": (45,)},
        {"max_faces": -1},
        {"min_size": -1.0},
        {"keep": "best"},
    ],
)
def test_settings_out_of_range_are_named(wrong: dict[str, Any]) -> None:
    with pytest.raises(Exception) as caught:
        DetectionSettings(**wrong)
    # The type hook of the tests is faster than our own check where the value has no right type at all.
    assert isinstance(caught.value, InvalidArgument) or "keep" in wrong


class TwoOpinions:
    """A network that sees one face at any size: surer of it, and worse placed, in a small canvas."""

    name, stride, fixed_size, has_points = "two opinions", 32, None, True

    def candidates(self, canvas: np.ndarray, threshold: float) -> Candidates:
        small = max(canvas.shape) <= 128
        scale = max(canvas.shape[:2]) / 512
        shift = 20 if small else 0
        box = np.array([[100 + shift, 100, 300 + shift, 300]], np.float32) * scale
        points = np.full((1, 5, 2), 150 + shift, np.float32) * scale
        return Candidates(box, points, np.array([0.9 if small else 0.7], np.float32))


@pytest.mark.parametrize(("finest", "left"), [(True, 100), (False, 120)])
def test_points_come_from_the_finest_pass_that_sees_the_face(finest: bool, left: float) -> None:
    settings = DetectionSettings(sizes=((128, 128), (512, 512)), finest=finest)
    faces = FaceSearch(TwoOpinions(), settings).detect(np.zeros((512, 512, 3), np.uint8))
    assert len(faces) == 1
    assert faces.scores[0] == pytest.approx(0.9)
    assert faces.boxes[0, 0] == pytest.approx(left, abs=0.5)
    assert faces.points[0, 0, 0] == pytest.approx(left + 50, abs=0.5)

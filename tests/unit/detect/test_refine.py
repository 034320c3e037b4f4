"""Points measured a second time."""

from typing import Any

import numpy as np
import pytest

from lineament.core.errors import InvalidArgument
from lineament.detect.refine import Refined
from lineament.detect.search import DetectionSettings, FaceSearch


@pytest.mark.parametrize("side", [24, 60, 300])
def test_points_come_closer_whatever_the_faces_size(squares: Any, scene: Any, side: int) -> None:
    """A coarse search sees the square through few pixels; the second look does not."""
    box = (101, 57, 101 + side, 57 + side)
    picture = scene((480, 640), box)
    search = FaceSearch(squares(stride=32), DetectionSettings(sizes=((160, 160),)))
    truth = np.array(box[:2]) + squares.layout * side
    coarse, fine = search.detect(picture), Refined(search).detect(picture)
    assert len(fine) == len(coarse) == 1
    before, after = (np.abs(faces.points[0] - truth).max() for faces in (coarse, fine))
    assert after <= 0.01 * side + 0.5
    if side < 96:  # smaller than in the window of the second look, which therefore sees more
        assert after < before


def test_clipping_a_box_does_not_move_the_points(squares: Any, scene: Any) -> None:
    """Where the box is cut for the caller must not change where the second look looks."""

    class Wider(squares):  # type: ignore[misc]  (the base comes from a fixture)
        def candidates(self, canvas: np.ndarray, threshold: float) -> Any:
            from dataclasses import replace

            found = super().candidates(canvas, threshold)
            return replace(found, boxes=found.boxes + np.array([-20, -20, 20, 20], np.float32))

    picture = scene((256, 256), (4, 4, 90, 90))
    settings = DetectionSettings(sizes=((256, 256),))
    search = FaceSearch(Wider(stride=32), settings)
    loose = Refined(search).detect(picture)
    cut = Refined(search).detect(picture, DetectionSettings(sizes=((256, 256),), clip=True))
    assert loose.boxes.min() < 0
    assert cut.boxes.min() == 0
    assert np.array_equal(loose.points, cut.points)
    assert np.array_equal(np.clip(loose.boxes, 0, 256), cut.boxes)


def test_nothing_found_stays_nothing(squares: Any, scene: Any) -> None:
    assert len(Refined(FaceSearch(squares(stride=32))).detect(scene((90, 90)))) == 0


def test_networks_that_cannot_look_again_are_refused(squares: Any) -> None:
    with pytest.raises(InvalidArgument, match="refined"):
        Refined(FaceSearch(squares(fixed_size=(640, 640))))

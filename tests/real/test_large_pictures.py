"""Large JPEGs are decoded at a reduced scale for detection, and faces come out where and as they are."""

import io
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import pytest

import lineament as ln
from lineament.pipeline.recognizer import for_detection
from lineament.vision.decode import open_picture


def jpeg(pixels: np.ndarray) -> bytes:
    sink = io.BytesIO()
    PIL.Image.fromarray(pixels).save(sink, "JPEG", quality=95)
    return sink.getvalue()


@pytest.mark.parametrize(("side", "scale"), [(1024, 1.0), (2560, 0.5), (3840, 0.25), (4096, 0.25)])
def test_how_far_a_picture_is_reduced(astronaut: np.ndarray, side: int, scale: float):
    data = jpeg(cv2.resize(astronaut, (side, side * 3 // 4)))
    assert for_detection(open_picture(data)).scale == scale


@pytest.mark.parametrize(("side", "face"), [(4096, 900), (4096, 250), (2800, 140)])
def test_boxes_points_and_templates_are_those_of_the_full_picture(
    astronaut: np.ndarray, side: int, face: int
):
    """Large and small faces in a large picture: as from an array, which is never reduced."""
    recognizer = ln.Recognizer()
    head = astronaut[0:230, 100:330]
    size = round(face * 230 / 100)
    canvas = np.full((side * 3 // 4, side, 3), 110, np.uint8)
    canvas[200 : 200 + size, 300 : 300 + size] = cv2.resize(head, (size, size), interpolation=cv2.INTER_CUBIC)
    data = jpeg(canvas)
    (reduced,) = recognizer.analyze(data)
    (full,) = recognizer.analyze(ln.read_image(data).pixels, colour="rgb")
    assert np.abs(reduced.box - full.box).max() < 0.03 * face
    # Within a quarter of a pixel of the 112-pixel crop.
    assert np.abs(reduced.points - full.points).max() < 0.01 * face
    assert reduced.template.similarity(full.template) > 0.98


def test_a_path_is_no_different(astronaut: np.ndarray, tmp_path: Path):
    path = tmp_path / "large.jpg"
    path.write_bytes(jpeg(cv2.resize(astronaut, (4096, 4096))))
    recognizer = ln.Recognizer()
    assert (
        recognizer.analyze(path)[0].template.similarity(recognizer.analyze(path.read_bytes())[0].template)
        == 1.0
    )

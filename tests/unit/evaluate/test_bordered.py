"""A border around photographs that were cut too tightly."""

import numpy as np
import pytest

from lineament.core.errors import ImageNotFound, ImageUnreadable, InvalidArgument
from lineament.datasets.port import Pictures
from lineament.evaluate.bordered import Bordered
from lineament.vision.decode import read_image


def test_the_picture_stands_in_the_middle(pictures, noise: np.ndarray) -> None:
    wide = Bordered(pictures, 0.5)
    assert isinstance(wide, Pictures)
    assert wide.names == pictures.names
    pixels = read_image(wide.read("p0/0.png")).pixels
    assert pixels.shape == (32, 32, 3)
    np.testing.assert_array_equal(pixels[8:24, 8:24], noise[0])
    pixels = pixels.copy()
    pixels[8:24, 8:24] = 0
    assert not pixels.any()


def test_what_cannot_be_read_keeps_its_reason(pictures) -> None:
    wide = Bordered(pictures, 0.5)
    with pytest.raises(ImageNotFound):
        wide.read("p1/1.png")
    with pytest.raises(ImageUnreadable):
        wide.read("p2/0.png")


@pytest.mark.parametrize("share", [0.0, -1.0, 2.1, float("nan")])
def test_other_borders_are_refused(pictures, share: float) -> None:
    with pytest.raises(InvalidArgument, match="border"):
        Bordered(pictures, share)

"""Photographs cut too tightly for a detector, with a border."""

from collections.abc import Sequence

import cv2

from lineament.core.errors import InvalidArgument
from lineament.datasets.port import Pictures
from lineament.vision.decode import read_image

LARGEST_BORDER = 2.0


class Bordered:
    """Pictures with a black border around each.

    Detectors are trained on faces with surroundings. SCRFD finds a face in one of three of LFW's pictures
    when they are cut to their central 160 pixels, and in all of them with half of that as a border.

    Args:
        pictures: the set.
        share: width of the border in widths and heights of the picture, up to 2.

    Raises:
        InvalidArgument: another share.
    """

    def __init__(self, pictures: Pictures, share: float) -> None:
        if not 0.0 < share <= LARGEST_BORDER:
            raise InvalidArgument(f"a border is a share of the picture, above 0 and up to 2, not {share}")
        self._pictures = pictures
        self._share = share

    @property
    def names(self) -> Sequence[str]:
        """As in the set."""
        return self._pictures.names

    def read(self, name: str) -> bytes:
        """The picture with its border, uncompressed.

        Raises:
            ImageError: it cannot be read or decoded.
        """
        pixels = read_image(self._pictures.read(name)).pixels
        y, x = (round(self._share * side) for side in pixels.shape[:2])
        wide = cv2.copyMakeBorder(pixels, y, y, x, x, cv2.BORDER_CONSTANT)
        return b"P6 %d %d 255\n" % (wide.shape[1], wide.shape[0]) + wide.tobytes()

    def stamp(self, name: str) -> str:
        """As in the set."""
        return self._pictures.stamp(name)

    def describe(self) -> str:
        """As the set says, with a border."""
        return f"{self._pictures.describe()}, with a border of {self._share:g}"

    def close(self) -> None:
        """Let go of open files."""
        self._pictures.close()

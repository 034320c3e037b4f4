"""The odd pictures of the shared material: what each of them is answered with."""

import resource
import time
from pathlib import Path

import numpy as np
import pytest

from lineament.core.errors import ImageError
from lineament.vision.decode import open_picture, read_image

NORMAL = (320, 320)
OUTCOMES: dict[str, tuple[tuple[int, int], tuple[str, ...]] | str] = {
    "1x1.png": ((1, 1), ()),
    "animated.gif": ((160, 160), ("first frame of 3", "palette to RGB")),
    "blur.jpg": (NORMAL, ()),
    "cmyk.jpg": (NORMAL, ("CMYK to RGB",)),
    "empty.jpg": "image_empty",
    **{f"exif_{mark}.jpg": (NORMAL, ()) for mark in range(1, 9)},
    "face.avif": (NORMAL, ()),
    "face.heic": (NORMAL, ()),
    "face.tif": (NORMAL, ()),
    "face.webp": (NORMAL, ()),
    "gray.jpg": (NORMAL, ("gray to RGB",)),
    "gray16.png": (NORMAL, ("16-bit gray to RGB",)),
    "huge_12000x12000.png": "image_too_large",
    "jpeg_named.png": (NORMAL, ()),
    "la.png": (NORMAL, ("gray to RGB",)),
    "lowlight.jpg": (NORMAL, ()),
    "noface.png": ((240, 320), ()),
    "not_image.jpg": "image_unreadable",
    "palette.png": (NORMAL, ("palette to RGB",)),
    "progressive.jpg": (NORMAL, ()),
    "rgb16.png": ((160, 160), ()),
    "rgba.png": (NORMAL, ("transparency laid on white",)),
    "small_face.jpg": ((480, 640), ()),
    "truncated.jpg": "image_truncated",
}


@pytest.fixture(scope="module")
def odd(shared: Path) -> Path:
    return shared / "fixtures" / "images" / "odd"


def test_every_file_has_an_outcome(odd: Path) -> None:
    assert {path.name for path in odd.iterdir()} == set(OUTCOMES)


@pytest.mark.parametrize("name", OUTCOMES)
def test_outcome(name: str, odd: Path) -> None:
    expected = OUTCOMES[name]
    if name.endswith(".heic"):
        pytest.importorskip("pillow_heif")
    for source in (odd / name, (odd / name).read_bytes()):
        if isinstance(expected, str):
            with pytest.raises(ImageError) as caught:
                read_image(source)
            assert caught.value.reason == expected
        else:
            image = read_image(source)
            assert (image.full_size, image.notes) == expected
            assert image.pixels.shape == (*expected[0], 3)


def test_all_orientations_give_one_upright_picture(odd: Path) -> None:
    upright = read_image(odd / "exif_1.jpg").pixels.astype(int)
    for mark in range(1, 9):
        image = read_image(odd / f"exif_{mark}.jpg")
        assert image.orientation == mark
        assert np.abs(image.pixels - upright).mean() < 3


@pytest.mark.parametrize(
    "name",
    [
        "cmyk.jpg",
        "face.avif",
        "face.heic",
        "face.tif",
        "face.webp",
        "jpeg_named.png",
        "palette.png",
        "progressive.jpg",
    ],
)
def test_the_same_face_in_every_format(name: str, odd: Path) -> None:
    plain = read_image(odd / "exif_1.jpg").pixels.astype(int)
    assert np.abs(read_image(odd / name).pixels - plain).mean() < 12


def test_sixteen_bits_are_not_cut(odd: Path) -> None:
    gray = read_image(odd / "gray.jpg").pixels.astype(int)
    assert np.abs(read_image(odd / "gray16.png").pixels - gray).mean() < 3
    assert np.abs(read_image(odd / "la.png").pixels - gray).mean() < 3


def test_the_huge_picture_costs_neither_time_nor_memory(odd: Path) -> None:
    path = odd / "huge_12000x12000.png"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begun = time.process_time()
    with pytest.raises(ImageError, match="12000×12000"):
        open_picture(path)
    assert time.process_time() - begun < 0.1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20 * 1024

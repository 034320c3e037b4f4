"""Every format, colour kind and orientation becomes the same upright RGB picture."""

import io
import subprocess
import sys
import warnings
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image as PillowImage

from lineament.core.errors import ImageFormatUnsupported, ImageTruncated, ImageUnreadable
from lineament.vision.decode import open_picture, read_image
from lineament.vision.orient import exif_mark, upright, upright_size


@pytest.fixture(scope="module")
def picture(astronaut: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(astronaut[20:180, 150:270])


def encoded(pixels: np.ndarray | PillowImage.Image, kind: str, **options: object) -> bytes:
    image = pixels if isinstance(pixels, PillowImage.Image) else PillowImage.fromarray(pixels)
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def exif(mark: int) -> bytes:
    block = PillowImage.Exif()
    block[0x0112] = mark
    return block.tobytes()


def heic(pixels: np.ndarray, mark: int = 1) -> bytes:
    pillow_heif = pytest.importorskip("pillow_heif")
    buffer = io.BytesIO()
    pillow_heif.from_pillow(PillowImage.fromarray(pixels)).save(buffer, quality=-1, exif=exif(mark))
    return buffer.getvalue()


def difference(a: np.ndarray, b: np.ndarray) -> float:
    assert a.shape == b.shape
    return float(np.abs(a.astype(int) - b).mean())


def stored(pixels: np.ndarray, mark: int) -> np.ndarray:
    """The pixels that a file with this mark must hold to look like `pixels` (written out by hand)."""
    return np.ascontiguousarray(
        {
            1: pixels,
            2: pixels[:, ::-1],
            3: pixels[::-1, ::-1],
            4: pixels[::-1],
            5: pixels.transpose(1, 0, 2),
            6: pixels.transpose(1, 0, 2)[::-1],
            7: pixels[::-1, ::-1].transpose(1, 0, 2),
            8: pixels.transpose(1, 0, 2)[:, ::-1],
        }[mark]
    )


ORIENTED: dict[str, Callable[[np.ndarray, int], bytes]] = {
    "JPEG": lambda p, m: encoded(p, "JPEG", quality=95, exif=exif(m)),
    "JPEG progressive": lambda p, m: encoded(p, "JPEG", quality=95, exif=exif(m), progressive=True),
    "PNG": lambda p, m: encoded(p, "PNG", exif=exif(m)),
    "WebP": lambda p, m: encoded(p, "WEBP", lossless=True, exif=exif(m)),
    "TIFF": lambda p, m: encoded(p, "TIFF", exif=_exif_object(m)),
    "TIFF LZW": lambda p, m: encoded(p, "TIFF", exif=_exif_object(m), compression="tiff_lzw"),
    "AVIF": lambda p, m: encoded(p, "AVIF", quality=95, exif=exif(m)),
    "HEIC": heic,
}


def _exif_object(mark: int) -> PillowImage.Exif:
    block = PillowImage.Exif()
    block[0x0112] = mark
    return block


@pytest.mark.parametrize("mark", range(1, 9))
@pytest.mark.parametrize("kind", ORIENTED)
def test_orientation_is_applied_exactly_once(kind: str, mark: int, picture: np.ndarray) -> None:
    data = ORIENTED[kind](stored(picture, mark), mark)
    opened = open_picture(data)
    assert opened.full_size == picture.shape[:2]
    image = opened.decode()
    assert difference(image.pixels, picture) < 5
    assert image.full_size == picture.shape[:2]
    assert image.scale == 1
    assert image.orientation == opened.orientation == (1 if kind == "HEIC" else mark)


@pytest.mark.parametrize("mark", range(1, 9))
@pytest.mark.parametrize("kind", [k for k in ORIENTED if k != "HEIC"])
def test_pillow_images_are_turned_like_their_files(kind: str, mark: int, picture: np.ndarray) -> None:
    data = ORIENTED[kind](stored(picture, mark), mark)
    with PillowImage.open(io.BytesIO(data)) as image:
        assert np.array_equal(read_image(image).pixels, read_image(data).pixels)
        assert np.array_equal(read_image(image).pixels, read_image(data).pixels), "a second time"


def test_a_mark_found_only_in_xmp_is_passed_over_in_files_and_pillow_images(picture: np.ndarray) -> None:
    note = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a tiff:Orientation="6"/></x:xmpmeta>'
    data = encoded(picture, "JPEG", xmp=note)
    assert read_image(data).full_size == picture.shape[:2]
    with PillowImage.open(io.BytesIO(data)) as image:
        assert image.getexif()[0x0112] == 6
        assert read_image(image).full_size == picture.shape[:2]


@pytest.mark.parametrize("mark", range(1, 9))
def test_reduced_decoding_keeps_the_upright_frame(mark: int, astronaut: np.ndarray) -> None:
    wide = astronaut[:301, :403]
    image = open_picture(encoded(stored(wide, mark), "JPEG", quality=95, exif=exif(mark))).decode(200)
    assert image.full_size == (301, 403)
    assert image.pixels.shape[:2] == (151, 202)
    assert image.scale == image.pixels.shape[1] / 403
    from skimage.transform import resize

    small = resize(wide, image.pixels.shape[:2], anti_aliasing=True, preserve_range=True)
    assert difference(image.pixels, small) < 6, "turned wrongly it is above 20"


def test_a_damaged_or_impossible_mark_counts_as_none() -> None:
    assert exif_mark(b"") == exif_mark(b"Exif\0\0II*\0") == exif_mark(exif(9)) == exif_mark(b"junk" * 9) == 1
    assert exif_mark(exif(6)) == exif_mark(exif(6).removeprefix(b"Exif\0\0")) == 6
    big_endian = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x05\0\0"
    assert exif_mark(big_endian) == 5, "without the link to a next directory, as some cameras write it"


def test_upright_and_its_size_agree(picture: np.ndarray) -> None:
    for mark in range(1, 9):
        turned = upright(picture, mark)
        assert turned.shape[:2] == upright_size(picture.shape[:2], mark)
        assert np.array_equal(upright(stored(picture, mark), mark), picture)


def gray_of(pixels: np.ndarray) -> np.ndarray:
    return np.asarray(PillowImage.fromarray(pixels).convert("L"))


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "GIF"])
def test_lossless_formats_are_exact(kind: str, picture: np.ndarray) -> None:
    gray = gray_of(picture)
    got = read_image(encoded(gray, kind))
    assert np.array_equal(got.pixels, np.stack([gray] * 3, axis=2))
    if kind != "GIF":
        assert np.array_equal(read_image(encoded(picture, kind)).pixels, picture)
        assert "gray to RGB" in got.notes


@pytest.mark.parametrize(
    ("kind", "options"),
    [("JPEG2000", {}), ("WEBP", {"quality": 95}), ("AVIF", {"quality": 95}), ("JPEG", {"quality": 95})],
)
def test_other_formats_are_close(kind: str, options: dict[str, object], picture: np.ndarray) -> None:
    got = read_image(encoded(picture, kind, **options))
    assert difference(got.pixels, picture) < 4
    assert got.notes == ()


def test_a_bare_jpeg_2000_codestream(picture: np.ndarray) -> None:
    data = encoded(picture, "JPEG2000", no_jp2=True)
    assert data.startswith(b"\xff\x4f\xff\x51")
    assert np.array_equal(read_image(data).pixels, picture)
    with pytest.raises(ImageTruncated):
        read_image(data[:-20])


def test_a_pillow_image_of_a_cut_file(picture: np.ndarray) -> None:
    data = encoded(picture, "PNG")
    with PillowImage.open(io.BytesIO(data[: len(data) // 2])) as image, pytest.raises(ImageTruncated):
        read_image(image)


def test_16_bit_gray_is_scaled_not_cut(picture: np.ndarray) -> None:
    gray = gray_of(picture)
    # Within half a level of gray·257, so that a cut to either byte or a clip would show.
    below = np.random.default_rng(1).integers(-120, 121, gray.shape)
    wide = np.clip(gray.astype(int) * 257 + below, 0, 65535).astype(np.uint16)
    want = np.stack([gray] * 3, axis=2)
    for kind in ("PNG", "TIFF"):
        got = read_image(encoded(wide, kind))
        assert np.array_equal(got.pixels, want)
        assert got.notes == ("16-bit gray to RGB",)
    assert np.array_equal(read_image(PillowImage.fromarray(wide)).pixels, want)
    negative = encoded(PillowImage.fromarray(65535 - wide), "TIFF", tiffinfo={262: 0})
    assert np.array_equal(read_image(negative).pixels, want), "WhiteIsZero"
    portable = b"P5 120 160 65535\n" + wide.astype(">u2").tobytes()
    assert np.array_equal(read_image(portable).pixels, want)


def test_16_bit_rgb_is_scaled_not_cut(picture: np.ndarray) -> None:
    import cv2

    below = np.random.default_rng(1).integers(0, 256, picture.shape)
    wide = (picture[..., ::-1].astype(int) * 256 + below).astype(np.uint16)
    for suffix in (".png", ".tiff"):
        done, buffer = cv2.imencode(suffix, wide)
        assert done
        got = read_image(buffer.tobytes())
        assert difference(got.pixels, picture) <= 1


def test_transparency_is_laid_on_white(picture: np.ndarray) -> None:
    alpha = np.tile(np.linspace(0, 255, picture.shape[1]).round().astype(np.uint8), (picture.shape[0], 1))
    rgba = np.dstack([picture, alpha])
    want = np.round((picture.astype(float) * alpha[..., None] + 255.0 * (255 - alpha[..., None])) / 255)
    for data in (encoded(rgba, "PNG"), encoded(rgba, "TIFF")):
        got = read_image(data)
        assert np.abs(got.pixels - want).max() <= 1
        assert "transparency laid on white" in got.notes
    la = _la(picture, alpha)
    got = read_image(encoded(la, "PNG"))
    assert (got.pixels[:, 0] == 255).all()
    assert got.notes == ("gray to RGB", "transparency laid on white")
    opaque = np.dstack([picture, np.full_like(alpha, 255)])
    assert np.array_equal(read_image(encoded(opaque, "PNG")).pixels, picture)
    assert read_image(encoded(opaque, "PNG")).notes == ()


def _la(picture: np.ndarray, alpha: np.ndarray) -> PillowImage.Image:
    return PillowImage.merge("LA", [PillowImage.fromarray(gray_of(picture)), PillowImage.fromarray(alpha)])


def test_transparent_palette_and_colour_key(picture: np.ndarray) -> None:
    palette = PillowImage.fromarray(picture).quantize(16)
    index = int(np.asarray(palette)[0, 0])
    hidden = np.asarray(palette) == index
    for options in (
        {"transparency": index},
        {"transparency": bytes(0 if i == index else 255 for i in range(16))},
    ):
        got = read_image(encoded(palette, "PNG", **options))
        assert (got.pixels[hidden] == 255).all()
        assert got.notes == ("palette to RGB", "transparency laid on white")
    key = tuple(int(v) for v in picture[0, 0])
    got = read_image(encoded(picture, "PNG", transparency=key))
    assert (got.pixels[(picture == picture[0, 0]).all(axis=2)] == 255).all()
    plain = read_image(encoded(palette, "PNG"))
    assert np.array_equal(plain.pixels, np.asarray(palette.convert("RGB")))
    assert plain.notes == ("palette to RGB",)


def test_one_bit(picture: np.ndarray) -> None:
    bits = PillowImage.fromarray(picture).convert("1")
    for kind in ("PNG", "TIFF"):
        got = read_image(encoded(bits, kind))
        assert set(np.unique(got.pixels)) == {0, 255}
        assert np.array_equal(got.pixels[..., 0] == 255, np.asarray(bits))


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk(kind: str, picture: np.ndarray) -> None:
    cmyk = PillowImage.fromarray(picture).convert("CMYK")
    options = {"quality": 95} if kind == "JPEG" else {}
    got = read_image(encoded(cmyk, kind, **options))
    assert difference(got.pixels, picture) < 4
    assert got.notes == ("CMYK to RGB",)


@pytest.mark.parametrize("mode", ["F", "I"])
def test_samples_without_a_range_are_refused(mode: str, picture: np.ndarray) -> None:
    image = PillowImage.fromarray(picture).convert("L").convert(mode)
    for source in (encoded(image, "TIFF"), image):
        with pytest.raises(ImageUnreadable, match="value_range"):
            read_image(source)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "AVIF", "TIFF"])
def test_the_first_of_several_frames(kind: str, picture: np.ndarray) -> None:
    gray = PillowImage.fromarray(gray_of(picture))
    frames = [gray, gray.rotate(180), gray.rotate(90)]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    got = read_image(data)
    assert got.notes[0] == f"first {'page' if kind == 'TIFF' else 'frame'} of 3"
    assert difference(got.pixels, np.stack([np.asarray(gray)] * 3, axis=2)) < 5


def test_content_decides_not_the_suffix(picture: np.ndarray, tmp_path: object) -> None:
    from pathlib import Path

    path = Path(str(tmp_path)) / "photo.jpg"
    path.write_bytes(encoded(picture, "WEBP", lossless=True))
    assert open_picture(path).format == "WebP"
    assert np.array_equal(read_image(path).pixels, picture)


def test_heic_without_its_extra_says_how_to_install_it(picture: np.ndarray, tmp_path: object) -> None:
    from pathlib import Path

    path = Path(str(tmp_path)) / "phone.heic"
    path.write_bytes(heic(picture))
    assert read_image(path).pixels.shape == picture.shape
    program = f"""
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("pillow_heif", "_pillow_heif"):
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
from lineament.core.errors import ImageFormatUnsupported
from lineament.vision.decode import open_picture
try:
    open_picture({str(path)!r})
except ImageFormatUnsupported as error:
    print(error.reason, error.message)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("image_format_unsupported ")
    assert done.stdout.strip().endswith('pip install "lineament[heic]"')
    assert done.stderr == ""


def test_pillow_heif_is_not_registered_with_pillow(picture: np.ndarray) -> None:
    program = """
import sys
from PIL import Image
from lineament.vision.decode import read_image
before = set(Image.OPEN)
read_image(sys.stdin.buffer)
print(set(Image.OPEN) - before)
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, input=heic(picture), capture_output=True, check=True)
    assert done.stdout.strip() == b"set()"


def test_known_formats_that_are_not_read() -> None:
    with pytest.raises(ImageFormatUnsupported, match="JPEG XL"):
        open_picture(b"\xff\x0a" + bytes(50))


def test_odd_notes_raise_no_warnings(picture: np.ndarray) -> None:
    broken = exif(6)[:-9] + b"\xff\xff\xff\xff"
    for kind in ("JPEG", "PNG", "WEBP"):
        data = encoded(picture, kind, exif=broken)
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            read_image(data)
        assert not seen

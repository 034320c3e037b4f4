"""Sources, limits and errors of the image intake, and pixels handed in as arrays."""

import io
import os
import pickle
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from lineament.core.errors import (
    ImageArrayInvalid,
    ImageEmpty,
    ImageError,
    ImageNotFound,
    ImageTooLarge,
    ImageTruncated,
    ImageUnreadable,
    ImageZeroSized,
    InvalidArgument,
)
from lineament.core.image import Image
from lineament.vision.decode import Picture, open_picture, read_image
from lineament.vision.from_array import check_statements
from lineament.vision.sources import Limits, read_encoded


@pytest.fixture(scope="module")
def pixels(astronaut: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(astronaut[20:120, 150:230])


@pytest.fixture(scope="module")
def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    PillowImage.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def test_every_kind_of_source_gives_the_same_picture(pixels: np.ndarray, png: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png)
    with path.open("rb") as file:
        sources = {
            str(path): str(path),
            "path": path,
            "bytes": png,
            "bytearray": bytearray(png),
            "memoryview": memoryview(png),
            "stream": io.BytesIO(png),
            "file": file,
            "pillow": PillowImage.fromarray(pixels),
        }
        names = {}
        for name, source in sources.items():
            image = read_image(source)
            assert np.array_equal(image.pixels, pixels), name
            names[name] = image.source
    assert names["path"] == str(path)
    assert names["bytes"] == names["bytearray"] == names["memoryview"] == "<bytes>"
    assert names["stream"] == names["file"] == "<stream>"
    assert names["pillow"] == "<PIL image>"
    rgb, bgr = read_image(pixels, colour="rgb"), read_image(pixels[..., ::-1], colour="bgr")
    assert np.array_equal(rgb.pixels, pixels)
    assert np.array_equal(bgr.pixels, pixels)
    assert rgb.source == "<array>"
    assert read_image(rgb) is rgb


@pytest.mark.parametrize(
    "name",
    [
        "Ricard_Sánchez_한글.png",
        "🙂 two words.png",
        "ü" * 125 + ".png"[:5],
        "a" * 251 + ".png",
        "%41?#&.png",
        "tab\t.png",
        "-r",
    ],
)
def test_any_file_name(name: str, pixels: np.ndarray, png: bytes, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(png)
    assert np.array_equal(read_image(str(path)).pixels, pixels)
    assert open_picture(path).source == str(path)


@pytest.mark.skipif(
    os.name != "posix" or os.uname().sysname == "Darwin", reason="needs names of arbitrary bytes"
)
def test_a_name_that_is_not_text(pixels: np.ndarray, png: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = os.fsdecode(os.fsencode(folder) + b"/\xff\xfe.png")
        Path(path).write_bytes(png)
        assert np.array_equal(read_image(path).pixels, pixels)


def test_paths_that_lead_nowhere(tmp_path: Path, png: bytes) -> None:
    with pytest.raises(ImageNotFound, match="no file"):
        open_picture(tmp_path / "missing.jpg")
    with pytest.raises(ImageNotFound, match="longer"):
        open_picture("a" * 5000)
    with pytest.raises(ImageError, match="folder"):
        open_picture(tmp_path)
    (tmp_path / "file").write_bytes(png)
    with pytest.raises(ImageNotFound):
        open_picture(tmp_path / "file" / "inside.jpg")
    with pytest.raises(InvalidArgument, match="empty"):
        open_picture("")
    with pytest.raises(InvalidArgument, match="zero byte"):
        open_picture("a\0b")


def test_a_file_that_may_not_be_read(tmp_path: Path, png: bytes) -> None:
    path = tmp_path / "secret.png"
    path.write_bytes(png)
    path.chmod(0)
    try:
        path.read_bytes()
    except PermissionError:
        with pytest.raises(ImageError, match="permissions"):
            open_picture(path)
    else:
        pytest.skip("this user may read everything")


@pytest.mark.parametrize(
    "address",
    [
        "https://example.org/a.jpg",
        "HTTP://x/y",
        "s3://bucket/key",
        "file:///tmp/a.jpg",
        "data:image/png;base64,AAAA",
    ],
)
def test_addresses_are_not_fetched(address: str) -> None:
    with pytest.raises(InvalidArgument, match="not fetched"):
        open_picture(address)
    if "://" in address:
        with pytest.raises((InvalidArgument, ImageNotFound)):
            open_picture(Path(address))


def test_sources_that_are_none() -> None:
    for source in (None, 3, [1, 2], {"a": 1}, object()):
        with pytest.raises(InvalidArgument, match="as a picture"):
            read_encoded(source, Limits())
    with pytest.raises(InvalidArgument, match="as text"):
        open_picture(io.StringIO("text"))
    closed = io.BytesIO(b"x")
    closed.close()
    with pytest.raises(InvalidArgument):
        open_picture(closed)


def test_empty_and_not_a_picture() -> None:
    for source in (b"", io.BytesIO(), bytearray()):
        with pytest.raises(ImageEmpty):
            open_picture(source)
    spent = io.BytesIO(b"abc")
    spent.read()
    with pytest.raises(ImageEmpty, match="rewind"):
        open_picture(spent)
    for junk in (
        b"hello",
        b"%PDF-1.7 ...",
        b"<svg></svg>",
        bytes(1000),
        b"BM but not a bitmap",
        b"GIF90a" + bytes(50),
    ):
        with pytest.raises(ImageUnreadable):
            read_image(junk)


def test_too_many_bytes_are_refused_before_they_are_read(png: bytes, tmp_path: Path) -> None:
    limits = Limits(max_bytes=len(png) - 1)
    path = tmp_path / "a.png"
    path.write_bytes(png)
    for source in (path, png, bytearray(png), memoryview(png), io.BytesIO(png)):
        with pytest.raises(ImageTooLarge, match="bytes"):
            open_picture(source, limits=limits)
    assert read_image(path, limits=Limits(max_bytes=len(png))).pixels.shape == (100, 80, 3)

    class Endless(io.RawIOBase):
        given = 0

        def read(self, size: int = -1) -> bytes:
            self.given += size
            return bytes(size)

    endless = Endless()
    with pytest.raises(ImageTooLarge):
        open_picture(endless, limits=Limits(max_bytes=5_000_000))
    assert endless.given == 5_000_001


def test_a_sparse_file_of_a_terabyte_costs_nothing(tmp_path: Path) -> None:
    path = tmp_path / "huge.png"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(ImageTooLarge):
        open_picture(path)


def test_the_pixel_limit_is_checked_before_decoding(pixels: np.ndarray, png: bytes) -> None:
    limits = Limits(max_pixels=pixels.shape[0] * pixels.shape[1] - 1)
    for source in (png, PillowImage.fromarray(pixels), Image(pixels)):
        with pytest.raises(ImageTooLarge, match="80×100"):
            open_picture(source, limits=limits)
    with pytest.raises(ImageTooLarge):
        open_picture(pixels, colour="rgb", limits=limits)
    with pytest.raises(ImageError, match="less than the 81"):
        open_picture(png, limits=Limits(min_side=81))
    for bad in ({"max_pixels": 0}, {"max_bytes": 0}, {"min_side": 0}):
        with pytest.raises(InvalidArgument):
            Limits(**bad)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF", "TIFF", "BMP", "JPEG", "AVIF", "JPEG2000", "PPM"])
def test_a_file_cut_short_is_truncated(kind: str, pixels: np.ndarray) -> None:
    buffer = io.BytesIO()
    PillowImage.fromarray(pixels).save(buffer, kind)
    data = buffer.getvalue()
    for cut in (len(data) - 1, len(data) - 5, len(data) * 3 // 4, len(data) // 2, len(data) // 4):
        with pytest.raises(ImageTruncated):
            read_image(data[:cut])


def test_a_header_that_lies_about_its_size_is_refused(pixels: np.ndarray) -> None:
    buffer = io.BytesIO()
    PillowImage.fromarray(pixels).convert("P").save(buffer, "GIF")
    data = bytearray(buffer.getvalue())
    at = data.index(b"\x2c", 13 + 3 * 256) if data[10] & 7 == 7 else data.index(b"\x2c")
    data[at + 5 : at + 9] = b"\xff\xff\xff\xff"
    with pytest.raises((ImageUnreadable, ImageTooLarge)):
        read_image(bytes(data))
    data[at + 5 : at + 9] = b"\xff\x0f\xff\x0f"
    with pytest.raises(ImageUnreadable, match="two different sizes"):
        open_picture(bytes(data)).decode()


def test_pictures_can_be_shared_and_pickled(pixels: np.ndarray, png: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png)
    picture = open_picture(path)
    with ThreadPoolExecutor(8) as pool:
        images = list(pool.map(lambda _: picture.decode().pixels, range(32)))
    assert all(np.array_equal(image, pixels) for image in images)
    again = pickle.loads(pickle.dumps(picture))  # noqa: S301
    assert isinstance(again, Picture)
    assert np.array_equal(again.decode().pixels, pixels)
    assert again.sha256 == picture.sha256
    assert "encoded" not in repr(picture)
    path.unlink()
    assert picture.decode().full_size == (100, 80)


def test_the_digest_is_that_of_the_file(png: bytes, pixels: np.ndarray) -> None:
    import hashlib

    assert open_picture(png).sha256 == hashlib.sha256(png).hexdigest()
    assert open_picture(pixels, colour="rgb").sha256 == ""
    assert open_picture(png).format == "PNG"


def test_threads_may_open_formats_that_warn(pixels: np.ndarray) -> None:
    data = []
    for kind in ("TIFF", "AVIF", "JPEG"):
        buffer = io.BytesIO()
        PillowImage.fromarray(pixels).save(buffer, kind)
        data.append(buffer.getvalue())
    barrier = threading.Barrier(8)

    def work(index: int) -> tuple[int, ...]:
        barrier.wait()
        return tuple(read_image(data[(index + i) % 3]).pixels.shape[0] for i in range(12))

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(work, range(8))) == {(100,) * 12}


# --- arrays -------------------------------------------------------------------------------------------


def test_the_colour_order_must_be_stated(pixels: np.ndarray) -> None:
    with pytest.raises(ImageArrayInvalid, match="colour="):
        read_image(pixels)
    with pytest.raises(ImageArrayInvalid, match="colour="):
        read_image(np.dstack([pixels, pixels[..., :1]]))
    with pytest.raises(InvalidArgument, match='"rgb" or "bgr"'):
        check_statements("RGB", None)


def test_gray_arrays_need_no_statement(pixels: np.ndarray) -> None:
    gray = pixels[..., 1]
    want = np.stack([gray] * 3, axis=2)
    for source in (gray, gray[..., None]):
        image = read_image(source)
        assert np.array_equal(image.pixels, want)
        assert image.notes == ("gray to RGB",)


def test_four_channels_are_laid_on_white(pixels: np.ndarray) -> None:
    alpha = np.zeros(pixels.shape[:2], np.uint8)
    alpha[:, 40:] = 255
    for colour, colours in (("rgb", pixels), ("bgr", pixels[..., ::-1])):
        image = read_image(np.dstack([colours, alpha]), colour=colour)
        assert (image.pixels[:, :40] == 255).all()
        assert np.array_equal(image.pixels[:, 40:], pixels[:, 40:])
        assert image.notes == ("transparency laid on white",)
    opaque = np.dstack([pixels[..., ::-1], np.full_like(alpha, 255)])
    assert np.array_equal(read_image(opaque, colour="bgr").pixels, pixels)


@pytest.mark.parametrize(
    ("dtype", "value_range"),
    [
        (np.float32, (0, 1)),
        (np.float64, (0, 1)),
        (np.float16, (0, 1)),
        (np.float32, (-1, 1)),
        (np.float32, (0, 255)),
        (np.uint16, (0, 65535)),
        (np.uint16, (0, 255)),
        (">f4", (0, 1)),
        (">u2", (0, 65535)),
    ],
)
def test_a_stated_range_is_scaled(dtype: type, value_range: tuple[float, float], pixels: np.ndarray) -> None:
    low, high = value_range
    scaled = pixels.astype(np.float64) / 255 * (high - low) + low
    values = (np.round(scaled) if np.dtype(dtype).kind == "u" else scaled).astype(dtype)
    image = read_image(values, colour="rgb", value_range=value_range)
    # Half precision keeps 11 bits: 1/2048 of the range is an eighth of a level.
    assert np.array_equal(image.pixels, pixels)
    assert image.notes[0].endswith("scaled to 8 bits")


@pytest.mark.parametrize(
    ("factor", "guess"),
    [(1 / 255, r"\(0, 1\)"), (1.0, r"\(0, 255\)"), (1e9, "no range"), (257.0, r"\(0, 65535\)")],
)
def test_a_float_array_without_a_range_is_refused_with_a_guess(
    factor: float, guess: str, pixels: np.ndarray
) -> None:
    with pytest.raises(ImageArrayInvalid, match=rf"value_range=.*{guess}"):
        read_image(pixels.astype(np.float32) * factor, colour="rgb")


def test_uint16_without_a_range_and_values_outside_it(pixels: np.ndarray) -> None:
    with pytest.raises(ImageArrayInvalid, match="value_range="):
        read_image(pixels.astype(np.uint16), colour="rgb")
    with pytest.raises(ImageArrayInvalid, match="outside"):
        read_image(pixels.astype(np.float32), colour="rgb", value_range=(0, 1))
    with pytest.raises(ImageArrayInvalid, match="outside"):
        read_image(pixels.astype(np.float32) - 1, colour="rgb", value_range=(0, 255))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite(value: float, pixels: np.ndarray) -> None:
    array = pixels.astype(np.float32) / 255
    array[3, 4, 1] = value
    with pytest.raises(ImageArrayInvalid, match="not finite"):
        read_image(array, colour="rgb", value_range=(0, 1))


@pytest.mark.parametrize("bad", [(1, 0), (0, 0), (0, np.nan), (0,), 5, ("a", "b"), (0, np.inf)])
def test_ranges_that_are_none(bad: object) -> None:
    with pytest.raises(InvalidArgument, match="value_range"):
        check_statements(None, bad)


@pytest.mark.parametrize("shape", [(0, 5, 3), (5, 0, 3), (0, 0), (5, 5, 0), (0, 5)])
def test_arrays_without_pixels(shape: tuple[int, ...]) -> None:
    with pytest.raises(ImageZeroSized):
        read_image(np.zeros(shape, np.uint8), colour="rgb")


@pytest.mark.parametrize(
    ("array", "says"),
    [
        (np.zeros((3, 40, 50), np.uint8), "transpose"),
        (np.zeros((2, 40, 50, 3), np.uint8), "one picture at a time"),
        (np.zeros((40, 50, 2), np.uint8), "shape"),
        (np.zeros((40, 50, 5), np.uint8), "shape"),
        (np.zeros(40, np.uint8), "shape"),
        (np.uint8(3) + np.zeros((), np.uint8), "shape"),
        (np.zeros((40, 50), bool), "bool"),
        (np.zeros((40, 50), object), "object"),
        (np.zeros((40, 50), np.int32), "int32"),
        (np.zeros((40, 50), np.int8), "int8"),
        (np.zeros((40, 50), complex), "complex"),
        (np.zeros((40, 50), "U3"), "U3"),
        (np.zeros((40, 50), [("r", "u1")]), "r"),
        (np.ma.masked_array(np.zeros((4, 5), np.uint8)), "masked"),
    ],
)
def test_arrays_that_are_no_picture(array: object, says: str) -> None:
    with pytest.raises(ImageArrayInvalid, match=says):
        read_image(np.asanyarray(array), colour="rgb", value_range=(0, 1))


def test_any_strides_work_and_nothing_is_shared(pixels: np.ndarray) -> None:
    wide = np.zeros((200, 160, 3), np.uint8)
    wide[::2, ::2] = pixels
    fixed = pixels.copy()
    fixed.flags.writeable = False
    views = [
        wide[::2, ::2],
        pixels[::-1][::-1],
        np.asfortranarray(pixels),
        fixed,
        pixels[::-1, ::-1].copy()[::-1, ::-1],
        pixels.transpose(1, 0, 2).copy().transpose(1, 0, 2),
    ]
    for view in views:
        before = view.copy()
        for colour, want in (("rgb", pixels), ("bgr", pixels[..., ::-1])):
            image = read_image(view, colour=colour)
            assert np.array_equal(image.pixels, want)
            assert not np.shares_memory(image.pixels, view)
            assert not image.pixels.flags.writeable
        assert np.array_equal(view, before)
    mine = pixels.copy()
    image = read_image(mine, colour="rgb")
    mine[:] = 0
    assert np.array_equal(image.pixels, pixels)
    gray = pixels[::-1, ::-2, 0]
    assert np.array_equal(read_image(gray).pixels[..., 0], gray)


def test_a_pillow_image_is_not_shared_either(pixels: np.ndarray) -> None:
    pillow = PillowImage.fromarray(pixels)
    image = read_image(pillow)
    pillow.paste((0, 0, 0), (0, 0, 80, 100))
    assert np.array_equal(image.pixels, pixels)
    with pytest.raises(ImageZeroSized):
        read_image(PillowImage.new("RGB", (0, 5)))

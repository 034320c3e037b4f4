"""JPEG: two decoders that agree, reduced decoding, and every way for a file to stop early."""

import contextlib
import io

import cv2
import numpy as np
import pytest
from PIL import Image as PillowImage
from PIL import JpegImagePlugin

from lineament.core.errors import (
    ImageTruncated,
    ImageUnreadable,
    ImageZeroSized,
    InvalidArgument,
    LineamentError,
)
from lineament.vision.decode import open_picture, read_image
from lineament.vision.jpeg import read_frame


def jpeg(pixels: np.ndarray, **options: object) -> bytes:
    buffer = io.BytesIO()
    PillowImage.fromarray(pixels).save(buffer, "JPEG", **{"quality": 90, **options})
    return buffer.getvalue()


@pytest.fixture(scope="module")
def photo(astronaut: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(astronaut[:301, :405])


KINDS: dict[str, dict[str, object]] = {
    "baseline": {},
    "optimised": {"optimize": True},
    "progressive": {"progressive": True},
    "4:4:4": {"subsampling": 0},
    "4:2:2": {"subsampling": 1},
    "4:2:0": {"subsampling": 2},
    "restarts": {"restart_marker_blocks": 3},
    "thumbnail": {"exif": b"Exif\0\0" + b"MM\0*\0\0\0\x08\0\0" + b"\xff\xd8\xff\xd9" * 3},
    "comment": {"comment": b"\xff\xd9 an end mark that is none"},
    "keep rgb": {"keep_rgb": True},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("at_least", [None, 203, 102, 51])
def test_pixels_are_those_of_both_decoders(kind: str, at_least: int | None, photo: np.ndarray) -> None:
    data = jpeg(photo, **KINDS[kind])
    image = open_picture(data).decode(at_least)
    by = {None: 1, 203: 2, 102: 4, 51: 8}[at_least]
    assert image.pixels.shape == (-(-301 // by), -(-405 // by), 3)
    assert image.scale == image.pixels.shape[1] / 405
    with PillowImage.open(io.BytesIO(data)) as other:
        other.draft(None, (405 // by, 301 // by))
        assert np.array_equal(image.pixels, np.asarray(other))
    flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION | {1: 0, 2: 16, 4: 32, 8: 64}[by]
    opencv = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    assert np.array_equal(image.pixels, opencv)


def test_ordinary_files_take_the_fast_way_and_others_do_not(photo: np.ndarray) -> None:
    plain = {kind: read_frame(jpeg(photo, **options), "x").plain for kind, options in KINDS.items()}
    assert plain == {kind: kind not in ("progressive", "restarts") for kind in KINDS}
    gray = np.ascontiguousarray(photo[..., 0])
    assert read_frame(jpeg(gray), "x").plain
    assert read_image(jpeg(gray)).notes == ("gray to RGB",)


@pytest.mark.parametrize("height", [1, 7, 8, 9, 16, 17, 40])
@pytest.mark.parametrize("width", [1, 7, 8, 9, 16, 17, 33])
def test_padding_is_enough_at_every_size(
    height: int, width: int, photo: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = np.ascontiguousarray(photo[100 : 100 + height, 100 : 100 + width])
    for options in ({}, {"subsampling": 0}, {"optimize": True}, {"restart_marker_blocks": 1}):
        data = jpeg(pixels, **options)
        with PillowImage.open(io.BytesIO(data)) as other:
            want = np.asarray(other)
        assert np.array_equal(read_image(data).pixels, want)
        monkeypatch.setattr("lineament.vision.decode.decode_plain", lambda *_: None)
        assert np.array_equal(read_image(data).pixels, want)
        monkeypatch.undo()


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_cut_anywhere_is_truncated(kind: str, photo: np.ndarray) -> None:
    data = jpeg(photo, **KINDS[kind])
    cuts = {3, 10, 30, len(data) - 1, len(data) - 2, *np.linspace(40, len(data) - 3, 40).astype(int).tolist()}
    for cut in cuts:
        with pytest.raises(ImageTruncated):
            read_image(data[:cut])


@pytest.mark.parametrize("kind", ["baseline", "optimised", "4:4:4", "4:2:0", "keep rgb"])
def test_a_cut_is_seen_although_an_end_mark_follows(kind: str, photo: np.ndarray) -> None:
    data = jpeg(photo, **KINDS[kind])
    for share in (0.3, 0.5, 0.9, 0.98):
        mended = data[: int(len(data) * share)] + b"\xff\xd9"
        with pytest.raises(ImageTruncated):
            read_image(mended)
        with pytest.raises(ImageTruncated):
            open_picture(mended).decode(51)


def test_a_progressive_file_without_its_colour_is_truncated(photo: np.ndarray) -> None:
    # Baseline in three scans, cut after the first, which holds brightness alone.
    data = jpeg(photo, progressive=True)
    second = data.index(b"\xff\xda", data.index(b"\xff\xda") + 2)
    assert read_image(data[:second] + b"\xff\xd9").pixels.shape == photo.shape, "coarse but complete"
    scan = data.index(b"\xff\xda")
    single = bytearray(data[:second] + b"\xff\xd9")
    single[scan + 2 : scan + 14] = b"\x00\x08\x01\x01\x00\x00\x00\x01"
    with pytest.raises(ImageTruncated, match="component"):
        read_image(bytes(single))


def test_bytes_after_the_end_do_no_harm(photo: np.ndarray) -> None:
    for options in KINDS.values():
        data = jpeg(photo, **options)
        want = read_image(data).pixels
        for tail in (b"\0" * 500, b"trailing text", data, b"\xff\xd8\xff\xe1", b"\xff"):
            assert np.array_equal(read_image(data + tail).pixels, want)


def test_stray_bytes_inside_do_no_harm(photo: np.ndarray) -> None:
    data = jpeg(photo)
    want = read_image(data).pixels
    for damaged in (
        data[:-2] + b"\x12\x34\x56" * 9 + data[-2:],
        data[:-2] + b"\xff" * 5 + data[-2:],
        data[:2] + b"\xff\xff" + data[2:],
    ):
        assert np.array_equal(read_image(damaged).pixels, want)


def test_a_lost_restart_or_stray_marker_is_not_painted_grey(photo: np.ndarray) -> None:
    data = jpeg(photo)
    middle = len(data) // 2
    for marker in (b"\xff\xd3", b"\xff\xe5", b"\xff\xfe"):
        with pytest.raises(ImageTruncated):
            read_image(data[:middle] + marker + data[middle + 2 :])


def test_nothing_is_written_about_damaged_files(photo: np.ndarray, capfd: pytest.CaptureFixture[str]) -> None:
    data = jpeg(photo)
    middle = len(data) // 2
    for damaged in (
        data[:middle],
        data[:middle] + b"\xff\xd9",
        data[:middle] + data[middle + 300 :],
        data[:middle] + b"abcdefgh" * 50 + data[middle:],
        data[:-2] + b"\x12\x34" * 30 + data[-2:],
        data[:middle] + b"\xff\xd5" + data[middle + 2 :],
        data.replace(b"JFIF\0\x01", b"JFIF\0\x07"),
        data.replace(b"\xff\xdb", b"\xff\xfe"),
    ):
        with contextlib.suppress(LineamentError):
            read_image(damaged)
    assert capfd.readouterr() == ("", "")


def test_headers_that_are_none(photo: np.ndarray) -> None:
    data = jpeg(photo)
    with pytest.raises(ImageUnreadable, match="without a picture"):
        read_image(b"\xff\xd8\xff\xd9")
    with pytest.raises(ImageUnreadable, match="never states its size"):
        read_image(data.replace(b"\xff\xc0", b"\xff\xe9"))
    with pytest.raises(ImageUnreadable):
        read_image(data.replace(b"\xff\xdb", b"\xff\xfe"))
    at = data.index(b"\xff\xc0") + 5
    with pytest.raises(ImageZeroSized):
        read_image(data[:at] + b"\0\0" + data[at + 2 :])


def test_at_least_is_never_undercut(photo: np.ndarray) -> None:
    picture = open_picture(jpeg(photo))
    for at_least in (1, 50, 51, 52, 101, 102, 103, 202, 203, 204, 404, 405, 406, 9999):
        longer = max(picture.decode(at_least).pixels.shape)
        assert longer >= min(at_least, 405)
        assert longer < 2 * at_least or longer == 51, "as small as it may be, 1/8 at the smallest"
    with pytest.raises(InvalidArgument):
        picture.decode(0)


def test_large_pictures_are_copied_out_in_strips(astronaut: np.ndarray) -> None:
    # Above 16 MiB at four bytes a pixel Pillow's memory is in several blocks.
    large = np.ascontiguousarray(np.tile(astronaut, (5, 4, 1)))
    data = jpeg(large, progressive=True)
    with JpegImagePlugin.JpegImageFile(io.BytesIO(data)) as other:
        assert np.array_equal(read_image(data).pixels, np.asarray(other))

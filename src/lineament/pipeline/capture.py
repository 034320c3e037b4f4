"""OpenCV's reader of videos, cameras and streams: opened within time limits, or refused with a reason."""

import hashlib
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8

from lineament.core.errors import (
    ImageEmpty,
    ImageError,
    ImageNotFound,
    ImageTooLarge,
    ImageUnreadable,
    LineamentError,
    StreamUnavailable,
)
from lineament.pipeline.frame import Place, StreamSettings
from lineament.pipeline.stream_name import kind_of, redacted, why_unreachable
from lineament.vision.decode import Limits

# A file that tells a player where to look for others would make FFmpeg fetch those: a file is a video or
# nothing.
_PLAYLISTS = (b"#EXTM3U", b"ffconcat", b"v=0", b"<?xml", b"<MPD", b"[playlist]")

_ENDS = 1 << 16


def open_capture(source: Place, settings: StreamSettings) -> Any:
    """OpenCV's reader of a source; errors as for `open_frames`."""
    kind = kind_of(source)
    if kind == "camera":
        capture = cv2.VideoCapture(int(str(source)))
    else:
        target = str(source) if kind == "address" else str(_video_file(Path(str(source))))
        limits: list[int] = []
        if kind == "address":
            limits = [
                cv2.CAP_PROP_OPEN_TIMEOUT_MSEC,
                max(1, round(1e3 * settings.open_timeout)),
                cv2.CAP_PROP_READ_TIMEOUT_MSEC,
                max(1, round(1e3 * settings.read_timeout)),
            ]
        capture = cv2.VideoCapture(target, cv2.CAP_FFMPEG, limits)
    try:
        if not capture.isOpened():
            raise _unusable(source, settings)
        capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)
        _check_size(capture, redacted(source), settings.limits)
    except BaseException:
        capture.release()
        raise
    return capture


def upright_rgb(capture: Any) -> UInt8[np.ndarray, "h w 3"] | None:
    """The frame that was grabbed last, or None where it cannot be decoded."""
    try:
        ok, pixels = capture.retrieve()
    except cv2.error:
        return None
    if not ok or pixels is None or not pixels.size:
        return None
    return cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB if pixels.ndim == 2 else cv2.COLOR_BGR2RGB)


def file_identity(path: Path) -> str:
    """Hex SHA-256 of a file's size, first and last 64 KiB: a long video is not read twice.

    Raises:
        ImageError: it cannot be read.
    """
    try:
        with path.open("rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            digest = hashlib.sha256(str(size).encode())
            for place in (0, max(0, size - _ENDS)):
                stream.seek(place)
                digest.update(stream.read(_ENDS))
    except OSError as error:
        raise ImageError(f"{path} cannot be read: {error.strerror or error}") from error
    return digest.hexdigest()


def _video_file(path: Path) -> Path:
    """The absolute path of a file that may be a video: FFmpeg takes names such as `concat:…` for commands."""
    try:
        if not path.exists():
            raise ImageNotFound(
                f"there is no file {redacted(path)}: name a video, the number of a camera, or an address"
            )
        if not path.is_file():
            raise ImageError(f"{path} is not a file: name a video")
        with path.open("rb") as stream:
            begin = stream.read(64).lstrip(b"\xef\xbb\xbf \r\n\t")
    except OSError as error:
        raise ImageError(f"{path} cannot be read: {error.strerror or error}") from error
    if not begin:
        raise ImageEmpty(f"{path} is empty")
    if begin.startswith(_PLAYLISTS):
        raise ImageUnreadable(f"{path} is a list of places to look at, not a video: name the video itself")
    return path.resolve()


def _unusable(source: Place, settings: StreamSettings) -> LineamentError:
    kind, shown = kind_of(source), redacted(source)
    if kind == "file":
        return ImageUnreadable(
            f"{shown} is not a video that can be read, or its codec is not one that can be"
        )
    if kind == "camera":
        return StreamUnavailable(
            f"there is no camera {source}, or another program is using it, or it may not be opened; the "
            "first camera is 0"
        )
    why = why_unreachable(str(source), settings.open_timeout)
    if why:
        return StreamUnavailable(f"{shown} cannot be reached: {why}")
    return StreamUnavailable(
        f"{shown} answers but gives no video: check its path, user and password, and that the stream is on"
    )


def _check_size(capture: Any, shown: str, limits: Limits) -> None:
    columns = float(capture.get(cv2.CAP_PROP_FRAME_WIDTH))
    rows = float(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
    if columns * rows > limits.max_pixels:
        raise ImageTooLarge(
            f"{shown} has frames of {columns:.0f}×{rows:.0f} pixels, at most {limits.max_pixels} are read"
        )

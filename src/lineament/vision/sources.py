"""From what a caller hands in to the encoded bytes, within a limit.

Strings and path objects are paths and nothing else: the content decides what a file is, never its suffix,
and nothing is fetched over a network.
"""

import errno
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
from PIL import Image as PillowImage

from lineament.core.errors import ImageEmpty, ImageError, ImageNotFound, ImageTooLarge, InvalidArgument
from lineament.core.image import Image


@runtime_checkable
class ByteStream(Protocol):
    """A file opened with 'rb', `io.BytesIO`, an upload: whatever gives bytes when read."""

    def read(self, size: int = ..., /) -> bytes:
        """Up to `size` bytes; none at the end."""
        ...


Source: TypeAlias = (
    str
    | os.PathLike[str]
    | bytes
    | bytearray
    | memoryview
    | ByteStream
    | PillowImage.Image
    | np.ndarray
    | Image
)
"""What may be opened as a picture. `bytes` are the encoded file itself, not a path."""

# Path objects fold `//` to `/`, so that the common schemes are recognised with one slash as well.
_ADDRESS = re.compile(
    r"[a-z][a-z0-9+.\-]+://|(?:https?|ftp|s3|gs|file|rtsp):/|data:[^,]{0,200},", re.IGNORECASE
)
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """How large a picture may be; what is larger is refused before memory is spent on it.

    Attributes:
        max_pixels: columns × rows of the full picture.
        max_bytes: length of the encoded file.
        min_side: rows and columns that there must be at least.
    """

    max_pixels: int = 100_000_000
    max_bytes: int = 256 * 1024 * 1024
    min_side: int = 1

    def __post_init__(self) -> None:
        if self.max_pixels < 1 or self.max_bytes < 1 or self.min_side < 1:
            raise InvalidArgument("limits count pixels and bytes: give whole numbers from 1 up")


def read_encoded(source: object, limits: Limits) -> tuple[bytes, str]:
    """The encoded bytes of a path, a byte string or a stream, and the name to report them by.

    Streams are read from where they stand to their end, and are neither rewound nor closed.

    Raises:
        ImageNotFound, ImageEmpty, ImageTooLarge, ImageError: the file cannot be read, as the message says.
        InvalidArgument: not a source of pictures, or an address instead of a path.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        data, name = _from_buffer(source, limits), "<bytes>"
    elif isinstance(source, str | os.PathLike):
        data, name = _from_path(source, limits)
    elif hasattr(source, "read"):
        data, name = _from_stream(source, limits), "<stream>"
    else:
        raise InvalidArgument(
            f"cannot open a {type(source).__name__} as a picture: "
            "give a path, bytes, a file opened with 'rb', a Pillow image or a numpy array"
        )
    if not data:
        rewind = "it may stand at its end, rewind it with seek(0)"
        hint = rewind if name == "<stream>" else "copy the picture again, or use another"
        raise ImageEmpty(f"{name} holds no bytes: {hint}")
    return data, name


def _too_many_bytes(name: str, limits: Limits) -> ImageTooLarge:
    return ImageTooLarge(
        f"{name} holds more than {limits.max_bytes} bytes: save the picture smaller, or in Python raise "
        "Limits(max_bytes=...)"
    )


def _from_buffer(source: bytes | bytearray | memoryview, limits: Limits) -> bytes:
    size = source.nbytes if isinstance(source, memoryview) else len(source)
    if size > limits.max_bytes:
        raise _too_many_bytes("<bytes>", limits)
    return source if isinstance(source, bytes) else bytes(source)


def _path_of(source: str | os.PathLike[str]) -> str:
    # A path object may answer with bytes, whatever its annotation says.
    path = os.fsdecode(os.fspath(source))
    if not path:
        raise InvalidArgument("the path of the picture is empty")
    if "\0" in path:
        raise InvalidArgument("a path cannot hold a zero byte: pass the file's content as bytes")
    if _ADDRESS.match(path):
        raise InvalidArgument(
            f"{path[:80]!r} is an address: pictures are not fetched, download it and pass its path or bytes"
        )
    return path


def _from_path(source: str | os.PathLike[str], limits: Limits) -> tuple[bytes, str]:
    path = _path_of(source)
    try:
        with Path(path).open("rb") as file:
            status = os.fstat(file.fileno())
            if stat.S_ISREG(status.st_mode) and status.st_size > limits.max_bytes:
                raise _too_many_bytes(path, limits)
            return _read_all(file, path, limits), path
    except OSError as error:
        raise _unreachable(path, error) from error
    except UnicodeEncodeError as error:
        raise InvalidArgument(f"{path!r} cannot be a file name on this machine") from error


def _unreachable(path: str, error: OSError) -> ImageError:
    shown = path if len(path) <= 300 else f"{path[:300]}…"
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return ImageNotFound(f"there is no file {shown}: check the path")
    if error.errno == errno.ENAMETOOLONG:
        return ImageNotFound(f"there is no file {shown}: the name is longer than this system allows")
    if isinstance(error, IsADirectoryError) or Path(path).is_dir():
        return ImageError(f"{shown} is a folder: give the path of one picture")
    if isinstance(error, PermissionError):
        return ImageError(f"{shown} may not be read: check its permissions")
    return ImageError(f"{shown} could not be read ({error.strerror or error}): check the disk or try again")


def _from_stream(stream: object, limits: Limits) -> bytes:
    try:
        return _read_all(stream, "<stream>", limits)
    except OSError as error:
        raise ImageError(f"the stream could not be read ({error})") from error
    except ValueError as error:
        raise InvalidArgument(f"the stream cannot be read ({error}): pass an open file") from error


def _read_all(stream: object, name: str, limits: Limits) -> bytes:
    """Everything from here to the end, one byte over the limit at most."""
    read = getattr(stream, "read", None)
    if not callable(read):
        raise InvalidArgument(f"{name} cannot be read")
    parts: list[bytes] = []
    left = limits.max_bytes + 1
    while left > 0:
        part = read(min(left, _CHUNK))
        if isinstance(part, str):
            raise InvalidArgument(f"{name} was opened as text: open it with 'rb'")
        if part is None or not isinstance(part, bytes | bytearray | memoryview):
            raise ImageError(f"{name} gave no bytes: pass a blocking stream of bytes")
        if not part:
            return parts[0] if len(parts) == 1 else b"".join(parts)
        # A stream that gives more than was asked for must not get past the limit.
        parts.append(bytes(part))
        left -= len(part)
    raise _too_many_bytes(name, limits)

"""Pictures that lie in a zip, which is never unpacked: each is read when it is asked for.

The zip comes from a stranger. Names that point outside, two pictures of one name, encryption and links are
refused when it is opened; what a member unpacks to is limited and compared with what it announced.
"""

import stat
import threading
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Final

from lineament.core.errors import DatasetInvalid, ImageEmpty, ImageError, ImageNotFound, ImageTooLarge
from lineament.datasets.port import MAX_PICTURE_BYTES
from lineament.vision.containers import PICTURE_SUFFIXES, sniff

MAX_ENTRIES: Final = 5_000_000
_ENCRYPTED: Final = 0x1
_UTF8_NAME: Final = 0x800
_MARK_BYTES: Final = 64
# zipfile says NotImplementedError of a compression it lacks, RuntimeError of an encrypted member.
BROKEN: Final = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    OSError,
)


class ZipPictures:
    """Every picture of a zip, by suffix or by content. Hidden files and `__MACOSX` are passed over.

    Args:
        path: the zip.

    Raises:
        DatasetInvalid: not a zip, damaged, encrypted, without pictures, or with names that may not be.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._zip = open_zip(path)
        try:
            members = members_of(self._zip, path)
            self._members = {
                name: members[name] for name in sorted(members) if self._wanted(name, members[name])
            }
            if not self._members:
                raise DatasetInvalid(f"there is no picture in {path}: name the zip that holds them")
        except BaseException:
            self._zip.close()
            raise

    @property
    def names(self) -> Sequence[str]:
        """Names inside the zip, sorted, with `/` between folders."""
        return tuple(self._members)

    def read(self, name: str) -> bytes:
        """The picture's bytes; one thread at a time.

        Raises:
            ImageNotFound: no such picture in the zip.
            ImageEmpty, ImageTooLarge: no bytes, or too many.
            ImageError: the zip is damaged at that place.
        """
        info = self._members.get(name)
        if info is None:
            raise ImageNotFound(f"there is no picture {name} in {self.path}: check the name")
        with self._lock:
            data = read_member(self._zip, info, f"{name} in {self.path}")
        if not data:
            raise ImageEmpty(f"{name} in {self.path} holds no bytes: pack it again")
        return data

    def stamp(self, name: str) -> str:
        """Size and checksum that the zip notes; empty when it has no such picture."""
        info = self._members.get(name)
        return "" if info is None else f"{info.file_size} {info.CRC:08x}"

    def describe(self) -> str:
        """Name of the zip and how many pictures it holds."""
        return f"{self.path.name}: zip of {len(self._members)} pictures"

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._zip.close()

    def _wanted(self, name: str, info: zipfile.ZipInfo) -> bool:
        if PurePosixPath(name).suffix.lower() in PICTURE_SUFFIXES:
            return True
        try:
            with self._zip.open(info) as stream:
                return sniff(stream.read(_MARK_BYTES)) is not None
        except BROKEN as error:
            raise _damaged(self.path, error) from error


def open_zip(path: Path) -> zipfile.ZipFile:
    """A zip opened for reading.

    Raises:
        DatasetInvalid: there is none, or it is damaged.
    """
    try:
        return zipfile.ZipFile(path)
    except BROKEN as error:
        raise _damaged(path, error) from error


def read_member(opened: zipfile.ZipFile, info: zipfile.ZipInfo, name: str) -> bytes:
    """One member, whole; never more than `MAX_PICTURE_BYTES`, whatever it announces.

    Raises:
        ImageTooLarge: more bytes than a picture may have.
        ImageError: the zip is damaged at that place.
    """
    too_large = f"{name} unpacks to more than {MAX_PICTURE_BYTES} bytes: it is left unread"
    if info.file_size > MAX_PICTURE_BYTES:
        raise ImageTooLarge(too_large)
    try:
        with opened.open(info) as stream:
            data = stream.read(MAX_PICTURE_BYTES + 1)
    except BROKEN as error:
        raise ImageError(f"{name} cannot be unpacked ({error}): get the zip again") from error
    if len(data) > MAX_PICTURE_BYTES:
        raise ImageTooLarge(too_large)
    if len(data) != info.file_size:
        raise ImageError(
            f"{name} announces {info.file_size} bytes and unpacks to {len(data)}: get the zip again"
        )
    return data


def members_of(opened: zipfile.ZipFile, path: Path) -> dict[str, zipfile.ZipInfo]:
    """Files of a zip by their names with `/`, without hidden ones and the shadow files of macOS.

    Raises:
        DatasetInvalid: too many, encrypted, links, names that point outside, or two files of one name.
    """
    entries = opened.infolist()
    if len(entries) > MAX_ENTRIES:
        raise DatasetInvalid(f"{path} holds {len(entries)} files, more than {MAX_ENTRIES}: split it")
    found: dict[str, zipfile.ZipInfo] = {}
    for info in entries:
        name = safe_name(_readable(info), f"{path} names a file outside itself")
        if stat.S_ISLNK(info.external_attr >> 16):
            raise DatasetInvalid(f"{path} holds a link ({name!r}): pack the files themselves")
        if not name or info.is_dir() or _hidden(name):
            continue
        if info.flag_bits & _ENCRYPTED:
            raise DatasetInvalid(f"{path} is encrypted ({name!r}): unpack it and name the folder")
        if name in found:
            raise DatasetInvalid(f"{path} holds {name!r} twice: pack it again without the wrong one")
        found[name] = info
    return found


def safe_name(name: str, what: str) -> str:
    """A relative name with `/` between its parts, however it was written.

    Raises:
        DatasetInvalid: absolute, with a drive, or with a `..` in it; `what` begins the message.
    """
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
    absolute = name.startswith(("/", "\\")) or (bool(parts) and parts[0][1:2] == ":")
    if absolute or ".." in parts or "\0" in name:
        raise DatasetInvalid(f"{what} ({name!r}): do not use it")
    return "/".join(parts)


def _readable(info: zipfile.ZipInfo) -> str:
    """The name as it was meant: writers that forget to mark their UTF-8 are read as code page 437."""
    if info.flag_bits & _UTF8_NAME or info.filename.isascii():
        return info.filename
    try:
        return info.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return info.filename


def _hidden(name: str) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))


def _damaged(path: Path, error: Exception) -> DatasetInvalid:
    if isinstance(error, OSError):
        return DatasetInvalid(f"cannot read {path}: {error.strerror or error}")
    return DatasetInvalid(f"{path} is not a readable zip ({error}): get the file again")

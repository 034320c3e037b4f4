"""Pictures that lie in a folder."""

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from lineament.core.errors import DatasetInvalid, ImageNotFound
from lineament.vision.containers import PICTURE_SUFFIXES, sniff
from lineament.vision.sources import Limits, read_encoded

# How far into a file of another suffix one looks for the mark of a picture.
_MARK_BYTES = 64


class FolderPictures:
    """Every photograph under a folder, by suffix or by content. Hidden files and folders are passed over.

    A photograph that turns out unreadable keeps its name, so that it counts as a failure later instead of
    vanishing from the data.

    Args:
        folder: where to look, folders below included; links to folders are not followed.

    Raises:
        DatasetInvalid: no photograph there, or a folder that cannot be looked into.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._paths = dict(sorted(_walk(folder)))
        if not self._paths:
            raise DatasetInvalid(f"there is no photograph under {folder}: name the folder that holds them")

    @property
    def names(self) -> Sequence[str]:
        """Paths relative to the folder, sorted, with `/` on every system."""
        return tuple(self._paths)

    def read(self, name: str) -> bytes:
        """The file's bytes; only names that were found, so that no name leads out of the folder.

        Raises:
            ImageNotFound, ImageEmpty, ImageTooLarge, ImageError: as for a single photograph.
        """
        path = self._paths.get(name)
        if path is None:
            raise ImageNotFound(f"there is no photograph {name} in {self.folder}: check the name")
        return read_encoded(path, Limits())[0]

    def stamp(self, name: str) -> str:
        """Size and time of the last change; empty when the file is not there."""
        try:
            status = self._paths[name].stat()
        except (KeyError, OSError):
            return ""
        return f"{status.st_size} {status.st_mtime_ns}"

    def describe(self) -> str:
        """Name of the folder and how many photographs it holds."""
        return f"{self.folder.resolve().name}: folder of {len(self._paths)} photographs"

    def close(self) -> None:
        """Nothing is held open."""


def _walk(folder: Path) -> Iterator[tuple[str, Path]]:
    for place, folders, names in os.walk(folder, onerror=_unreachable):
        folders[:] = [f for f in folders if not f.startswith(".") and f != "__MACOSX"]
        for name in names:
            path = Path(place, name)
            if not name.startswith(".") and _is_picture(path):
                yield path.relative_to(folder).as_posix(), path


def _unreachable(error: OSError) -> NoReturn:
    raise DatasetInvalid(
        f"cannot look into {error.filename}: {error.strerror or error}; check that the folder is there and "
        "may "
        "be read"
    ) from error


def _is_picture(path: Path) -> bool:
    if path.suffix.lower() in PICTURE_SUFFIXES:
        # A link that leads nowhere is a photograph that cannot be read, not one that was never meant.
        return path.is_symlink() or path.is_file()
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return False
        with path.open("rb") as stream:
            return sniff(stream.read(_MARK_BYTES)) is not None
    except OSError:
        return False

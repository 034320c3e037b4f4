"""Opening a set of pictures, wherever it lies: a folder, a zip, a pair file."""

import zipfile
from pathlib import Path

from lineament.core.errors import DatasetInvalid
from lineament.datasets.bin_pairs import read_bin
from lineament.datasets.folders import FolderPictures
from lineament.datasets.pairs_archive import LISTING, read_pairs_archive
from lineament.datasets.port import Pictures
from lineament.datasets.zipped import ZipPictures, open_zip
from lineament.vision.containers import sniff

__all__ = ["FolderPictures", "Pictures", "ZipPictures", "open_pictures"]

_MARK_BYTES = 64
# Protocol 2 and later begin with their version; 0 and 1 with a mark, and 1 perhaps with a list.
_PICKLES = (b"\x80", b"(", b"]")


def open_pictures(path: Path) -> Pictures:
    """The pictures at a path; what it is, its content says. Close them when done.

    Args:
        path: a folder, looked through with all folders below; a zip, which is not unpacked; a pair file
            (`.bin`) or an archive of pairs (`.lnpairs`).

    Raises:
        DatasetInvalid: nothing there, none of these, or no picture in it.
        DatasetUnsafe: a pair file that asks for code to be run.
    """
    if path.is_dir():
        return FolderPictures(path)
    try:
        with path.open("rb") as stream:
            head = stream.read(_MARK_BYTES)
    except OSError as error:
        raise DatasetInvalid(f"cannot read {path}: {error.strerror or error}; check the path") from error
    if zipfile.is_zipfile(path):
        return read_pairs_archive(path)[1] if _is_archive(path) else ZipPictures(path)
    if head.startswith(_PICKLES):
        return read_bin(path)[1]
    what = "one picture" if sniff(head) else "none of these"
    raise DatasetInvalid(
        f"{path} is {what}: name a folder, a zip, or a pair file (.bin, .lnpairs) of pictures"
    )


def _is_archive(path: Path) -> bool:
    with open_zip(path) as opened:
        return LISTING in opened.namelist()

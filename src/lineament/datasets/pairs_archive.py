"""Pairs with their pictures in one file that can be opened without care: a zip of JSON and pictures.

`pairs.json` holds the schema version, the pairs, and the SHA-256 digest of each picture; the pictures lie
beside it under `pictures/`. Nothing is compressed, for encoded pictures do not shrink. The suffix is
`.lnpairs`.
"""

import hashlib
import json
import threading
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, cast

import numpy as np

from lineament.core.errors import DatasetInvalid, ImageError, ImageNotFound
from lineament.core.files import replacing
from lineament.datasets.pairs import Pairs, resolve
from lineament.datasets.port import Pictures
from lineament.datasets.tables import shown
from lineament.datasets.zipped import members_of, open_zip, read_member, safe_name

SCHEMA: Final = 1
FORMAT: Final = "lineament pairs"
LISTING: Final = "pairs.json"
FOLDER: Final = "pictures/"
# The same content gives the same file, whenever it is written.
_DATE: Final = (1980, 1, 1, 0, 0, 0)
_FIELDS: Final = ("a", "b", "mated", "fold", "subject_a", "subject_b")


def write_pairs_archive(path: Path, pairs: Pairs, pictures: Pictures) -> None:
    """Write pairs and the pictures they name into one file, whole or not at all.

    Pictures that the set lacks are listed as missing, so that they count as failures later.

    Args:
        path: where; by custom with the suffix `.lnpairs`.
        pairs: the list.
        pictures: where its pictures are; names are matched as `resolve` does.

    Raises:
        DatasetInvalid: a name that would lead out of the archive, or none of the pictures is there.
        ImageError: a picture cannot be read.
        OutputFailed: the place cannot be written.
    """
    for name in pairs.samples:
        if safe_name(name, f"{pairs.name} names a file outside itself") != name or not _writable(name):
            raise DatasetInvalid(
                f"{pairs.name} names {name!r}, which cannot be a name in an archive: rename it"
            )
    found = resolve(pairs, pictures)
    if not found:
        raise DatasetInvalid(f"none of the pictures of {pairs.name} is in {pictures.describe()}")
    with replacing(path) as stream, zipfile.ZipFile(stream, "w") as archive:
        digests: dict[str, str] = {}
        for name in pairs.samples:
            if name in found:
                data = pictures.read(found[name])
                digests[name] = hashlib.sha256(data).hexdigest()
                archive.writestr(zipfile.ZipInfo(FOLDER + name, _DATE), data)
        listing = json.dumps(_listing(pairs, digests), ensure_ascii=False, indent=0)
        archive.writestr(zipfile.ZipInfo(LISTING, _DATE), listing)


def _writable(name: str) -> bool:
    try:
        return bool(name.encode("utf-8"))
    except UnicodeEncodeError:
        return False


def _listing(pairs: Pairs, digests: dict[str, str]) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "schema": SCHEMA,
        "name": pairs.name,
        "digest": pairs.digest,
        "pairs": {
            "a": pairs.a,
            "b": pairs.b,
            "mated": pairs.mated.tolist(),
            "fold": None if pairs.fold is None else pairs.fold.tolist(),
            "subject_a": pairs.subject_a,
            "subject_b": pairs.subject_b,
        },
        "pictures": digests,
        "missing": [name for name in pairs.samples if name not in digests],
    }


class ArchivePictures:
    """Pictures of an archive, each compared with its digest when it is read.

    Args:
        path: of the archive.
        opened: the zip.
        members: where each picture lies, by name.
        digests: hex SHA-256 of each.
    """

    def __init__(
        self,
        path: Path,
        opened: zipfile.ZipFile,
        members: dict[str, zipfile.ZipInfo],
        digests: dict[str, str],
    ) -> None:
        self.path = path
        self._zip, self._members, self._digests = opened, members, digests
        self._lock = threading.Lock()

    @property
    def names(self) -> Sequence[str]:
        """The names that the pairs use, sorted."""
        return tuple(self._members)

    def read(self, name: str) -> bytes:
        """The encoded picture; one thread at a time.

        Raises:
            ImageNotFound: there is no picture of that name.
            ImageTooLarge, ImageError: it cannot be read, or is not the picture that was written.
        """
        info = self._members.get(name)
        if info is None:
            raise ImageNotFound(f"there is no picture {name} in {self.path}: check the name")
        with self._lock:
            data = read_member(self._zip, info, f"{name} in {self.path}")
        if hashlib.sha256(data).hexdigest() != self._digests[name]:
            raise ImageError(f"{name} in {self.path} is not the picture that was written: get the file again")
        return data

    def stamp(self, name: str) -> str:
        """Size and checksum that the zip notes; empty when it has no such picture."""
        info = self._members.get(name)
        return "" if info is None else f"{info.file_size} {info.CRC:08x}"

    def describe(self) -> str:
        """Name of the archive and how many pictures it holds."""
        return f"{self.path.name}: archive of {len(self._members)} pictures"

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._zip.close()


def read_pairs_archive(path: Path) -> tuple[Pairs, ArchivePictures]:
    """Pairs and pictures of an archive; close the pictures when done.

    Raises:
        DatasetInvalid: not such an archive, of another schema, changed, or with files that it does not list.
    """
    opened = open_zip(path)
    try:
        members = members_of(opened, path)
        if LISTING not in members:
            raise DatasetInvalid(f"{path} holds no {LISTING}: it is not an archive of pairs")
        pairs, digests = _parsed(_listing_of(opened, members.pop(LISTING), path), path)
        due = {FOLDER + name: name for name in digests}
        if due.keys() != members.keys():
            odd = shown(sorted(due.keys() ^ members.keys()))
            raise DatasetInvalid(f"{path} lists other pictures than it holds ({odd}): get the file again")
        by_name = {due[member]: members[member] for member in sorted(due)}
    except BaseException:
        opened.close()
        raise
    return pairs, ArchivePictures(path, opened, by_name, digests)


def _listing_of(opened: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> dict[str, Any]:
    try:
        body = json.loads(read_member(opened, info, f"{LISTING} in {path}"))
    except ImageError as error:
        raise DatasetInvalid(error.message) from error
    except (ValueError, RecursionError) as error:
        raise DatasetInvalid(f"{LISTING} in {path} is not JSON ({error}): get the file again") from error
    if not isinstance(body, dict) or body.get("format") != FORMAT:
        raise DatasetInvalid(f"{LISTING} in {path} is not the listing of an archive of pairs")
    if body.get("schema") != SCHEMA:
        raise DatasetInvalid(
            f"{path} has schema {body.get('schema')!r} and this version reads {SCHEMA}: write it again with "
            "this one"
        )
    return cast(dict[str, Any], body)


def _parsed(body: dict[str, Any], path: Path) -> tuple[Pairs, dict[str, str]]:
    try:
        columns = [_column(body["pairs"][field], field) for field in _FIELDS]
        a, b, mated, fold, subject_a, subject_b = columns
        pairs = Pairs(
            str(body["name"]),
            tuple(a or ()),
            tuple(b or ()),
            np.array(mated or (), dtype=np.bool_),
            None if fold is None else np.array(fold, dtype=np.int32),
            None if subject_a is None else tuple(subject_a),
            None if subject_b is None else tuple(subject_b),
        )
        digests = {str(name): str(digest) for name, digest in body["pictures"].items()}
        missing = set(body["missing"])
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise DatasetInvalid(f"{LISTING} in {path} is not laid out as its schema says ({error})") from error
    if pairs.digest != body.get("digest"):
        raise DatasetInvalid(f"{path} does not hold the pairs that were written: get the file again")
    if digests.keys() | missing != set(pairs.samples) or digests.keys() & missing:
        raise DatasetInvalid(f"{path} lists other pictures than its pairs name: get the file again")
    return pairs, digests


def _column(values: Any, field: str) -> list[Any] | None:
    """A list of the type that its column has, or None where a column may be left out."""
    kind = {"mated": bool, "fold": int}.get(field, str)
    if values is None and field not in ("a", "b", "mated"):
        return None
    listed = cast(list[Any], values)
    if not isinstance(values, list) or any(type(value) is not kind for value in listed):
        raise ValueError(f"{field!r} is not a list of {kind.__name__}")
    return listed

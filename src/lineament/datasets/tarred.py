"""Pictures that lie in a tar: as WebDataset packs them, or one folder per person. Never unpacked.

WebDataset (Aizman et al. 2019) puts what belongs together side by side under one key, the name up to its
first dot: `000017.jpg` with `000017.cls`, the number of the person as text, or `000017.json`, whose `label`
it is. Offsets of all members are noted when the tar is opened; afterwards any picture is one read, and
threads read at the same time. (POSIX ustar and pax, GNU long names; the headers are read by `tarfile`.)
"""

import json
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Final, cast, final

from lineament.core.errors import DatasetInvalid, ImageEmpty, ImageNotFound, ImageTooLarge
from lineament.datasets.port import MAX_PICTURE_BYTES
from lineament.datasets.random_access import RandomAccess
from lineament.datasets.zipped import safe_name
from lineament.vision.containers import PICTURE_SUFFIXES, sniff

_LABELS: Final = (".cls", ".json")
_BLOCK: Final = 512
_USTAR: Final = slice(257, 262)
_MARK_BYTES: Final = 64
_MAX_LABEL_BYTES: Final = 1 << 20
_COMPRESSED: Final = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
}


@final
class TarPictures:
    """Every picture of one tar or of several shards, and the labels beside them.

    Args:
        paths: of the tars; together they are one set, in which every name is there once.

    Attributes:
        labels: the label of every picture by its name, as text; empty where pictures lie in folders instead.

    Raises:
        DatasetInvalid: not a tar, compressed, damaged, without pictures, or with some pictures labelled and
            others not.
    """

    def __init__(self, *paths: Path) -> None:
        if not paths:
            raise DatasetInvalid("no tar was named")
        self._files: list[RandomAccess] = []
        self._members: dict[str, tuple[int, int, int]] = {}
        try:
            notes: dict[str, str] = {}
            for path in paths:
                self._files.append(RandomAccess(path))
                self._add(len(self._files) - 1, notes)
            if not self._members:
                raise DatasetInvalid(f"there is no picture in {paths[0]}: name the tar that holds them")
            self._members = dict(sorted(self._members.items()))
            self.labels: Mapping[str, str] = self._labelled(notes)
        except BaseException:
            self.close()
            raise

    @property
    def names(self) -> Sequence[str]:
        """Names inside the tar, sorted, with `/` between folders."""
        return tuple(self._members)

    def read(self, name: str) -> bytes:
        """The picture's bytes; several threads may read at once.

        Raises:
            ImageNotFound: no such picture.
            ImageEmpty, ImageTooLarge: no bytes, or too many.
            DatasetInvalid: the file became shorter, or the disk cannot read it.
        """
        member = self._members.get(name)
        if member is None:
            raise ImageNotFound(f"there is no picture {name} in {self._files[0].path}: check the name")
        number, offset, size = member
        if not size:
            raise ImageEmpty(f"{name} in {self._files[number].path} holds no bytes: pack it again")
        if size > MAX_PICTURE_BYTES:
            raise ImageTooLarge(f"{name} has more than {MAX_PICTURE_BYTES} bytes: it is left unread")
        return self._files[number].read(offset, size)

    def stamp(self, name: str) -> str:
        """Where the picture lies and how long it is; empty when there is none of that name."""
        return " ".join(map(str, self._members[name])) if name in self._members else ""

    def describe(self) -> str:
        """Name of the tar and how many pictures it holds."""
        first = self._files[0].path
        what = first.name if len(self._files) == 1 else f"{first.parent.resolve().name}"
        shards = "tar" if len(self._files) == 1 else f"{len(self._files)} tars"
        return f"{what}: {shards} of {len(self._members)} pictures"

    def close(self) -> None:
        """Close the files."""
        for file in self._files:
            file.close()

    def _add(self, number: int, notes: dict[str, str]) -> None:
        file = self._files[number]
        for name, offset, size in _members(file):
            suffix = PurePosixPath(name).suffix.lower()
            if suffix in _LABELS:
                if (label := _label(file, name, offset, size)) is not None:
                    _put(notes, _key(name), label, name, file.path)
            elif suffix in PICTURE_SUFFIXES or sniff(file.read(offset, min(size, _MARK_BYTES))):
                if name in self._members:
                    raise DatasetInvalid(
                        f"{file.path} holds {name!r}, which was there before: keep one of them"
                    )
                self._members[name] = (number, offset, size)

    def _labelled(self, notes: Mapping[str, str]) -> dict[str, str]:
        if not notes:
            return {}
        found = {name: notes.get(_key(name)) for name in self._members}
        if lacking := [name for name, label in found.items() if label is None]:
            raise DatasetInvalid(
                f"{len(lacking)} of {len(found)} pictures have no label beside them ({lacking[0]!r} is the "
                "first): put KEY.cls, or KEY.json with a label, beside each KEY.jpg, or beside none"
            )
        return cast(dict[str, str], found)


def looks_like_tar(head: bytes) -> bool:
    """Whether a file that begins so is a tar; 512 bytes are enough.

    Raises:
        DatasetInvalid: it is compressed.
    """
    for mark, kind in _COMPRESSED.items():
        if head.startswith(mark):
            raise DatasetInvalid(
                f"the file is compressed with {kind}, so that no picture can be read without all before it: "
                "unpack that layer first (pictures hardly shrink by it), for example with gunzip"
            )
    return head[_USTAR] == b"ustar"


def _members(file: RandomAccess) -> Iterator[tuple[str, int, int]]:
    """(name, offset, size) of every file, hidden ones passed over."""
    try:
        if not looks_like_tar(file.read(0, min(_BLOCK, file.size))):
            raise DatasetInvalid("it is no tar")
    except DatasetInvalid as error:
        raise DatasetInvalid(f"{file.path}: {error.message}") from error
    try:
        with tarfile.open(file.path, "r:", errorlevel=0) as archive:
            while (member := archive.next()) is not None:
                # Millions of them would fill the memory: nothing here asks for them again.
                cast(Any, archive).members.clear()
                if member.issym() or member.islnk():
                    raise DatasetInvalid(
                        f"{file.path} holds a link ({member.name!r}): pack the files themselves"
                    )
                if member.offset_data + member.size > file.size:
                    raise _cut(file, member.offset)
                name = safe_name(member.name, f"{file.path} names a file outside itself")
                hidden = any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))
                if member.isfile() and not member.issparse() and name and not hidden:
                    yield name, member.offset_data, member.size
            end = archive.offset
    except (tarfile.TarError, OSError, ValueError) as error:
        raise DatasetInvalid(f"{file.path} is a damaged tar ({error}): get it again") from error
    _check_end(file, end)


def _check_end(file: RandomAccess, end: int) -> None:
    """`tarfile` takes anything that is no header for the end: only an end mark is one."""
    if end + _BLOCK > file.size:
        raise _cut(file, end)
    for at in range(end, file.size, 1 << 20):
        if any(file.read(at, min(1 << 20, file.size - at))):
            raise DatasetInvalid(
                f"{file.path}, byte {end}: neither a file nor the end of the tar; it is damaged, or several "
                "tars were put one after the other: get it again, or name them one by one in a folder"
            )


def _cut(file: RandomAccess, offset: int) -> DatasetInvalid:
    return DatasetInvalid(
        f"{file.path} stops at byte {offset}, before its end mark: get the whole file again"
    )


def _key(name: str) -> str:
    folder, slash, last = name.rpartition("/")
    return folder + slash + last.partition(".")[0]


def _put(notes: dict[str, str], key: str, label: str, name: str, path: Path) -> None:
    if notes.setdefault(key, label) != label:
        raise DatasetInvalid(
            f"{path}: {name!r} says {label!r}, and another file of the same key {notes[key]!r}"
        )


def _label(file: RandomAccess, name: str, offset: int, size: int) -> str | None:
    """What a `.cls` or `.json` member says; None for JSON without a label."""
    where = f"{file.path}, {name!r}"
    if size > _MAX_LABEL_BYTES:
        raise DatasetInvalid(f"{where}: {size} bytes are no label")
    try:
        text = file.read(offset, size).decode("utf-8").strip()
        if name.lower().endswith(".cls"):
            value: Any = text
        else:
            document: Any = json.loads(text)
            value = cast(dict[str, Any], document).get("label") if isinstance(document, dict) else None
            if value is None:
                return None
    except ValueError as error:
        raise DatasetInvalid(f"{where}: not a label in UTF-8 text ({error})") from error
    if isinstance(value, bool) or not isinstance(value, (str, int)) or value == "":
        raise DatasetInvalid(f"{where}: {value!r} is no label: give the person's number or name")
    return str(value)

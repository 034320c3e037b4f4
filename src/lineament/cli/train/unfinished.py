"""Crops made so far, so that a stopped `lineament train prepare` goes on where it was.

A private folder beside the output: a journal (one line a photograph) and one file that all crops are appended
to. A crop is written before its line, so that whatever a stop or a power failure spoils is done again.
"""

import hashlib
import os
import zlib
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, cast, final

from lineament.cli.journal import Journal, Stamp
from lineament.core.errors import InvalidArgument, OutputFailed
from lineament.pipeline.crops import EncodedCrop

JOURNAL, CROPS = "journal", "crops"
# So that nobody who looks through folders takes the file for one picture.
_MARK = b"crops of lineament train prepare\n"


@final
class Unfinished:
    """The folder, open and locked while it is used as a context.

    Args:
        folder: made when absent, readable by its owner only: it holds faces.
        head: the settings that shape every crop, as plain JSON values by name.

    Raises:
        InvalidArgument: on entering: it was begun with other settings, another process is at work in it, or
            it is something else.
        OutputFailed: it cannot be opened, or (later) not be written.
    """

    def __init__(self, folder: Path, head: dict[str, Any]) -> None:
        self.folder = folder
        self._journal = Journal(folder / JOURNAL, head)
        self._file: BinaryIO | None = None

    def __enter__(self) -> "Unfinished":
        begun = _make(self.folder)
        self._journal.__enter__()
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
            flags |= 0 if begun else os.O_TRUNC
            self._file = os.fdopen(os.open(self.folder / CROPS, flags, 0o600), "r+b", buffering=0)
            if not self._end():
                self._append(_MARK)
        except OSError as error:
            self.__exit__(None, None, None)
            raise _failed(self.folder, error) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
        self._journal.__exit__(kind, error, trace)

    def has(self, name: str, stamp: str) -> bool:
        """Whether this very photograph, unchanged, is done."""
        return self._journal.has(name, _number(stamp))

    def add(self, made: EncodedCrop, stamp: str) -> None:
        """Note one photograph as done.

        Args:
            made: what became of it.
            stamp: of the photograph before it was worked on.
        """
        record: dict[str, Any] = {"faces": made.faces}
        if made.content is None:
            record |= {"reason": made.reason, "message": made.message}
        else:
            try:
                record |= {"at": self._end(), "bytes": len(made.content), "crc": zlib.crc32(made.content)}
                self._append(made.content)
            except OSError as error:
                raise _failed(self.folder, error) from error
        self._journal.add(made.name, _number(stamp), record)

    def get(self, name: str, *, content: bool = True) -> EncodedCrop:
        """What became of a photograph that is done.

        Args:
            name: of the photograph.
            content: whether the crop itself is read; without, `content` is empty bytes where there is one.

        Raises:
            OutputFailed: the crops are not what they were when they were written.
        """
        record = next(self._journal.records([name]))
        if "at" not in record:
            return EncodedCrop(name, None, record["reason"], record["message"], record["faces"])
        if not content:
            return EncodedCrop(name, b"", faces=record["faces"])
        file = cast(BinaryIO, self._file)
        try:
            file.seek(record["at"])
            found = file.read(record["bytes"])
        except OSError as error:
            raise _failed(self.folder, error) from error
        if zlib.crc32(found) != record["crc"]:
            raise OutputFailed(
                f"{self.folder} is damaged at the crop of {name}: delete that folder and start again"
            )
        return EncodedCrop(name, found, faces=record["faces"])

    def remove(self) -> None:
        """Forget it: the output has everything."""
        if self._file is not None:
            self._file.close()
            self._file = None
        with suppress(OSError):  # what stays behind is private and marked as unfinished
            (self.folder / CROPS).unlink(missing_ok=True)
            self._journal.remove()
            self.folder.rmdir()

    def _end(self) -> int:
        return cast(BinaryIO, self._file).seek(0, os.SEEK_END)

    def _append(self, data: bytes) -> None:
        file, rest = cast(BinaryIO, self._file), memoryview(data)
        while rest:
            rest = rest[file.write(rest) :]


def _make(folder: Path) -> bool:
    """Make the folder; whether work in it has begun before."""
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        names = {entry.name for entry in folder.iterdir()}
    except OSError as error:
        raise _failed(folder, error) from error
    if names and JOURNAL not in names and names != {CROPS}:
        raise InvalidArgument(
            f"{folder} is in the way: it is no unfinished work of lineament train prepare, and is left as it "
            "is; move it, or name another output"
        )
    return JOURNAL in names


def _number(stamp: str) -> Stamp:
    """A stamp of a set of pictures as the numbers that a journal keeps."""
    return len(stamp), int.from_bytes(hashlib.sha256(stamp.encode()).digest()[:7])


def _failed(folder: Path, error: OSError) -> OutputFailed:
    return OutputFailed(
        f"cannot use {folder}, where unfinished work is kept: {error.strerror or error}; name an output in a "
        "folder that exists and that you may write to"
    )

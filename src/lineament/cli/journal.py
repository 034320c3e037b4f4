"""What a long job has done so far, so that the same command goes on where it was stopped.

One JSON line an item, appended beside the table it will become. The file is never rewritten: what a stop or
a power failure can spoil is its last line, which is cut off at the next start. An exclusive lock keeps a
second process away, and a file that is no such journal is left as it is.
"""

import json
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, cast

from lineament.core.errors import InvalidArgument, OutputFailed

KIND = {"file": "journal of lineament embed", "version": 1}

LONGEST_HEAD = 1 << 20  # bytes; a foreign file may have no line ends at all

Stamp = tuple[int, int]
"""Size in bytes and time of the last change in nanoseconds: a file whose stamp differs is done again."""


class Journal:
    """The journal, open and locked while it is used as a context; use it in no other way.

    In memory are only names, stamps and places; the records stay in the file.

    Args:
        path: the file.
        head: the settings that shape every record, as plain JSON values by name.

    Raises:
        InvalidArgument: on entering: the journal was begun with other settings, another process holds it, or
            the file is something else.
        OutputFailed: it cannot be opened, or (later) not be written.
    """

    def __init__(self, path: Path, head: dict[str, Any]) -> None:
        self.path = path
        self.head = cast(dict[str, Any], json.loads(json.dumps(KIND | head)))
        self._done: dict[str, tuple[Stamp, int]] = {}
        self._handle = -1
        self._reader: BinaryIO | None = None
        self._lock_file: Path | None = None

    def __enter__(self) -> "Journal":
        try:
            self._handle = self._open()
            self._reader = self.path.open("rb")
            self._read()
        except OSError as error:
            self._close()
            raise OutputFailed(f"cannot use {self.path}: {error.strerror or error}") from error
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def has(self, name: str, stamp: Stamp) -> bool:
        """Whether this very file, unchanged, is done."""
        entry = self._done.get(name)
        return entry is not None and entry[0] == stamp

    def add(self, name: str, stamp: Stamp, record: dict[str, Any]) -> None:
        """Note one item as done.

        Args:
            name: what it is called in the journal.
            stamp: of the file before it was worked on.
            record: plain JSON values.
        """
        try:
            at = os.fstat(self._handle).st_size
            self._append({"name": name, "stamp": stamp, "record": record})
        except OSError as error:
            raise OutputFailed(f"cannot write {self.path}: {error.strerror or error}") from error
        self._done[name] = (stamp, at)

    def records(self, names: Iterable[str]) -> Iterator[dict[str, Any]]:
        """What is known of the items, in their order, read back one at a time."""
        for name in names:
            if name in self._done:
                reader = cast(BinaryIO, self._reader)
                reader.seek(self._done[name][1])
                yield cast(dict[str, Any], json.loads(reader.readline()))["record"]

    def remove(self) -> None:
        """Forget it: the table has everything."""
        if os.name == "nt":  # an open file cannot be removed there
            self._close()
        self.path.unlink(missing_ok=True)

    def _open(self) -> int:
        """Open and lock the file; it may be removed by its last user between the two."""
        while True:
            if self.path.exists() and not stat.S_ISREG(self.path.stat().st_mode):
                raise self._foreign()
            # Private: records may hold templates.
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
            handle = os.open(self.path, flags, 0o600)
            try:
                self._lock(handle)
                if self.path.exists() and os.path.samestat(os.fstat(handle), self.path.stat()):
                    return handle
            except BaseException:
                os.close(handle)
                raise
            os.close(handle)

    def _lock(self, handle: int) -> None:
        busy = f"another process is working on this table ({self.path}): wait for it, or name another output"
        try:
            import fcntl
        except ImportError:  # Windows
            lock = self.path.with_name(self.path.name + ".lock")
            try:
                os.close(os.open(lock, os.O_CREAT | os.O_EXCL))
            except FileExistsError as error:
                raise InvalidArgument(f"{busy}; if there is none, delete {lock}") from error
            self._lock_file = lock
            return
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InvalidArgument(busy) from error

    def _read(self) -> None:
        reader = cast(BinaryIO, self._reader)
        first = reader.readline(LONGEST_HEAD)
        line = (json.dumps(self.head) + "\n").encode()
        if first != line and line.startswith(first):  # nothing yet, or stopped within the first line
            os.ftruncate(self._handle, 0)
            self._append(self.head)
            return
        self._check(first)
        while line := reader.readline():
            at = reader.tell() - len(line)
            if not line.endswith(b"\n"):  # being written when the work was stopped
                os.ftruncate(self._handle, at)
                return
            with suppress(ValueError, KeyError, TypeError):  # a damaged line is done again
                entry = json.loads(line)
                size, changed = entry["stamp"]
                _ = entry["record"]
                self._done[entry["name"]] = ((size, changed), at)

    def _check(self, first: bytes) -> None:
        try:
            head: Any = json.loads(first)
        except ValueError as error:
            raise self._foreign() from error
        if not isinstance(head, dict) or head.get("file") != KIND["file"]:  # pyright: ignore[reportUnknownMemberType]
            raise self._foreign()
        found = cast(dict[str, Any], head)
        differing = [n for n in {**self.head, **found} if found.get(n) != self.head.get(n)]
        if differing:
            what = "; ".join(
                f"{n} was {json.dumps(found.get(n))} and is now {json.dumps(self.head.get(n))}"
                for n in differing
            )
            raise InvalidArgument(
                f"{self.path} is unfinished work with other settings ({what}): finish it with those, or "
                "delete it to start again"
            )

    def _foreign(self) -> InvalidArgument:
        return InvalidArgument(
            f"{self.path} is in the way: it is not unfinished work of this command, and is left as it "
            "is; move it, or name another output"
        )

    def _append(self, values: dict[str, Any]) -> None:
        data = (json.dumps(values) + "\n").encode()
        while data:
            data = data[os.write(self._handle, data) :]

    def _close(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1
        if self._lock_file is not None:
            self._lock_file.unlink(missing_ok=True)
            self._lock_file = None

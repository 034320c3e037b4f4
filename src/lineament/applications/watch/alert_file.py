"""Alerts in a file: one JSON object a line, added at the end, on the disk before it counts.

A line is written whole and flushed to the disk (fsync) before `store` returns. A process that is killed can
leave at most a piece of a line at the end, of an alert that nobody was told of; the next one to open the file
takes the piece out, or ends the line when all of it is there. Crops lie beside the file in `NAME.evidence/`,
on the disk before the line that names them. File, folder and crops are private to their owner. One process at
a time holds the file.
"""

import hashlib
import json
import os
import stat
from dataclasses import replace
from pathlib import Path
from types import TracebackType

import cv2

from lineament.applications.watch.alerts import Alert, Evidence
from lineament.core.errors import GalleryBroken, InvalidArgument, OutputFailed
from lineament.core.files import replacing

# Bytes. A file that is something else may have no line ends at all.
LONGEST_LINE = 1 << 20


class AlertFile:
    """A file of alerts, open and locked. See `lineament.applications.watch.alerts.AlertSink`.

    Args:
        path: the file, for example `alerts.jsonl`; it is made when it is not there.
        evidence: whether crops are kept beside it.

    Attributes:
        path: the file.
        repaired: whether the piece of a line was found at its end.

    Raises:
        InvalidArgument: the file is something else, or another process holds it.
        GalleryBroken: a line in its midst is damaged.
        OutputFailed: it cannot be opened or made.

    One thread at a time.
    """

    def __init__(self, path: Path, *, evidence: bool = True) -> None:
        self.path = path
        self.repaired = False
        self._folder = path.with_name(path.stem + ".evidence") if evidence else None
        self._ends: dict[str, int] = {}
        self._unsettled = False
        self._size = 0
        self._latest: dict[tuple[str, str, str], Alert] = {}
        self._failed = False
        self._handle = -1
        try:
            self._handle = self._open()
            self._read()
        except OSError as error:
            self.close()
            raise _output_failed(path, error) from error
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "AlertFile":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self._ends)

    def store(self, alert: Alert, evidence: Evidence | None) -> Alert | None:
        """Keep an alert; see `AlertSink.store`.

        Raises:
            OutputFailed: the disk is full or fails. After a failed flush nobody knows what is on the disk, so
                then every further call fails until the file is opened anew.
        """
        if self._failed or self._handle < 0:
            raise OutputFailed(f"{self.path} failed before or is closed: open it again, which checks it")
        self._settle()
        if alert.id in self._ends:
            return None
        if evidence is not None and evidence.crop is not None and self._folder is not None:
            alert = self._with_crop(alert, evidence)
        line = (json.dumps(alert.to_dict(), allow_nan=False) + "\n").encode()
        # From here to the last assignment an interruption leaves the line unsettled, and so does a full disk:
        # it is then taken back before anything else is written.
        self._unsettled = True
        try:
            _write_all(self._handle, line)
        except OSError as error:
            self._settle()
            raise _output_failed(self.path, error) from error
        try:
            os.fsync(self._handle)
        except OSError as error:
            self._failed = True
            raise _output_failed(self.path, error) from error
        size = self._size + len(line)
        self._note(alert, size)
        self._size = size
        self._unsettled = False
        return alert

    def latest(self, source: str, watchlist: str) -> tuple[Alert, ...]:
        """The last alert of each subject from this source and list."""
        return tuple(a for key, a in self._latest.items() if key[:2] == (source, watchlist))

    def close(self) -> None:
        """Let go of the file."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def _open(self) -> int:
        there = self.path.exists()
        if there and not stat.S_ISREG(self.path.stat().st_mode):
            raise InvalidArgument(f"{self.path} is not a file: name one for alerts, such as alerts.jsonl")
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
        handle = os.open(self.path, flags, 0o600)
        try:
            _lock(handle, self.path)
            if not there:
                _sync_folder(self.path.parent)
        except BaseException:
            os.close(handle)
            raise
        return handle

    def _read(self) -> None:
        """Take in what is there, and mend its end."""
        number = 0
        with self.path.open("rb") as stream:
            while line := stream.readline(LONGEST_LINE):
                number += 1
                alert = _alert_of(line)
                whole = line.endswith(b"\n")
                if alert is None and (whole or len(line) == LONGEST_LINE):
                    raise self._not_an_alert(number)
                if alert is not None:
                    self._size += len(line)
                    self._note(alert, self._size)
                if not whole:
                    self._mend(complete=alert is not None)
                    return

    def _mend(self, *, complete: bool) -> None:
        self.repaired = True
        if complete:
            _write_all(self._handle, b"\n")
            self._size += 1
        else:
            os.ftruncate(self._handle, self._size)
        os.fsync(self._handle)

    def _not_an_alert(self, number: int) -> InvalidArgument | GalleryBroken:
        if number == 1:
            return InvalidArgument(f"{self.path} is not a file of alerts, and is left as it is: name another")
        return GalleryBroken(
            f"line {number} of {self.path} is not an alert: somebody changed the file. Move it away; "
            "watching then begins a new one"
        )

    def _note(self, alert: Alert, end: int) -> None:
        self._ends[alert.id] = end
        if alert.subject is not None:
            self._latest[alert.source, alert.watchlist, alert.subject] = alert

    def _with_crop(self, alert: Alert, evidence: Evidence) -> Alert:
        """The alert with its crop on the disk: lossless, so that its similarity can be computed again."""
        folder = self._folder
        if folder is None or evidence.crop is None:
            return alert
        _, encoded = cv2.imencode(".png", cv2.cvtColor(evidence.crop, cv2.COLOR_RGB2BGR))
        data = encoded.tobytes()
        path = folder / f"{alert.id}.png"
        try:
            if not folder.is_dir():
                folder.mkdir(mode=0o700)
                _sync_folder(folder.parent)
            with replacing(path, private=True) as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            _sync_folder(folder)
        except OSError as error:
            raise _output_failed(path, error) from error
        digest = hashlib.sha256(data).hexdigest()
        return replace(alert, evidence=f"{folder.name}/{path.name}", evidence_sha256=digest)

    def _settle(self) -> None:
        """Take back what an interrupted or failed `store` wrote and nobody was told of."""
        try:
            if self._unsettled:
                os.ftruncate(self._handle, self._size)
                self._ends = {name: end for name, end in self._ends.items() if end <= self._size}
                self._unsettled = False
            elif os.fstat(self._handle).st_size != self._size:
                self._failed = True
                raise GalleryBroken(f"{self.path} was changed by somebody else while watching: open it again")
        except OSError as error:
            self._failed = True
            raise _output_failed(self.path, error) from error


def _alert_of(line: bytes) -> Alert | None:
    try:
        return Alert.from_dict(json.loads(line))
    except (ValueError, RecursionError):  # InvalidArgument is a ValueError
        return None


def _write_all(handle: int, data: bytes) -> None:
    while data:
        data = data[os.write(handle, data) :]


def _sync_folder(folder: Path) -> None:
    """Put the names in a folder on the disk; Windows does so by itself."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _lock(handle: int, path: Path) -> None:
    try:
        import fcntl
    except ImportError:  # Windows
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise InvalidArgument(
            f"another process is writing alerts to {path}: name another file for this source"
        ) from error


def _output_failed(path: Path, error: OSError) -> OutputFailed:
    return OutputFailed(
        f"cannot write {path}: {error.strerror or error}; make room or name a place that may be written to"
    )

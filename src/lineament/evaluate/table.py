"""Templates of a collection of pictures, kept on disk while they are made.

A folder of plain arrays, one row a picture, so that a collection of any size is embedded once, a stopped run
goes on where it was, and several protocols over the same pictures share the work. A picture without a
template has a row that says why; nothing is dropped.
"""

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, cast

import numpy as np

from lineament.core.errors import DatasetInvalid, ImageError, InvalidArgument, OutputFailed
from lineament.core.files import write_bytes
from lineament.core.ports import Acquired, Acquirer
from lineament.core.template import ModelId
from lineament.datasets.pictures import Pictures

KIND = "templates of lineament evaluate"
VERSION = 2
TO_DO, MADE, FAILED = 0, 1, 2
# What may be lost by a power failure, and how often the disk is asked to write.
FLUSH_EVERY = 5.0

Progress = Callable[[int, int], None]
"""Called with (pictures done, pictures wanted)."""


class TemplateTable:
    """The table, open and locked while it is used as a context.

    Args:
        folder: where; made when absent, readable by its owner only, because templates are biometric data.
        pictures: the whole collection; each of its names has a row.
        acquirer: makes the templates.
        settings: what else shapes a row, for example the face policy.

    Raises:
        InvalidArgument: on entering: the folder holds templates of other pictures, another model or other
            settings, or something else altogether, or another process is at work in it.
        OutputFailed: it cannot be written.
    """

    def __init__(
        self, folder: Path, pictures: Pictures, acquirer: Acquirer, settings: dict[str, str] | None = None
    ) -> None:
        self.folder = folder
        self.pictures = pictures
        self.acquirer = acquirer
        self.names: Sequence[str] = pictures.names
        self.failures: dict[str, tuple[str, str]] = {}
        self._row = {name: i for i, name in enumerate(self.names)}
        self._head: dict[str, Any] = {
            "file": KIND,
            "version": VERSION,
            "model": acquirer.model.name,
            "digest": acquirer.model.digest,
            "detector": acquirer.detector,
            **(settings or {}),
            "pictures": len(self.names),
            "names": hashlib.sha256("\n".join(self.names).encode("utf-8", "surrogateescape")).hexdigest(),
        }
        self._lock = -1
        self._state = np.zeros(len(self.names), np.uint8)
        self._stamps = np.zeros(len(self.names), np.uint64)
        self._columns: dict[str, np.ndarray] = {}

    def __enter__(self) -> "TemplateTable":
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = _lock(self.folder / "lock")
            self._open()
        except OSError as error:
            self._close()
            raise OutputFailed(
                f"cannot keep templates in {self.folder}: {error.strerror or error}; name another folder"
            ) from error
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._flush()
        self._close()

    @property
    def model(self) -> ModelId:
        """Whose templates these are."""
        return self.acquirer.model

    @property
    def vectors(self) -> np.ndarray:
        """Float32 (n, d) unit vectors, on disk; rows of zeros where there is no template.

        Raises:
            DatasetInvalid: not one picture gave a template.
        """
        return self._column("vectors")

    @property
    def norms(self) -> np.ndarray:
        """Float32 (n,) lengths of the raw outputs, NaN without a template."""
        return self._column("norms")

    @property
    def scores(self) -> np.ndarray:
        """Float32 (n,) of the detector, NaN without a template and for aligned crops."""
        return self._column("scores")

    @property
    def made(self) -> np.ndarray:
        """(n,) bool: whether there is a template."""
        return self._state == MADE

    def rows(self, names: Sequence[str]) -> np.ndarray:
        """Row numbers of pictures by name; −1 for a name that is not in the collection."""
        return np.array([self._row.get(name, -1) for name in names], dtype=np.int64)

    def fill(self, wanted: Sequence[str] | None = None, progress: Progress | None = None) -> None:
        """Make the templates that are not there yet.

        Args:
            wanted: names of pictures; None for all. Names that are not in the collection are passed over.
            progress: told after every picture.

        Interrupted, it keeps what is done. A picture that is not in the collection any more, or cannot be
        read, becomes a failure with its reason.
        """
        names = self.names if wanted is None else [n for n in dict.fromkeys(wanted) if n in self._row]
        self._forget_changed(names)
        todo = [n for n in names if self._state[self._row[n]] == TO_DO]
        done, last = len(names) - len(todo), time.monotonic()
        missing: dict[int, Acquired] = {}
        try:
            for name, result in zip(todo, self._acquire(todo, missing), strict=True):
                self._put(name, result)
                done += 1
                if progress is not None:
                    progress(done, len(names))
                if time.monotonic() - last > FLUSH_EVERY:
                    self._flush()
                    last = time.monotonic()
        finally:
            self._flush()

    def _forget_changed(self, names: Sequence[str]) -> None:
        """A picture that is not the one its row was made of is done again."""
        for name in names:
            row, now = self._row[name], _number(self.pictures.stamp(name))
            if self._stamps[row] != now:
                self._state[row], self._stamps[row] = TO_DO, now
                self.failures.pop(name, None)

    def _acquire(self, todo: list[str], missing: dict[int, Acquired]) -> Iterator[Acquired]:
        """Results in order; a picture that cannot even be read does not reach the acquirer."""

        def readable() -> Iterator[bytes]:
            for i, name in enumerate(todo):
                try:
                    yield self.pictures.read(name)
                except ImageError as error:
                    missing[i] = Acquired(None, error.reason, error.message)

        results, i = self.acquirer.acquire_many(readable()), 0
        for result in results:
            while i in missing:
                yield missing.pop(i)
                i += 1
            yield result
            i += 1
        while i in missing:
            yield missing.pop(i)
            i += 1

    def _put(self, name: str, result: Acquired) -> None:
        row = self._row[name]
        if result.template is None:
            self.failures[name] = (result.reason, result.message)
            line = json.dumps({"name": name, "reason": result.reason, "message": result.message})
            with (self.folder / "failures.jsonl").open("a", encoding="utf-8") as stream:
                stream.write(line + "\n")
            self._state[row] = FAILED
            return
        if not self._columns:
            self._make_columns(len(result.template.vector))
        self._columns["vectors"][row] = result.template.vector
        self._columns["norms"][row] = result.template.norm
        self._columns["scores"][row] = result.score
        self._state[row] = MADE

    def _make_columns(self, dimension: int) -> None:
        n = len(self.names)
        shapes = {"vectors": (n, dimension), "norms": (n,), "scores": (n,)}
        for name, shape in shapes.items():
            path = self.folder / f"{name}.npy"
            column = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
            path.chmod(0o600)
            if name != "vectors":
                column[:] = np.nan
            self._columns[name] = column

    def _flush(self) -> None:
        """Rows first, then the notes that they are there: a crash leaves no note without its row."""
        for column in self._columns.values():
            cast(np.memmap[Any, Any], column).flush()
        write_bytes(self.folder / "state.bin", self._state.tobytes() + self._stamps.tobytes(), private=True)

    def _open(self) -> None:
        head_path = self.folder / "head.json"
        if not head_path.exists():
            if any(p.name != "lock" for p in self.folder.iterdir()):
                raise InvalidArgument(
                    f"{self.folder} holds something else than templates: name an empty or a new folder"
                )
            write_bytes(head_path, (json.dumps(self._head, indent=1) + "\n").encode(), private=True)
            return
        self._check(head_path)
        state = self.folder / "state.bin"
        if state.exists():
            noted, n = state.read_bytes(), len(self.names)
            if len(noted) != 9 * n:
                raise self._damaged("its notes have another length")
            self._state = np.frombuffer(noted[:n], np.uint8).copy()
            self._stamps = np.frombuffer(noted[n:], np.uint64).copy()
        self._read_failures()
        if (self._state == MADE).any():
            self._map_columns()

    def _check(self, path: Path) -> None:
        try:
            found: Any = json.loads(path.read_text("utf-8"))
        except ValueError as error:
            raise self._damaged("its head cannot be read") from error
        if not isinstance(found, dict) or found.get("file") != KIND:  # pyright: ignore[reportUnknownMemberType]
            raise InvalidArgument(f"{self.folder} holds something else than templates: name a new folder")
        have = cast(dict[str, Any], found)
        differing = [k for k in {**self._head, **have} if have.get(k) != self._head.get(k)]
        if differing:
            what = "; ".join(
                f"{k} was {json.dumps(have.get(k))} and is now {json.dumps(self._head.get(k))}"
                for k in differing
            )
            raise InvalidArgument(
                f"{self.folder} holds templates made otherwise ({what}): name another folder, or delete it"
            )

    def _read_failures(self) -> None:
        path = self.folder / "failures.jsonl"
        if path.exists():
            for line in path.read_text("utf-8").splitlines():
                with suppress(ValueError, KeyError, TypeError):  # its last line may be cut off
                    entry = json.loads(line)
                    self.failures[entry["name"]] = (entry["reason"], entry["message"])
        known = {
            name for name in self.failures if name in self._row and self._state[self._row[name]] == FAILED
        }
        self.failures = {name: self.failures[name] for name in known}
        for row, name in enumerate(self.names):
            if (
                self._state[row] == FAILED and name not in known
            ):  # the note came to the disk and its reason did not: do it again
                self._state[row] = TO_DO

    def _map_columns(self) -> None:
        for name in ("vectors", "norms", "scores"):
            try:
                column = np.lib.format.open_memmap(self.folder / f"{name}.npy", mode="r+")
            except (OSError, ValueError) as error:
                raise self._damaged(f"{name}.npy cannot be read") from error
            if len(column) != len(self.names) or column.dtype != np.float32:
                raise self._damaged(f"{name}.npy has another shape")
            self._columns[name] = column

    def _column(self, name: str) -> np.ndarray:
        if name not in self._columns:
            raise DatasetInvalid(f"no picture gave a template: {self._why()}")
        return self._columns[name]

    def _why(self) -> str:
        if not self.failures:
            return "there was none to read"
        name, (_, message) = next(iter(self.failures.items()))
        return f"{name}: {message}"

    def _damaged(self, what: str) -> InvalidArgument:
        return InvalidArgument(f"the templates in {self.folder} are damaged ({what}): delete that folder")

    def _close(self) -> None:
        self._columns = {}
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def _lock(path: Path) -> int:
    """A handle that keeps other processes away until it is closed."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]  (Windows only)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        raise InvalidArgument(
            f"another process is making templates in {path.parent}: wait for it, or name another folder"
        ) from error
    return handle


def _number(stamp: str) -> np.uint64:
    return np.frombuffer(hashlib.sha256(stamp.encode()).digest()[:8], np.uint64)[0]


def failures_by_reason(failures: dict[str, tuple[str, str]]) -> dict[str, int]:
    """How many pictures failed for each reason, most frequent first."""
    reasons = [reason for reason, _ in failures.values()]
    return dict(sorted(((r, reasons.count(r)) for r in set(reasons)), key=lambda item: (-item[1], item[0])))

"""Standard output that may go away: noted once, and never the end of the work.

A reader that leaves (`| head`), a full disk and a closed descriptor must not change what a command finds out.
So writing never raises: what fails is kept for `main`, which alone decides about the exit code.
"""

import errno
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import Any


class Guarded:
    """A text stream whose failures are noted instead of raised.

    Args:
        stream: the real one, or None where the process was started without (`>&-`).

    Attributes:
        failure: the first error of writing, or None.
    """

    def __init__(self, stream: Any) -> None:
        self._stream: Any = stream
        self.failure: OSError | None = None
        if hasattr(stream, "reconfigure"):
            # A character that the terminal's encoding lacks is worth a question mark, not an answer.
            stream.reconfigure(errors="replace")

    @property
    def reader_left(self) -> bool:
        """Whether the failure is a reader that had enough, as `head` does."""
        # Windows reports a broken pipe as an invalid argument.
        gone = (errno.EPIPE, errno.EINVAL) if os.name == "nt" else (errno.EPIPE,)
        return self.failure is not None and self.failure.errno in gone

    @property
    def encoding(self) -> str:
        """Of the real stream."""
        return getattr(self._stream, "encoding", None) or "utf-8"

    @property
    def errors(self) -> str:
        """Of the real stream."""
        return getattr(self._stream, "errors", None) or "replace"

    def write(self, text: str) -> int:
        """Write, as far as that is possible."""
        if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance]  (click tries bytes)
            raise TypeError("this stream takes text")
        if self.failure is None:
            try:
                _present(self._stream).write(text)
            except OSError as error:
                self._fail(error)
            except ValueError:  # closed by somebody
                self._fail(_closed())
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        """Write several."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Flush, as far as that is possible."""
        if self._stream is None or self.failure is not None:
            return
        try:
            self._stream.flush()
        except OSError as error:
            self._fail(error)
        except ValueError:
            self._fail(_closed())

    def isatty(self) -> bool:
        """Whether a person watches."""
        return self._stream is not None and not self._stream.closed and self._stream.isatty()

    def fileno(self) -> int:
        """Of the real stream."""
        return _present(self._stream).fileno()

    def _fail(self, error: OSError) -> None:
        self.failure = error
        with suppress(OSError, ValueError):
            # What the stream still buffers goes nowhere, so that the interpreter's last flush is quiet.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)


def _closed() -> OSError:
    return OSError(errno.EBADF, "it is closed")


def _present(stream: Any) -> Any:
    if stream is None:
        raise _closed()
    return stream


def readable(text: str | os.PathLike[str]) -> str:
    """A path, or a sentence with one, that any file can hold: bytes that are no UTF-8 become `\\xff`."""
    return os.fspath(text).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


@contextmanager
def guarded() -> Generator[tuple[Guarded, Guarded]]:
    """Standard output and standard error, guarded while the context lasts."""
    before = sys.stdout, sys.stderr
    if None in before:
        _occupy_low_descriptors()
    out, err = Guarded(before[0]), Guarded(before[1])
    sys.stdout, sys.stderr = out, err  # type: ignore[assignment]  (all that click and rich use of a stream)
    try:
        yield out, err
    finally:
        sys.stdout, sys.stderr = before


def _occupy_low_descriptors() -> None:
    """Keep files opened later from becoming descriptor 1 or 2, where libraries in C write their remarks."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(number)

"""A file that several threads read at once, each at its own place (POSIX `pread`)."""

import mmap
import os
import threading
from pathlib import Path
from typing import final

import numpy as np

from lineament.core.errors import DatasetInvalid


@final
class RandomAccess:
    """Bytes of a file by offset, without a position that threads would have to share.

    Args:
        path: of the file; it must not become shorter while it is open.

    Attributes:
        path: as given.
        size: bytes, when it was opened.

    Raises:
        DatasetInvalid: it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        try:
            self._stream = path.open("rb", buffering=0)
            self.size = os.fstat(self._stream.fileno()).st_size
        except OSError as error:
            raise DatasetInvalid(f"cannot read {path}: {error.strerror or error}; check the path") from error

    def read(self, offset: int, length: int) -> bytes:
        """`length` bytes from `offset` on.

        Raises:
            DatasetInvalid: the file ends before, or the disk cannot read it.
        """
        parts: list[bytes] = []
        at, left = offset, length
        try:
            while left > 0:
                part = self._some(at, left)
                if not part:
                    raise DatasetInvalid(
                        f"{self.path} ends at byte {at}, and {length} bytes were expected from byte "
                        f"{offset} on: it is cut off; get the file again"
                    )
                parts.append(part)
                at, left = at + len(part), left - len(part)
        except OSError as error:
            raise DatasetInvalid(
                f"cannot read {self.path} at byte {at}: {error.strerror or error}"
            ) from error
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _some(self, offset: int, length: int) -> bytes:
        """One system call's worth; a call may give less than was asked for, at most 2 GiB."""
        if hasattr(os, "pread"):
            return os.pread(self._stream.fileno(), length, offset)
        with self._lock:  # Windows has no pread
            self._stream.seek(offset)
            return self._stream.read(length) or b""

    def mapped(self) -> np.ndarray:
        """The whole file as uint8 (size,), for looking at a few bytes in very many places at once."""
        if not self.size:
            return np.zeros(0, np.uint8)
        view = mmap.mmap(self._stream.fileno(), self.size, access=mmap.ACCESS_READ)
        if hasattr(view, "madvise"):
            # Reading ahead would fetch the whole file for its headers.
            view.madvise(mmap.MADV_RANDOM)
        return np.frombuffer(view, np.uint8)

    def close(self) -> None:
        """Close the file."""
        self._stream.close()

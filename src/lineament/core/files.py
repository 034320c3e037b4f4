"""Writing files: whole or not at all."""

import os
import tempfile
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from lineament.core.errors import OutputFailed


def write_bytes(path: Path, data: bytes, *, private: bool = False) -> None:
    """Write a file whole or not at all; arguments and errors as for `replacing`."""
    with replacing(path, private=private) as stream:
        stream.write(data)


@contextmanager
def replacing(path: Path, *, private: bool = False) -> Generator[BinaryIO]:
    """A stream into a temporary file that becomes `path` at the end, so that a reader never sees half of it.

    Args:
        path: where.
        private: only the owner may read it, as for files with templates.

    Raises:
        OutputFailed: the place cannot be written.
    """
    temporary = None
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".lineament-")
        with os.fdopen(handle, "wb") as stream:
            yield stream
        if not private:
            # mkstemp makes private files, and the user asked for an ordinary one.
            mask = os.umask(0)
            os.umask(mask)
            Path(temporary).chmod(0o666 & ~mask)
        Path(temporary).replace(path)
        temporary = None
    except OSError as error:
        why = error.strerror or str(error)
        raise OutputFailed(
            f"cannot write {path}: {why}; name a folder that exists and that you may write to"
        ) from error
    finally:
        if temporary is not None:
            with suppress(OSError):
                Path(temporary).unlink(missing_ok=True)

"""Files and objects with a secret: for their owner only, and shown by nothing."""

import os
from pathlib import Path
from stat import S_IMODE
from typing import NoReturn

from lineament.core.errors import InvalidArgument, KeyUnavailable, OutputFailed
from lineament.core.files import replacing


class KeptSecret:
    """Base of what holds a key: nothing shows it, and it is neither copied nor sent to another process."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise InvalidArgument(
            f"{type(self).__name__} holds a key and is not pickled or copied; open it in the other process"
        )


def read_private(path: Path, what: str) -> bytes:
    """The bytes of a file with a secret.

    Args:
        path: the file.
        what: a word for it in messages.

    Raises:
        KeyUnavailable: it is missing, or others than its owner may read or write it.
    """
    try:
        with path.open("rb") as stream:
            mode = S_IMODE(os.fstat(stream.fileno()).st_mode)
            data = stream.read()
    except OSError as error:
        raise unreadable(path, error, what) from None
    # Windows keeps rights elsewhere, and shows every file as readable by all.
    if os.name != "nt" and mode & 0o077:
        raise KeyUnavailable(
            f"the {what} {path} may be used by others than its owner (mode {mode:04o}); "
            f"run `chmod 600 {path}`, and replace the key if a stranger may have read it"
        )
    return data


def create_private(path: Path, data: bytes) -> None:
    """Write a new file that only its owner may read, down to the disk.

    Raises:
        OutputFailed: there is one already, or the place cannot be written.
    """
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        _sync_folder(path)
    except FileExistsError:
        raise OutputFailed(f"{path} exists already and is not written over; name another file") from None
    except OSError as error:
        raise OutputFailed(
            f"cannot write {path}: {error.strerror}; name a folder that exists and that you may write to"
        ) from error


def replace_private(path: Path, data: bytes) -> None:
    """Write a file anew, whole or not at all, down to the disk; only its owner may read it.

    Raises:
        OutputFailed: the place cannot be written.
    """
    with replacing(path, private=True) as stream:
        stream.write(data)
        stream.flush()
        # A key that is lost with the power takes everything sealed by it along.
        os.fsync(stream.fileno())
    _sync_folder(path)


def _sync_folder(path: Path) -> None:
    if os.name == "nt":
        return
    handle = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def unreadable(path: Path, error: OSError, what: str) -> KeyUnavailable:
    """The error for a file with a secret that the system does not let us read."""
    return KeyUnavailable(f"cannot read the {what} {path}: {error.strerror}; bring it back, or name another")

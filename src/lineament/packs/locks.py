"""One process at a time."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def exclusive(path: Path) -> Generator[None]:
    """Hold the lock file `path`, waiting for whoever has it.

    The operating system lets go when a process ends, however it ends, so a crash leaves nothing locked.

    Raises:
        OSError: the file cannot be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as stream:
        if os.name == "nt":
            # Blocking there means ten tries of a second each, then OSError: long enough to take turns.
            import msvcrt

            msvcrt.locking(stream.fileno(), msvcrt.LK_LOCK, 1)
            yield
        else:
            import fcntl

            fcntl.flock(stream, fcntl.LOCK_EX)
            yield

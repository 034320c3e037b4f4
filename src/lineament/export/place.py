"""The folder of a pack, there whole or not at all.

<parent>/.<name>.exporting-XXXX    being made: without a card until everything in it is proven
<parent>/.<name>.replaced-XXXX     what --force replaced, until it is deleted
<parent>/<name>                    the pack, put there by one rename
"""

import shutil
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from lineament.core.errors import InvalidArgument, OutputFailed
from lineament.packs.card import CARD_NAME
from lineament.packs.store import STALE_SECONDS

_MAKING, _REPLACED = ".exporting-", ".replaced-"


def require_free(out: Path, *, force: bool) -> None:
    """Refuse a place that holds something else.

    Args:
        out: where a pack is to be.
        force: a pack that is there may be replaced; anything else is never touched.

    Raises:
        InvalidArgument: there is a file, or a folder with something in it that may not be replaced.
        OutputFailed: the folder that `out` lies in is not there, or cannot be looked into.
    """
    try:
        if not out.parent.is_dir():
            raise OutputFailed(f"there is no folder {out.parent}: make it, or name another place")
        if not out.exists() and not out.is_symlink():
            return
        if not out.is_dir() or out.is_symlink():
            raise InvalidArgument(f"{out} is there and is no folder: name another place for the pack")
        if next(out.iterdir(), None) is None:
            return
    except OSError as error:
        raise OutputFailed(f"cannot look into {out}: {error.strerror or error}; name another") from error
    if not (out / CARD_NAME).is_file():
        raise InvalidArgument(f"{out} holds other things than a pack: name an empty or a new folder")
    if not force:
        raise InvalidArgument(f"{out} holds a pack already: name a new folder, or replace it with --force")


@contextmanager
def whole_folder(out: Path, *, force: bool = False) -> Generator[Path]:
    """A folder that becomes `out` when the block ends well, and is gone when it does not.

    Args:
        out: where.
        force: a pack that is there is replaced.

    Raises:
        InvalidArgument, OutputFailed: as `require_free`, before and after the block; or the disk refuses.
    """
    require_free(out, force=force)
    _sweep(out)
    folder = None
    try:
        folder = Path(tempfile.mkdtemp(prefix=f".{out.name}{_MAKING}", dir=out.parent))
        folder.chmod(0o755)  # mkdtemp makes it private, and a pack is an ordinary folder
        yield folder
        require_free(out, force=force)
        _publish(folder, out)
        folder = None
    except OSError as error:
        raise OutputFailed(
            f"cannot write {out}: {error.strerror or error}; make room, or name another place"
        ) from error
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def _publish(folder: Path, out: Path) -> None:
    old = None
    if out.exists():
        old = Path(tempfile.mkdtemp(prefix=f".{out.name}{_REPLACED}", dir=out.parent))
        out.rename(old / out.name)
    try:
        folder.rename(out)
    except OSError:
        if old is not None:
            (old / out.name).rename(out)
            old.rmdir()
        raise
    if old is not None:
        shutil.rmtree(old, ignore_errors=True)


def _sweep(out: Path) -> None:
    """Delete what killed exports to the same place left behind a day ago or earlier."""
    with suppress(OSError):
        for entry in out.parent.iterdir():
            ours = entry.name.startswith((f".{out.name}{_MAKING}", f".{out.name}{_REPLACED}"))
            if ours and time.time() - entry.stat().st_mtime > STALE_SECONDS:
                shutil.rmtree(entry, ignore_errors=True)

"""Taking model files out of a zip that a stranger made."""

import shutil
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from lineament.core.errors import OutputFailed, PackBroken
from lineament.packs.graph import MAX_MODEL_BYTES

MAX_ENTRIES = 1000
MAX_TOTAL_BYTES = 4 * 2**30


def unpack_models(archive: Path, folder: Path) -> tuple[str, ...]:
    """Copy the .onnx files of a zip, flat or in one subfolder, into `folder`; returns their names.

    Everything else in the zip is left in it. A zip in which any name points outside, or which would
    unpack to more than any face pack, is refused whole.

    Raises:
        PackBroken: not a zip, damaged, encrypted, too large when unpacked, or with names that point outside.
        OutputFailed: the folder cannot be written.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            wanted = _wanted(opened, archive)
            for info in wanted:
                name = PurePosixPath(info.filename).name
                with opened.open(info) as source, (folder / name).open("xb") as target:
                    shutil.copyfileobj(source, target, 1 << 20)
    # zipfile says NotImplementedError of a compression it lacks, RuntimeError of an encrypted member.
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise PackBroken(f"{archive} is not a readable zip ({error}); get the file again") from error
    except FileExistsError as error:
        raise PackBroken(
            f"{archive} holds two files called {Path(error.filename).name}; unpack it yourself and "
            "name the folder you mean"
        ) from error
    except OSError as error:
        raise OutputFailed(f"{archive} cannot be unpacked to {folder}: {error.strerror or error}") from error
    return tuple(PurePosixPath(info.filename).name for info in wanted)


def _wanted(opened: zipfile.ZipFile, archive: Path) -> list[zipfile.ZipInfo]:
    entries = opened.infolist()
    if len(entries) > MAX_ENTRIES:
        raise PackBroken(f"{archive} holds {len(entries)} files, more than any pack; do not use it")
    for info in entries:
        # zipfile turns backslashes into slashes only on Windows; here both must count as separators.
        parts = PurePosixPath(info.filename.replace("\\", "/"))
        drive = ":" in info.filename.split("/")[0]
        if parts.is_absolute() or ".." in parts.parts or drive or stat.S_ISLNK(info.external_attr >> 16):
            raise PackBroken(f"{archive} names a file outside itself ({info.filename!r}); do not use it")
    models = [
        info
        for info in entries
        if not info.is_dir() and info.filename.endswith(".onnx") and _shallow(PurePosixPath(info.filename))
    ]
    if (
        any(i.file_size > MAX_MODEL_BYTES for i in models)
        or sum(i.file_size for i in models) > MAX_TOTAL_BYTES
    ):
        raise PackBroken(f"{archive} would unpack to more than {MAX_TOTAL_BYTES >> 30} GiB; do not use it")
    return models


def _shallow(path: PurePosixPath) -> bool:
    """In the zip's root or one folder below, and not one of the shadow files that macOS adds."""
    return len(path.parts) <= 2 and path.parts[:1] != ("__MACOSX",) and not path.name.startswith("._")
